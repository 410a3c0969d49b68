from __future__ import annotations

from datetime import timedelta

import pytest

from bot.dialogue.functions import CreateSupportTicket, Functions, HandToPerson, TicketStatus
from bot.dialogue.phrases import Phrases
from bot.dialogue.settings import DialogueSettings
from bot.errors import BadOutput
from bot.messages import BotSaid, CustomerSaid, FunctionCall, OpenTicket, Outcome
from tests.dialogue.conftest import World
from tests.dialogue.people import NOW, Customer, StandingClock, TicketsInMemory


@pytest.fixture
def functions() -> Functions:
    return Functions(
        tickets=TicketsInMemory(), phrases=Phrases(), settings=DialogueSettings(sla_hours=4), clock=StandingClock()
    )


@pytest.fixture
def ann(world: World) -> Customer:
    return world.customer()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param("create_support_ticket", {}, id="nothing given"),
        pytest.param("create_support_ticket", {"issue": ""}, id="an empty issue"),
        pytest.param("create_support_ticket", {"issue": 7}, id="a number for words"),
        pytest.param("create_support_ticket", {"issue": "x", "requester": "web:eve"}, id="another's identity"),
        pytest.param("create_support_ticket", {"issue": "x", "urgency": "extreme"}, id="an unknown urgency"),
        pytest.param("create_support_ticket", {"issue": "x" * 5000}, id="too long"),
        pytest.param("ticket_status", {"ticket": ["TICKET-1"]}, id="a list for a number"),
        pytest.param("hand_to_person", {"reason": None}, id="null for words"),
        pytest.param("delete_everything", {}, id="no such function"),
        pytest.param("__init__", {}, id="an inner name"),
    ],
)
def test_bad_arguments_are_refused_without_quoting_them(
    functions: Functions, name: str, arguments: dict[str, object]
) -> None:
    with pytest.raises(BadOutput) as caught:
        functions.parse(FunctionCall(name=name, arguments=arguments))
    assert caught.value.__cause__ is None
    assert "web:eve" not in str(caught.value)


def test_good_arguments_become_values(functions: Functions) -> None:
    parsed = functions.parse(
        FunctionCall(name="create_support_ticket", arguments={"issue": "杯子碎了", "urgency": "high"})
    )
    assert parsed == CreateSupportTicket(issue="杯子碎了", urgency="high")
    assert functions.parse(FunctionCall(name="hand_to_person", arguments={})) == HandToPerson()


def test_a_model_is_told_of_every_function_in_its_language(functions: Functions) -> None:
    chinese, english = functions.specs("zh"), functions.specs("en")
    assert [spec.name for spec in chinese] == ["create_support_ticket", "ticket_status", "hand_to_person"]
    assert chinese[0].description != english[0].description
    issue = english[0].parameters["properties"]["issue"]
    assert issue["description"] == "The problem, in the customer's own words"
    assert english[0].parameters["additionalProperties"] is False
    assert english[0].parameters["required"] == ["issue"]


async def test_a_ticket_holds_all_that_a_colleague_needs(functions: Functions, ann: Customer) -> None:
    ann.history = (
        CustomerSaid(text="电话 13800138000", at=NOW),
        BotSaid(text="好的", at=NOW, outcome=Outcome.CHAT),
    )
    turn = ann.turn(ann.message("很急！订单号 SO20240101 的杯子碎了"), ann.message(attachments=("photo",)))
    done = functions.open_ticket(CreateSupportTicket(issue="杯子碎了。请换一个"), turn, "zh")
    (effect,) = done.effects
    assert isinstance(effect, OpenTicket)
    ticket = effect.ticket
    assert (ticket.subject, ticket.requester, ticket.conversation) == ("杯子碎了", "web:ann", turn.conversation)
    assert (ticket.contact, ticket.order_no, ticket.urgency) == ("13800138000", "SO20240101", "high")
    assert ticket.due_at - ticket.created_at == timedelta(hours=4)
    assert ticket.transcript == (
        "客户：电话 13800138000",
        "机器人：好的",
        "客户：很急！订单号 SO20240101 的杯子碎了",
        "客户：图片",
    )
    assert ticket.number in done.reply.text and "4 小时内" in done.reply.text
    assert done.reply.ticket == ticket and done.returned.result == ticket.number


async def test_somebody_elses_ticket_reads_exactly_like_none(functions: Functions, ann: Customer) -> None:
    eve = functions.open_ticket(CreateSupportTicket(issue="秘密"), ann.turn(ann.message("x")), "zh").reply.ticket
    assert eve is not None
    theirs = await functions.perform(TicketStatus(ticket=eve.number), ann.turn(ann.message("x")), "zh")
    none = await functions.perform(TicketStatus(ticket="TICKET-NONE9"), ann.turn(ann.message("x")), "zh")
    assert theirs.reply.text.replace(eve.number, "N") == none.reply.text.replace("TICKET-NONE9", "N")
    assert theirs.reply.ticket is None


async def test_a_transcript_is_no_longer_than_the_history_may_be(functions: Functions, ann: Customer) -> None:
    ann.history = tuple(CustomerSaid(text=f"{n}" * 2000, at=NOW) for n in range(50))
    done = functions.open_ticket(CreateSupportTicket(issue="x"), ann.turn(ann.message("x")), "en")
    assert done.reply.ticket is not None
    assert len(done.reply.ticket.transcript) == 13
    assert max(map(len, done.reply.ticket.transcript)) < 520
