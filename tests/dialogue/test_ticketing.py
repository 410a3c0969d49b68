from __future__ import annotations

from datetime import timedelta

import pytest

from bot.dialogue.functions.base import TicketWish
from bot.dialogue.phrases import Phrases
from bot.dialogue.settings import DialogueSettings
from bot.dialogue.ticketing import Ticketing
from bot.messages import BotSaid, CustomerSaid, MessageKind, Outcome, TicketState
from tests.dialogue.conftest import World
from tests.dialogue.people import NOW, Customer, StandingClock, TicketsInMemory, held


@pytest.fixture
def tickets() -> TicketsInMemory:
    return TicketsInMemory()


@pytest.fixture
def ticketing(tickets: TicketsInMemory) -> Ticketing:
    settings = DialogueSettings(sla_hours=4)
    return Ticketing(tickets=tickets, phrases=Phrases(), settings=settings, clock=StandingClock())


@pytest.fixture
def ann(world: World) -> Customer:
    return world.customer()


async def test_a_ticket_holds_all_that_a_colleague_needs(ticketing: Ticketing, ann: Customer) -> None:
    ann.history = (
        CustomerSaid(text="电话 13800138000", at=NOW),
        BotSaid(text="好的", at=NOW, outcome=Outcome.CHAT),
    )
    turn = ann.turn(ann.message("很急！订单号 SO20240101 的杯子碎了"), ann.message(attachments=("photo",)))
    opened = ticketing.open(TicketWish(issue="杯子碎了。请换一个"), turn, "zh")
    ticket = opened.effect.ticket
    assert (ticket.subject, ticket.requester, ticket.conversation) == ("杯子碎了", "web:ann", turn.conversation)
    assert (ticket.contact, ticket.order_no, ticket.urgency) == ("13800138000", "SO20240101", "high")
    assert ticket.due_at - ticket.created_at == timedelta(hours=4)
    assert ticket.transcript == (
        "客户：电话 13800138000",
        "机器人：好的",
        "客户：很急！订单号 SO20240101 的杯子碎了",
        "客户：图片",
    )
    assert ticket.number in opened.reply.text and "4 小时内" in opened.reply.text
    assert opened.reply.ticket == ticket and opened.returned.result == ticket.number


async def test_somebody_elses_ticket_reads_exactly_like_none(
    ticketing: Ticketing, tickets: TicketsInMemory, world: World
) -> None:
    eve = world.customer("web:eve")
    secret = ticketing.open(TicketWish(issue="秘密"), eve.turn(eve.message("x")), "zh").effect.ticket
    tickets.stored[secret.number] = secret
    hers = await ticketing.status((secret.number,), requester="web:eve", language="zh")
    theirs = await ticketing.status((secret.number,), requester="web:ann", language="zh")
    none = await ticketing.status(("TICKET-NONE9",), requester="web:ann", language="zh")
    assert "秘密" in hers.text and hers.ticket == secret
    assert theirs.text.replace(secret.number, "N") == none.text.replace("TICKET-NONE9", "N")
    assert theirs.ticket is None


async def test_a_transcript_is_no_longer_than_the_history_may_be(ticketing: Ticketing, ann: Customer) -> None:
    ann.history = tuple(CustomerSaid(text=f"{n}" * 2000, at=NOW) for n in range(50))
    ticket = ticketing.open(TicketWish(issue="x"), ann.turn(ann.message("x")), "en").effect.ticket
    assert len(ticket.transcript) == 13
    assert max(map(len, ticket.transcript)) < 520


async def test_a_wish_for_a_person_without_a_reason_says_so(ticketing: Ticketing, ann: Customer) -> None:
    turn = ann.turn(ann.message("x"))
    bare = ticketing.open(TicketWish(issue="", kind="person"), turn, "en")
    about = ticketing.open(TicketWish(issue="my refund", kind="person"), turn, "en")
    assert bare.effect.ticket.subject == "Wants to talk to a person"
    assert about.effect.ticket.subject == "Wants to talk to a person: my refund"
    assert bare.reply.outcome is about.reply.outcome is Outcome.HANDOFF
    assert bare.returned.name == "hand_to_person"


async def test_a_ticket_that_is_solved_is_closed_by_its_owner_alone(world: World) -> None:
    ann, eve = world.customer(), world.customer("web:eve")
    await ann.say("/ticket 杯子碎了")
    number = next(iter(ann.tickets.stored))
    refused = await eve.send(eve.message(number, kind=MessageKind.ACTION, command="solved"))
    assert not refused.effects and refused.reply is not None and refused.reply.ticket is None
    assert ann.tickets.stored[number].state is TicketState.OPEN
    told = await ann.send(ann.message(number, kind=MessageKind.ACTION, command="solved"))
    assert told.reply is not None and number in told.reply.text and "关闭" in told.reply.text
    assert ann.tickets.stored[number].state is TicketState.CLOSED


async def test_solving_the_ticket_whose_agent_has_the_conversation_gives_the_bot_its_word_back(world: World) -> None:
    ann = world.customer()
    await ann.say("/ticket 杯子碎了")
    number = next(iter(ann.tickets.stored))
    held(ann, number)
    await ann.send(ann.message("TICKET-OTHER", kind=MessageKind.ACTION, command="solved"))
    assert ann.state.held_by == number
    await ann.send(ann.message(number, kind=MessageKind.ACTION, command="solved"))
    assert not ann.state.held_by
