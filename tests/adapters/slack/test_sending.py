"""Answers on their way to Slack: streams, what becomes of them, and the final text once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from adapters.slack.replies import render
from bot.errors import CredentialsRefused, DestinationGone, NotSent, PerhapsSent, Undeliverable
from bot.messages import Author, ConversationRef, Outcome, Source
from tests.adapters.slack.outgoing import QUICK, Outgoing, growing, outgoing, reply_of
from tests.fakes.slack_api import Fault

TEXT = """您好！签收后**七天内**可以申请退货，请保持商品完好。

- 打开订单页面
- 选择 `退货`
- 提交申请并等待审核

退款一般在三个工作日内原路退回。"""


@pytest.fixture
async def out() -> AsyncIterator[Outgoing]:
    async with outgoing() as made:
        yield made


def said(out: Outgoing, conversation: ConversationRef) -> list[str]:
    return out.fake.texts(conversation.channel, conversation.thread)


async def test_an_answer_streams_and_ends_with_what_hangs_on_it(out: Outgoing) -> None:
    conversation = out.asked("D5")
    (ts,) = await out.answer(conversation, TEXT, sources=(Source(id="1", title="退货说明", url="https://e.com/r"),))

    (message,) = out.fake.messages("D5", conversation.thread)
    assert message.ts == ts and not message.streaming and not message.edited
    assert message.text.startswith(TEXT)
    assert "来源：<https://e.com/r|退货说明>" in message.text and "[有帮助] [没帮助]" in message.text
    assert message.metadata and message.metadata["event_payload"]["delivery_id"] == 1
    assert len(out.fake.calls("chat.startStream")) == 1 and out.fake.calls("chat.appendStream")
    assert not out.fake.calls("chat.postMessage", "chat.update")


async def test_work_is_shown_before_the_first_word_and_ends_with_the_last(out: Outgoing) -> None:
    conversation = out.asked("D5")
    reply = reply_of(TEXT)
    assert await out.sender.show(conversation, "", shown=None, turn_id=reply.turn_id) is None
    assert out.fake.session("D5", conversation.thread) == "processing"
    shown = await out.show(conversation, growing(TEXT), reply.turn_id)
    await out.deliver(conversation, reply, shown)
    assert out.fake.session("D5", conversation.thread) == "active"


async def test_a_workspace_without_sessions_gets_a_status_line_and_is_remembered(out: Outgoing) -> None:
    out.fake.faults.add(Fault(kind="error", method="agents.sessions.setStatus", error="unknown_method"))
    first, second = out.asked("D5"), out.asked("D6", user="U6")
    for conversation in (first, second):
        await out.sender.show(conversation, "", shown=None, turn_id="t")
        assert out.fake.status(conversation.channel, conversation.thread) == "正在查找答案…"
    assert len(out.fake.calls("agents.sessions.setStatus")) == 1
    await out.deliver(first, reply_of("好的。"))
    assert out.fake.status("D5", first.thread) == ""


async def test_a_turn_without_a_reply_leaves_no_sign_of_work_and_no_stream(out: Outgoing) -> None:
    conversation = out.asked("D5")
    await out.show(conversation, growing(TEXT), "t1")
    out.sender.silent(conversation)
    await out.fake.until(lambda: out.fake.session("D5", conversation.thread) == "active")
    await out.fake.until(lambda: not any(message.streaming for message in out.fake.messages("D5")))
    assert len(out.fake.calls("chat.startStream")) == len(out.fake.calls("chat.stopStream")) == 1
    assert out.fake.status("D5", conversation.thread) == ""


async def test_twenty_threads_stream_side_by_side_without_mixing() -> None:
    async with outgoing(rate_limits=True) as out:
        texts = {}
        for number in range(20):
            channel = f"D{number}" if number % 2 else f"C{number}"
            conversation = out.asked(channel, user=f"U{number}")
            texts[conversation] = "\n\n".join(
                f"第{number}题第{line}行，答案是 word{number}x{line}。" for line in range(9)
            )
        await asyncio.gather(*(out.answer(place, text, steps=20) for place, text in texts.items()))
        for place, text in texts.items():
            (words,) = said(out, place)
            assert words.removesuffix("\n[有帮助] [没帮助]") == text
        assert not [call for call in out.fake.calls() if call.error == "ratelimited"]
        assert len(out.fake.calls("chat.startStream")) == len(out.fake.calls("chat.stopStream")) == 20
        assert not out.fake.calls("chat.postMessage", "chat.update")


async def test_a_429_on_every_third_append_still_ends_with_the_whole_text_once() -> None:
    async with outgoing(timing=type(QUICK)(answer=1.0, flush=0.15)) as out:
        fault = out.fake.faults.add(Fault(kind="ratelimited", method="chat.appendStream", every=3, retry_after=1))
        conversation = out.asked("D5")
        text = "\n\n".join(TEXT.replace("您好", f"第 {number} 条") for number in range(4))
        await out.answer(conversation, text, steps=24)
        assert fault.fired >= 2 and len(out.fake.calls("chat.appendStream", applied=True)) >= 3
        out.fake.once("D5", text)
        assert len(out.fake.messages("D5")) == 1


@pytest.mark.parametrize("again", [False, True], ids=["between appends", "at the end"])
async def test_a_stream_that_dies_half_way_ends_with_the_whole_text_once(out: Outgoing, again: bool) -> None:
    conversation = out.asked("D5")
    reply = reply_of(TEXT)
    shown = await out.show(conversation, growing(TEXT)[:4], reply.turn_id)
    out.fake.streams.dies("D5")
    if not again:
        await asyncio.sleep(QUICK.update)
        assert await out.sender.show(conversation, TEXT[:-10], shown=shown, turn_id=reply.turn_id) == shown
    assert await out.deliver(conversation, reply, shown) == [shown]
    assert len(said(out, conversation)) == 1
    out.fake.once("D5", TEXT)


async def test_a_stream_is_ended_before_slack_ends_it_and_then_edited() -> None:
    timing = type(QUICK)(answer=1.0, flush=0.02, update=0.0, stream_life=0.1)
    async with outgoing(timing=timing) as out:
        conversation = out.asked("D5")
        reply = reply_of(TEXT)
        shown = await out.show(conversation, growing(TEXT, 20), reply.turn_id)
        (stop,) = out.fake.calls("chat.stopStream")
        assert not stop.error and out.fake.calls("chat.update")
        await out.deliver(conversation, reply, shown)
        assert len(out.fake.messages("D5")) == 1
        out.fake.once("D5", TEXT)


async def test_a_final_text_that_differs_is_written_over_what_streamed(out: Outgoing) -> None:
    conversation = out.asked("D5")
    reply = reply_of("抱歉，我暂时无法查询到该问题。", outcome=Outcome.REFUSED)
    shown = await out.show(conversation, growing(TEXT), reply.turn_id)
    assert await out.deliver(conversation, reply, shown) == [shown]
    (words,) = said(out, conversation)
    assert words.startswith("抱歉，我暂时无法查询到该问题。") and "退货" not in words


@pytest.mark.parametrize("method", ["chat.startStream", "chat.appendStream", "chat.stopStream"])
@pytest.mark.parametrize("kind", ["close", "hang", "html", "truncated", "shape", "empty"])
async def test_a_call_of_unknown_fate_leaves_the_whole_text_once(method: str, kind: str) -> None:
    timing = type(QUICK)(answer=0.4, flush=0.02, update=0.05)
    async with outgoing(timing=timing) as out:
        skip = 1 if method == "chat.appendStream" else 0
        out.fake.faults.add(Fault(kind=kind, method=method, times=1, skip=skip, apply=True, seconds=2.0))  # type: ignore[arg-type]
        conversation = out.asked("D5")
        await out.answer(conversation, TEXT)
        assert len(said(out, conversation)) == 1, said(out, conversation)
        out.fake.once("D5", TEXT)
        assert not any(message.streaming for message in out.fake.messages("D5"))


@pytest.mark.parametrize("apply", [True, False], ids=["arrived", "lost"])
@pytest.mark.parametrize("kind", ["close", "hang", "html", "truncated", "cut", "reset"])
async def test_an_ambiguous_post_is_reconciled_through_its_metadata(kind: str, apply: bool) -> None:
    timing = type(QUICK)(answer=0.4, flush=0.02)
    async with outgoing(timing=timing) as out:
        conversation = out.asked("D5")
        out.fake.faults.add(Fault(kind=kind, method="chat.postMessage", times=2, apply=apply, seconds=2.0))  # type: ignore[arg-type]
        reply = reply_of("工单已处理。", author=Author.AGENT, agent="小王", turn_id="", actions=())
        (ts,) = await out.deliver(conversation, reply)
        (message,) = out.fake.messages("D5")
        assert message.ts == ts


async def test_a_notice_outside_any_thread_is_reconciled_in_the_channels_history(out: Outgoing) -> None:
    out.fake.people.opens_channel("COPS")
    place = ConversationRef(platform="slack", account="", channel="COPS")
    assert out.sender.show_interval(place) is None
    out.fake.faults.add(Fault(kind="close", method="chat.postMessage", times=1, apply=True))
    await out.deliver(place, reply_of("有新工单", author=Author.NOTICE, turn_id=""))
    assert out.fake.texts("COPS") == ["有新工单"]


async def test_a_new_process_finds_what_the_old_one_sent(out: Outgoing) -> None:
    conversation = out.asked("D5")
    reply = reply_of("\n\n".join([TEXT] * 150), turn_id="old")
    sent = await out.deliver(conversation, reply, delivery=77)
    assert len(sent) > 1
    second = Outgoing(out.fake)
    for number, part in enumerate(render(reply)):
        found = await second.repeated(conversation, part.payload, None, 77, reply)  # type: ignore[arg-type]
        assert found == sent[number]
        second.sender._known.clear()
    await second.close()
    assert len(out.fake.messages("D5")) == len(sent)


@pytest.mark.parametrize("told", [True, False], ids=["the placeholder is known", "it is not"])
async def test_what_a_killed_process_began_is_finished_and_not_said_twice(out: Outgoing, told: bool) -> None:
    conversation = out.asked("D5")
    reply = reply_of(TEXT)
    shown = await out.show(conversation, growing(TEXT)[:5], reply.turn_id)
    second = Outgoing(out.fake)
    second.sender.remember(conversation, team="T0KEFU", user="U5")
    if told:
        await second.deliver(conversation, reply, shown)
    else:
        again = await second.show(conversation, growing(TEXT), reply.turn_id)
        assert again == shown
        await second.deliver(conversation, reply, again)
    await second.close()
    (message,) = out.fake.messages("D5")
    assert not message.streaming
    out.fake.once("D5", TEXT)


@pytest.mark.parametrize("shown_again", [True, False], ids=["the answer grows again", "it is sent at once"])
async def test_a_beginning_that_somebody_has_written_below_goes_on_no_more(out: Outgoing, shown_again: bool) -> None:
    conversation = out.asked("D5")
    reply = reply_of(TEXT)
    await out.show(conversation, growing(TEXT)[:5], reply.turn_id)
    out.fake.people.says("D5", "还在吗", thread=conversation.thread)
    second = Outgoing(out.fake)
    second.sender.remember(conversation, team="T0KEFU", user="U5")
    shown = await second.show(conversation, growing(TEXT), reply.turn_id) if shown_again else None
    await second.deliver(conversation, reply, shown)
    await out.fake.until(lambda: not any(message.streaming for message in out.fake.messages("D5")))
    await second.close()
    beginning, *_, answer = out.fake.messages("D5")
    assert beginning.text.startswith("您好") and not beginning.metadata
    assert answer.metadata["event_type"] == "kefu_delivery"  # type: ignore[index]


async def test_without_an_asker_the_answer_is_a_post_that_is_edited(out: Outgoing) -> None:
    conversation = out.asked("C1", known=False)
    (ts,) = await out.answer(conversation, TEXT, steps=20)
    assert not out.fake.calls("chat.startStream") and out.fake.calls("chat.update")
    (message,) = out.fake.messages("C1")
    assert message.ts == ts and message.metadata["event_type"] == "kefu_delivery"  # type: ignore[index]
    out.fake.once("C1", TEXT)


async def test_a_workspace_without_streams_is_remembered(out: Outgoing) -> None:
    out.fake.faults.add(Fault(kind="error", method="chat.startStream", error="unknown_method"))
    for channel in ("D5", "D6"):
        await out.answer(out.asked(channel), TEXT)
        assert len(out.fake.messages(channel)) == 1
        out.fake.once(channel, TEXT)
    assert len(out.fake.calls("chat.startStream")) == 1


async def test_after_stop_nothing_more_is_said_than_was_seen(out: Outgoing) -> None:
    conversation = out.asked("D5")
    reply = reply_of(TEXT)
    shown = await out.show(conversation, growing(TEXT)[:4], reply.turn_id)
    out.fake.people.stops("D5", conversation.thread, user="U5")
    out.sender.stopped("", "D5", conversation.thread)
    assert await out.deliver(conversation, reply, shown) == [shown]
    (message,) = out.fake.messages("D5")
    assert message.text.startswith("您好") and "三个工作日" not in message.text + message.notice


async def test_the_words_that_confirm_a_stop_replace_the_rest(out: Outgoing) -> None:
    conversation = out.asked("D5")
    reply = reply_of(f"{TEXT[:20]}…\n\n好的，已停止。", outcome=Outcome.CHAT, actions=())
    shown = await out.show(conversation, growing(TEXT)[:4], reply.turn_id)
    out.fake.people.stops("D5", conversation.thread, user="U5")
    await out.deliver(conversation, reply, shown)
    (words,) = said(out, conversation)
    assert words.endswith("好的，已停止。") and "三个工作日" not in words


@pytest.mark.parametrize("moment", [0.0, 0.005, 0.02, 0.05, 0.15])
async def test_a_cancelled_call_leaves_no_second_message(moment: float) -> None:
    async with outgoing() as out:
        conversation = out.asked("D5")
        reply = reply_of(TEXT)
        out.fake.faults.add(Fault(kind="slow", seconds=0.03, times=40))
        showing = asyncio.create_task(out.show(conversation, growing(TEXT), reply.turn_id))
        await asyncio.sleep(moment)
        showing.cancel()
        sending = asyncio.create_task(out.deliver(conversation, reply, delivery=9))
        await asyncio.sleep(moment)
        sending.cancel()
        await asyncio.wait([showing, sending])
        await out.deliver(conversation, reply, delivery=9)
        (message,) = out.fake.messages("D5")
        assert not message.streaming
        out.fake.once("D5", TEXT)


async def test_a_message_that_is_gone_is_sent_anew(out: Outgoing) -> None:
    conversation = out.asked("D5")
    reply = reply_of(TEXT)
    shown = await out.show(conversation, growing(TEXT)[:4], reply.turn_id)
    assert shown
    out.fake.people.deletes("D5", shown)
    (ts,) = await out.deliver(conversation, reply, shown)
    assert ts != shown
    out.fake.once("D5", TEXT)


async def test_long_replies_become_several_messages_in_order(out: Outgoing) -> None:
    table = "| 型号 | 价格 |\n|---|---|\n" + "\n".join(f"| 型号{n} | {n} 元 |" for n in range(700))
    code = "```python\n" + "\n".join(f"print('line {n}')" for n in range(500)) + "\n```"
    text = f"# 目录\n\n{table}\n\n{code}\n\n" + "\n\n".join(f"第 {n} 段。" for n in range(900))
    assert len(text) > 25_000
    conversation = out.asked("D5")
    sent = await out.answer(conversation, text)
    messages = out.fake.messages("D5")
    assert [message.ts for message in messages] == sent == sorted(sent) and len(sent) >= 3
    whole = "\n".join(message.text for message in messages)
    for found in [f"| 型号{n} | {n} 元 |" for n in range(700)] + [f"print('line {n}')" for n in range(500)]:
        assert whole.count(found) == 1
    for message in messages:
        assert message.text.count("```") % 2 == 0 and len(message.text) <= 12_000
        if "| 型号" in message.text:
            assert "| 型号 | 价格 |\n| --- | --- |" in message.text
    assert "[有帮助]" in messages[-1].text and "[有帮助]" not in messages[0].text


async def test_blocks_that_are_refused_come_in_a_lesser_form(out: Outgoing) -> None:
    out.fake.faults.add(Fault(kind="error", method="chat.*", error="invalid_blocks", contains="'markdown'"))
    conversation = out.asked("D5")
    await out.deliver(conversation, reply_of("**粗体**和 a < b"))
    (message,) = out.fake.messages("D5")
    assert message.blocks[0]["type"] == "section" and "a &lt; b" in message.blocks[0]["text"]["text"]
    out.fake.faults.add(Fault(kind="error", method="chat.*", error="invalid_blocks", contains="'section'"))
    await out.deliver(conversation, reply_of("只有文字"))
    assert out.fake.messages("D5")[-1].text == "只有文字"


async def test_a_stream_whose_end_is_refused_keeps_its_text(out: Outgoing) -> None:
    out.fake.faults.add(Fault(kind="error", method="*", error="invalid_blocks", contains="context_actions"))
    conversation = out.asked("D5")
    await out.answer(conversation, TEXT)
    (message,) = out.fake.messages("D5")
    assert "三个工作日" in message.text and not message.streaming


async def test_places_that_are_gone_are_told_apart_from_tokens_that_are(out: Outgoing) -> None:
    conversation = out.asked("C1")
    out.fake.people.archives("C1")
    with pytest.raises(DestinationGone):
        await out.deliver(conversation, reply_of("好的"))
    other = out.asked("C2")
    out.fake.tokens.ends("token_revoked")
    with pytest.raises(CredentialsRefused):
        await out.deliver(other, reply_of("好的"))


async def test_a_revoked_token_is_asked_about_rarely_and_opens_again_by_itself(out: Outgoing) -> None:
    conversation = out.asked("D5")
    out.fake.tokens.ends("token_revoked")
    before = len(out.fake.calls())
    started = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - started < 3 * QUICK.refused_pause:
        with pytest.raises(CredentialsRefused):
            await out.deliver(conversation, reply_of("好的"))
        await asyncio.sleep(0.01)
    assert len(out.fake.calls()) - before <= 5 and out.tokens.trouble
    out.fake.tokens.works_again()
    await asyncio.sleep(QUICK.refused_pause)
    await out.deliver(conversation, reply_of("又好了"))
    assert not out.tokens.trouble and out.fake.texts("D5") == ["又好了\n[有帮助] [没帮助]"]


async def test_patience_is_per_method_and_workspace(out: Outgoing) -> None:
    out.fake.faults.add(Fault(kind="ratelimited", method="chat.postMessage", retry_after=30, times=1))
    conversation = out.asked("D5")
    (part,) = render(reply_of("好的"))
    with pytest.raises(NotSent) as refused:
        await out.sender.send(conversation, part.payload, replaces=None, delivery_id=1, reply=reply_of("好的"))  # type: ignore[arg-type]
    assert refused.value.retry_after == 30
    assert not out.sender.take_slot(conversation)
    reply = reply_of(TEXT)
    shown = await out.show(conversation, growing(TEXT), reply.turn_id)
    assert shown and out.sender.take_slot(conversation)


async def test_nobody_can_be_reached(out: Outgoing) -> None:
    conversation = out.asked("D5")
    lost = Outgoing(out.fake)
    lost.transport._url = "http://127.0.0.1:1/api/"
    (part,) = render(reply_of("好的"))
    with pytest.raises(NotSent):
        await lost.sender.send(conversation, part.payload, replaces=None, delivery_id=1, reply=reply_of("好的"))  # type: ignore[arg-type]
    await lost.close()


async def test_where_the_thread_can_never_be_read_operators_decide(out: Outgoing) -> None:
    out.fake.tokens.loses("im:history")
    conversation = out.asked("D5")
    out.fake.faults.add(Fault(kind="close", method="chat.postMessage", times=2, apply=True))
    (part,) = render(reply := reply_of("好的"))
    for error in (PerhapsSent, PerhapsSent, Undeliverable):
        with pytest.raises(error):
            await out.sender.send(conversation, part.payload, replaces=None, delivery_id=1, reply=reply)  # type: ignore[arg-type]
    assert len(out.fake.messages("D5")) == 2


async def test_an_old_process_does_not_wait_to_look_through_a_new_thread() -> None:
    async with outgoing(timing=type(QUICK)(answer=1.0, settling=0.0)) as out:
        out.fake.faults.add(Fault(kind="ratelimited", method="conversations.replies", retry_after=60))
        conversation = out.asked("D5")
        (part,) = render(reply := reply_of("好的"))
        await out.sender.send(conversation, part.payload, replaces=None, delivery_id=1, reply=reply)  # type: ignore[arg-type]
        assert len(out.fake.messages("D5")) == 1


async def test_a_finished_answer_is_never_taken_for_an_unfinished_one(out: Outgoing) -> None:
    conversation = out.asked("D5")
    await out.answer(conversation, TEXT)
    second = Outgoing(out.fake)
    second.sender.remember(conversation, team="T0KEFU", user="U5")
    await second.deliver(conversation, reply_of("工单已提交。", outcome=Outcome.TICKET), delivery=50)
    await second.close()
    assert len(out.fake.messages("D5")) == 2
    out.fake.once("D5", TEXT)


async def test_what_could_not_be_written_down_is_not_sent_again(out: Outgoing) -> None:
    conversation = out.asked("D5")
    reply = reply_of(TEXT)
    assert await out.deliver(conversation, reply, delivery=5) == await out.deliver(conversation, reply, delivery=5)
    assert len(out.fake.messages("D5")) == 1


async def test_where_the_thread_can_not_be_read_a_message_is_repeated_once(out: Outgoing) -> None:
    out.fake.tokens.loses("im:history")
    conversation = out.asked("D5")
    out.fake.faults.add(Fault(kind="close", method="chat.postMessage", times=1, apply=False))
    (part,) = render(reply := reply_of("好的"))
    with pytest.raises(PerhapsSent):
        await out.sender.send(conversation, part.payload, replaces=None, delivery_id=1, reply=reply)  # type: ignore[arg-type]
    await out.sender.send(conversation, part.payload, replaces=None, delivery_id=1, reply=reply)  # type: ignore[arg-type]
    assert len(out.fake.messages("D5")) == 1


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_on_the_way_every_answer_ends_whole_and_once(seed: int) -> None:
    """Storms of everything at once over ten conversations, some of which are cancelled while they are shown."""
    chance = random.Random(seed)
    async with outgoing(timing=type(QUICK)(answer=0.5, flush=0.03, update=0.1)) as out:
        texts = {}
        for number in range(10):
            conversation = out.asked(f"D{number}", user=f"U{number}", known=number % 5 > 0)
            texts[conversation] = TEXT.replace("您好", f"第 {number} 位您好") + "\n\n尾声。" * chance.randrange(4)
        for kind in (
            "close",
            "reset",
            "html",
            "truncated",
            "cut",
            "empty",
            "hang",
            "error",
            "ratelimited",
            "stream_dies",
        ):
            out.fake.faults.add(
                Fault(
                    kind=kind,  # type: ignore[arg-type]
                    method="*" if kind != "stream_dies" else chance.choice(["chat.appendStream", "chat.stopStream"]),
                    every=chance.randrange(5, 15),
                    skip=chance.randrange(5),
                    times=chance.randrange(1, 6),
                    apply=kind != "ratelimited" and chance.random() < 0.6,
                    seconds=1.0,
                )
            )

        async def turn(conversation: ConversationRef, text: str) -> None:
            reply = reply_of(text)
            showing = asyncio.create_task(out.show(conversation, growing(text), reply.turn_id))
            await asyncio.wait([showing], timeout=chance.choice([0.05, 0.2, 5.0]))
            shown = showing.result() if showing.done() else None
            showing.cancel()
            await out.deliver(conversation, reply, shown)

        await asyncio.gather(*(turn(conversation, text) for conversation, text in texts.items()))
        assert sum(fault.fired for fault in out.fake.faults.program) > 10
        for conversation, text in texts.items():
            (message,) = out.fake.messages(conversation.channel)
            assert not message.streaming and message.text.count(text) == 1, message
            assert message.text.removeprefix(text).strip() == "[有帮助] [没帮助]"
            assert message.metadata and message.metadata["event_type"] == "kefu_delivery"
