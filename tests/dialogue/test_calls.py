"""Calls through the front door: an engine that calls whatever it is told to, and customers who say yes, no or more."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
import structlog

from bot.dialogue.endings import Endings
from bot.dialogue.phrases import Phrases
from bot.dialogue.settings import DialogueSettings
from bot.dialogue.ticketing import Ticketing
from bot.messages import Answered, FunctionCall, MessageKind, Outcome, ReplyAction, Turn, TurnResult
from bot.ports import CallRecord
from tests.dialogue.conftest import World
from tests.dialogue.people import NOW, Customer, held, opened_tickets
from tests.dialogue.shop import Shop, calls
from tests.engine.fakes import ScriptedEngine

ZH, EN = "取消订单 1001 要怎么操作？", "How do I get order 1001 cancelled?"


@pytest.fixture
def shop() -> Shop:
    return Shop()


def caller(world: World, shop: Shop, name: str = "cancel_order", order_no: str = "1001", **fields: object) -> Customer:
    """A customer whose engine makes this call of every question."""
    return world.customer(functions=shop.functions(), engine=calls(name, order_no=order_no), **fields)  # type: ignore[arg-type]


def said(result: TurnResult) -> str:
    assert result.reply is not None
    return result.reply.text


def outcome(result: TurnResult) -> Outcome:
    assert result.reply is not None
    return result.reply.outcome


# -- Asking first --


@pytest.mark.parametrize(
    ("question", "action", "yes", "done"),
    [
        pytest.param(ZH, "取消订单 1001", "好的，谢谢", "订单 1001 已取消。", id="zh"),
        pytest.param(EN, "cancel order 1001", "Yes, please", "Order 1001 is cancelled.", id="en"),
    ],
)
async def test_a_change_is_shown_word_for_word_and_made_after_a_yes(
    world: World, shop: Shop, question: str, action: str, yes: str, done: str
) -> None:
    ann = caller(world, shop)
    asked = await ann.say(question)
    assert outcome(asked) is Outcome.CHAT and action in said(asked)
    assert not shop.cancelled and not asked.functions and not asked.effects
    result = await ann.say(yes)
    assert [(who, order) for who, order, _ in shop.cancelled] == [("web:ann", "1001")]
    assert (outcome(result), said(result)) == (Outcome.STATUS, done)
    assert [(returned.name, returned.result) for returned in result.functions] == [("cancel_order", done)]
    assert result.state.pending is None


@pytest.mark.parametrize(
    ("question", "no"), [pytest.param(ZH, "不用了", id="zh"), pytest.param(EN, "No thanks", id="en")]
)
async def test_a_no_leaves_everything_as_it_is(world: World, shop: Shop, question: str, no: str) -> None:
    ann = caller(world, shop)
    await ann.say(question)
    declined = await ann.say(no)
    assert "不办" in said(declined) or "leave things as they are" in said(declined)
    await ann.say("好的")
    assert not shop.cancelled and declined.state.pending is None


async def test_whatever_else_is_said_drops_it_for_good(world: World, shop: Shop) -> None:
    ann = caller(world, shop)
    for something_else in ("转人工", "/help", "重新开始"):
        await ann.say(ZH)
        assert ann.state.pending is not None
        assert (await ann.say(something_else)).state.pending is None
        await ann.say("好的")
    assert not shop.cancelled


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("好的，订单号是 10029", id="another order number"),
        pytest.param("好的，帮我开个工单", id="a yes to something else"),
        pytest.param("yes, my phone is 13800138000", id="with details"),
    ],
)
async def test_a_yes_with_more_to_it_is_asked_again(world: World, shop: Shop, answer: str) -> None:
    ann = caller(world, shop)
    await ann.say(ZH)
    again = await ann.say(answer)
    assert not shop.cancelled and "1001" in said(again) and again.state.pending is not None
    await ann.say("确认")
    assert len(shop.cancelled) == 1


async def test_a_picture_with_a_yes_under_it_is_asked_again(world: World, shop: Shop) -> None:
    ann = caller(world, shop)
    await ann.say(ZH)
    again = await ann.send(ann.message("好的", attachments=("photo",)))
    assert not shop.cancelled and again.state.pending is not None


async def test_a_yes_that_was_under_way_before_the_question_is_asked_again(world: World, shop: Shop) -> None:
    ann = caller(world, shop)
    await ann.say(ZH)
    early = replace(ann.message("好的"), sent_at=NOW - timedelta(seconds=1))
    again = await ann.send(early)
    assert not shop.cancelled and again.state.pending is not None and "1001" in said(again)


async def test_a_button_is_no_yes(world: World, shop: Shop) -> None:
    ann = caller(world, shop)
    await ann.say(ZH)
    await ann.send(ann.message("好的", kind=MessageKind.ACTION, command="feedback"))
    assert not shop.cancelled and ann.state.pending is None


async def test_somebody_elses_yes_does_nothing(world: World, shop: Shop) -> None:
    ann, eve = caller(world, shop), caller(world, shop, id="web:eve")
    await ann.say(ZH)
    await eve.say("好的")
    assert not shop.cancelled


async def test_a_yes_while_an_agent_has_the_conversation_goes_to_the_agent(world: World, shop: Shop) -> None:
    ann = caller(world, shop)
    await ann.say(ZH)
    held(ann, "TICKET-7K9999")
    result = await ann.say("好的")
    assert not shop.cancelled and outcome(result) is Outcome.HANDOFF and result.state.pending is None


async def test_what_a_model_put_into_the_arguments_is_shown_as_plain_words(world: World, shop: Shop) -> None:
    ann = caller(world, shop, order_no="**1001** [click](x)  <b>")
    text = said(await ann.say(EN))
    assert r"cancel order \*\*1001\*\* \[click\](x) \<b\>" in text


@pytest.mark.parametrize(
    "order_no",
    [
        pytest.param("https://evil.example/pay", id="a web address"),
        pytest.param("1" * 400, id="an essay"),
        pytest.param("1001\u202e2002", id="turned around"),
        pytest.param("1001\U000e0031", id="with what nobody sees"),
    ],
)
async def test_an_action_that_nobody_could_agree_to_is_not_offered(world: World, shop: Shop, order_no: str) -> None:
    ann = caller(world, shop, order_no=order_no)
    result = await ann.say(ZH)
    assert outcome(result) is Outcome.ERROR and order_no not in said(result) and result.state.pending is None
    await ann.say("好的")
    assert not shop.cancelled


# -- Once --


def again(customer: Customer, turn: Turn, words: str = "好的") -> Turn:
    """The same turn, run again after a crash, or because its message was edited."""
    return replace(turn, attempt=turn.attempt + 1, messages=(customer.message(words),))


async def agreed_turn(customer: Customer, question: str = ZH, yes: str = "好的") -> Turn:
    """The turn in which the customer says yes, not run yet."""
    await customer.say(question)
    return customer.turn(customer.message(yes))


@pytest.mark.parametrize("words", ["好的", "不用了", "转人工", "/reset"])
async def test_a_turn_that_runs_again_tells_what_was_done_and_does_nothing(
    world: World, shop: Shop, words: str
) -> None:
    ann = caller(world, shop)
    turn = await agreed_turn(ann)
    first = await ann.dialogue.respond(turn, lambda _: None)
    shop.mishap = RuntimeError("the shop would fail now")
    second = await ann.dialogue.respond(again(ann, turn, words), lambda _: None)
    assert len(shop.cancelled) == 1
    assert said(second) == said(first) and second.functions == first.functions
    assert second.state.pending is None and not second.effects


@pytest.mark.parametrize(
    ("question", "yes", "sorry", "action"),
    [
        pytest.param(ZH, "好的", "没能确认", "取消订单 1001", id="zh"),
        pytest.param(EN, "yes", "couldn't confirm", "cancel order 1001", id="en"),
    ],
)
async def test_a_call_that_nobody_saw_the_end_of_is_not_made_again_and_a_person_looks(
    world: World, shop: Shop, question: str, yes: str, sorry: str, action: str
) -> None:
    ann = caller(world, shop)
    turn = await agreed_turn(ann, question, yes)
    assert turn.state.pending is not None
    world.calls.records[turn.state.pending.key] = CallRecord(result=None)
    result = await ann.dialogue.respond(again(ann, turn, yes), lambda _: None)
    [ticket] = opened_tickets(result)
    assert not shop.cancelled
    assert outcome(result) is Outcome.TICKET and result.reply is not None and result.reply.ticket == ticket
    assert sorry in said(result) and action in said(result) and ticket.number in said(result)
    assert action in ticket.subject and ticket.requester == "web:ann"
    assert result.state.pending is None


async def test_the_key_is_the_same_for_one_call_and_another_for_the_next(world: World, shop: Shop) -> None:
    ann = caller(world, shop)
    for _ in range(2):
        await ann.say(ZH)
        await ann.say("好的")
    (_, _, first), (_, _, second) = shop.cancelled
    assert first in world.calls.records and second in world.calls.records and first != second


@pytest.mark.parametrize(
    "mishap", [pytest.param(ConnectionError("13800138000"), id="broken"), pytest.param(5.0, id="slow")]
)
async def test_a_change_that_fails_may_have_happened_so_a_person_looks(
    world: World, shop: Shop, mishap: Exception | float
) -> None:
    ann = world.customer(functions=shop.functions(seconds=0.05), engine=calls("cancel_order", order_no="1001"))
    await ann.say(ZH)
    shop.mishap = mishap
    with structlog.testing.capture_logs() as lines:
        result = await ann.say("好的")
    assert len(opened_tickets(result)) == 1 and "没能确认" in said(result)
    assert {line["event"] for line in lines} == {"function failed"}
    assert "1001" not in repr(lines) and "13800138000" not in repr(lines) and "web:ann" not in repr(lines)
    await ann.say("好的")
    assert len(shop.cancelled) == 1


async def test_a_function_that_is_gone_by_the_time_of_the_yes_is_a_polite_sentence(world: World, shop: Shop) -> None:
    ann = caller(world, shop)
    await ann.say(ZH)
    ann.dialogue = world.customer().dialogue
    result = await ann.say("好的")
    assert outcome(result) is Outcome.ERROR and "工单" in said(result) and result.state.offered == "ticket"
    [ticket] = opened_tickets(await ann.say("好的"))
    assert ticket.subject == "取消订单 1001"


# -- Turns that end otherwise --


@pytest.fixture
def endings(world: World) -> Endings:
    settings, phrases = DialogueSettings(), Phrases()
    ticketing = Ticketing(tickets=world.tickets, phrases=phrases, settings=settings, clock=world.clock)
    return Endings(phrases, settings, world.tickets, ticketing, world.clock)


@pytest.mark.parametrize("ending", ["stopped", "parked", "out_of_time"])
async def test_a_turn_that_ends_while_it_is_made_gives_it_to_a_person(
    world: World, shop: Shop, endings: Endings, ending: str
) -> None:
    turn = await agreed_turn(caller(world, shop))
    result = endings.stopped(turn, "") if ending == "stopped" else getattr(endings, ending)(turn)
    [ticket] = opened_tickets(result)
    assert "取消订单 1001" in ticket.subject and "没能确认" in said(result) and result.state.pending is None


@pytest.mark.parametrize("ending", ["stopped", "parked", "out_of_time", "over_budget"])
async def test_a_turn_about_something_else_that_ends_drops_it(
    world: World, shop: Shop, endings: Endings, ending: str
) -> None:
    turn = await agreed_turn(caller(world, shop), yes="多久发货？")
    result = endings.stopped(turn, "") if ending == "stopped" else getattr(endings, ending)(turn)
    assert "没能确认" not in said(result) and result.state.pending is None


# -- Looking up --


@pytest.mark.parametrize(
    ("question", "told"),
    [
        pytest.param("订单 1001 到哪里了？", "订单 1001 今天送达。", id="zh"),
        pytest.param("Where is order 1001 now?", "Order 1001 arrives today.", id="en"),
    ],
)
async def test_a_look_up_is_made_and_told_at_once(world: World, shop: Shop, question: str, told: str) -> None:
    result = await caller(world, shop, "order_status").say(question)
    assert (outcome(result), said(result)) == (Outcome.STATUS, told)
    assert shop.looked_up == [("web:ann", "1001")] and not world.calls.records
    assert [returned.result for returned in result.functions] == [told]


@pytest.mark.parametrize(
    ("question", "sorry", "yes"),
    [
        pytest.param("订单 1001 到哪里了？", "抱歉", "好的", id="zh"),
        pytest.param("Where is order 1001 now?", "Sorry", "yes", id="en"),
    ],
)
async def test_a_look_up_that_fails_is_a_polite_sentence_with_the_offer_of_a_ticket(
    world: World, shop: Shop, question: str, sorry: str, yes: str
) -> None:
    shop.mishap = ConnectionError("secret")
    ann = caller(world, shop, "order_status")
    result = await ann.say(question)
    assert outcome(result) is Outcome.ERROR and said(result).startswith(sorry) and "secret" not in said(result)
    assert result.reply is not None and ReplyAction.OPEN_TICKET in result.reply.actions
    [ticket] = opened_tickets(await ann.say(yes))
    assert "1001" in ticket.subject


async def test_a_ticket_that_a_look_up_wants_is_offered_and_not_opened(world: World, shop: Shop) -> None:
    ann = caller(world, shop, "order_status", order_no="lost")
    offered = await ann.say("我的包裹到哪里了？")
    assert not offered.effects and said(offered).startswith("这个包裹好像丢了。\n")
    [ticket] = opened_tickets(await ann.say("好的"))
    assert ticket.subject == "我的包裹到哪里了？"


# -- What a model may not call --


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(FunctionCall(name="staff_prices", arguments={}), id="a function for others"),
        pytest.param(FunctionCall(name="drop_tables", arguments={}), id="no function at all"),
        pytest.param(FunctionCall(name="cancel_order", arguments={"order_no": "1", "who": "eve"}), id="an identity"),
    ],
)
async def test_a_call_that_is_not_allowed_is_answered_from_the_passages(
    world: World, shop: Shop, call: FunctionCall
) -> None:
    engine = ScriptedEngine([call], [Answered(text="", confidence=0.0)])
    result = await world.customer(functions=shop.functions(), engine=engine).say("内部价是多少？")
    assert outcome(result) is Outcome.REFUSED and "1 元" not in said(result)
    assert not engine.prompts[1].functions and not result.functions and not shop.cancelled


async def test_the_audience_of_the_channel_decides(world: World, shop: Shop) -> None:
    engine = calls("staff_prices")
    staff = world.customer(functions=shop.functions(), engine=engine, collections=("default", "internal"))
    assert said(await staff.say("这个多少钱？")) == "内部价 1 元"
    assert "staff_prices" in [spec.name for spec in engine.prompts[0].functions]
