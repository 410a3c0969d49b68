"""Questions and answers over the long connection, with the whole core behind it."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from adapters.wecom.bot.phrases import ANSWERED_ABOVE, LATE, TOO_MUCH, WITH_PERSON, WORKING
from bot.history import outbox
from bot.messages import Author, ConversationRef, Outcome, Reply
from bot.turns.limits import QueueLimits
from tests.adapters.wecom.bot.house import FAST, REAL_SECOND, Bench, LongDialogue, all_sent, until
from tests.fakes.wecom_aibot import DOWN, TAKEN_BACK, UP, FakeAiBot, Fault


async def test_a_question_is_answered_in_its_own_stream(bench: Bench, aibot: FakeAiBot) -> None:
    async with bench.running():
        asked = aibot.people.says("T1")
        await until(lambda: aibot.texts("zhangsan"))
        [answer] = aibot.answers(asked)
        assert answer.via == "stream"
        assert answer.text == "T1 完"
        assert answer.finished
        await asyncio.sleep(0.5)
    assert aibot.streams.unfinished() == []
    assert aibot.violations == []


async def test_in_a_group_the_name_is_taken_out_and_the_answer_says_whom_it_is_for(
    bench: Bench, aibot: FakeAiBot
) -> None:
    async with bench.running():
        first = aibot.people.says("T1", user="LiSi", chat="wrGroup1")
        second = aibot.people.says("T2", user="wangwu", chat="wrGroup1")
        await until(lambda: len(aibot.texts("wrGroup1")) == 2)
    assert [post.text for post in aibot.answers(first)] == ["<@lisi> T1 完"]
    assert [post.text for post in aibot.answers(second)] == ["<@wangwu> T2 完"]
    assert sorted(turn.text for turn in bench.dialogue.seen) == ["T1", "T2"]
    assert {turn.conversation.thread for turn in bench.dialogue.seen} == {"lisi", "wangwu"}
    assert not any(turn.messages[0].direct for turn in bench.dialogue.seen)
    assert aibot.violations == []


async def test_a_slow_answer_is_acknowledged_at_once_grows_a_second_apart_and_arrives_once(
    bench: Bench, aibot: FakeAiBot
) -> None:
    """In real seconds, as WeCom counts them."""
    aibot.streams.apart, bench.dialogue.snapshots = 0.9, 5
    async with bench.running(REAL_SECOND):
        asked = aibot.people.says("T1 slow 4", chat="wrGroup1")
        await until(lambda: aibot.answers(asked), seconds=2.0)
        assert aibot.answers(asked)[0].text == f"<@zhangsan> {WORKING['en']}"
        await until(lambda: aibot.answers(asked)[0].finished)
    [answer] = aibot.answers(asked)
    texts = [text for _, text in answer.shown]
    assert texts[-1] == "<@zhangsan> T1 完"
    assert texts[1:-1] == sorted(texts[1:-1], key=len)
    assert len(texts) >= 4
    assert len(aibot.posts()) == 1
    assert aibot.violations == []


async def test_three_messages_in_flight_are_all_finished(bench: Bench, aibot: FakeAiBot) -> None:
    async with bench.running():
        first = aibot.people.says("T1 slow 0.9")
        await until(lambda: bench.dialogue.seen)
        second, third = aibot.people.says("T2 slow 0.5"), aibot.people.says("T3")
        await until(lambda: aibot.answers(third) and not aibot.streams.unfinished())
    assert [post.text for post in aibot.answers(first)] == ["T1 完"]
    assert [post.text for post in aibot.answers(second)] == ["T2 T3 完"]
    assert [post.text for post in aibot.answers(third)] == [ANSWERED_ABOVE["zh"]]
    assert aibot.violations == []


async def test_a_turn_that_ends_in_silence_finishes_what_was_shown(bench: Bench, aibot: FakeAiBot) -> None:
    async with bench.running():
        asked = aibot.people.says("好的 silent slow 0.6")
        await until(lambda: aibot.answers(asked))
        await until(lambda: not aibot.streams.unfinished())
        assert aibot.answers(asked)[0].text == WITH_PERSON["zh"]
        quick = aibot.people.says("silent")
        await until(lambda: len(bench.dialogue.seen) == 2)
        await asyncio.sleep(0.6)
        assert aibot.answers(quick) == []
    assert aibot.violations == []


async def test_an_answer_that_would_be_too_late_is_ended_honestly_and_comes_as_a_second_message(
    bench: Bench, aibot: FakeAiBot
) -> None:
    timing = dataclasses.replace(FAST, stream_ends=1.2)
    async with bench.running(timing):
        asked = aibot.people.says("什么时候到？ T1 slow 2")
        await until(lambda: aibot.answers(asked) and aibot.answers(asked)[0].finished)
        assert aibot.answers(asked)[0].text.startswith("回答")
        assert aibot.answers(asked)[0].text.endswith(LATE["zh"])
        await until(lambda: aibot.posts("zhangsan", via="markdown"))
        await asyncio.sleep(0.5)
    assert aibot.once("zhangsan", "T1 完").via == "markdown"
    assert aibot.violations == []


async def test_a_lost_acknowledgement_of_the_end_is_no_second_answer(bench: Bench, aibot: FakeAiBot) -> None:
    fault = aibot.faults.add(Fault(kind="no_ack", method="aibot_respond_msg", contains="完", apply=True, times=1))
    async with bench.running():
        aibot.people.says("T1")
        await until(lambda: len(aibot.frames("aibot_respond_msg")) == 2)
        await asyncio.sleep(0.5)
    assert fault.fired == 1
    assert aibot.once("zhangsan", "T1 完").via == "stream"
    assert len(aibot.posts()) == 1
    assert aibot.violations == []


async def test_after_a_lost_snapshot_only_the_latest_is_sent(bench: Bench, aibot: FakeAiBot) -> None:
    bench.dialogue.snapshots = 4
    fault = aibot.faults.add(Fault(kind="no_ack", method="aibot_respond_msg", skip=1, times=2))
    async with bench.running(dataclasses.replace(FAST, ack=0.4)):
        asked = aibot.people.says("T1 slow 3")
        await until(lambda: aibot.answers(asked) and aibot.answers(asked)[0].finished)
    assert fault.fired == 2
    contents = [heard.body["stream"]["content"] for heard in aibot.frames("aibot_respond_msg")]
    assert contents == [*sorted(contents[:-1], key=len), "T1 完"]
    assert aibot.violations == []


async def test_a_late_acknowledgement_is_not_taken_for_the_next_frames(bench: Bench, aibot: FakeAiBot) -> None:
    """The snapshot's comes while the end waits for its own, and the end was refused."""
    aibot.faults.add(Fault(kind="slow", method="aibot_respond_msg", seconds=1.2, times=1))
    refused = aibot.faults.add(Fault(kind="error", method="aibot_respond_msg", contains="完", errcode=45009, times=1))
    async with bench.running(dataclasses.replace(FAST, ack=0.4, late_ack=0.3)):
        aibot.people.says("T1 slow 1")
        await until(lambda: aibot.texts("zhangsan"))
    assert refused.fired == 1
    assert aibot.once("zhangsan", "T1 完").via == "stream"


async def test_a_stream_that_wecom_has_ended_is_continued_in_a_message_of_its_own(
    bench: Bench, aibot: FakeAiBot
) -> None:
    async with bench.running():
        asked = aibot.people.says("T1 slow 1", chat="wrGroup1")
        await until(lambda: aibot.answers(asked))
        aibot.streams.end(aibot.answers(asked)[0])
        await until(lambda: aibot.posts("wrGroup1", via="markdown"))
        await asyncio.sleep(0.5)
    assert aibot.once("wrGroup1", "<@zhangsan> T1 完").via == "markdown"
    assert aibot.violations == []


async def test_too_often_makes_snapshots_fewer_and_the_answer_none_the_less(bench: Bench, aibot: FakeAiBot) -> None:
    bench.dialogue.snapshots = 8
    fault = aibot.faults.add(Fault(kind="error", method="aibot_respond_msg", errcode=45009, skip=1, times=2))
    async with bench.running():
        asked = aibot.people.says("T1 slow 3")
        await until(lambda: aibot.answers(asked) and aibot.answers(asked)[0].finished)
    assert fault.fired == 2
    assert aibot.answers(asked)[0].text == "T1 完"
    assert aibot.violations == []


async def test_thirty_messages_a_minute_are_the_most_a_conversation_gets(bench: Bench, aibot: FakeAiBot) -> None:
    async with bench.running():
        for number in range(40):
            aibot.people.says(f"T{number}", user=f"user{number}", chat="wrGroup1")
        await until(lambda: len(aibot.texts("wrGroup1")) >= 28)
        await asyncio.sleep(1.0)
        assert len(aibot.posts("wrGroup1")) <= 30
    assert not [heard for heard in aibot.frames() if heard.errcode == 45009]


async def test_a_redelivered_message_is_answered_once(bench: Bench, aibot: FakeAiBot) -> None:
    async with bench.running():
        asked = aibot.people.says("T1 slow 1")
        aibot.people.again(asked)
        aibot.people.again(asked)
        await until(lambda: aibot.texts("zhangsan"))
        aibot.people.again(asked)
        await asyncio.sleep(0.5)
    assert len(aibot.posts()) == 1
    assert len(bench.dialogue.seen) == 1
    assert aibot.violations == []


async def test_what_is_over_a_limit_gets_an_end_too(bench: Bench, aibot: FakeAiBot) -> None:
    bench.limits = QueueLimits(user_per_minute=1, queue_per_conversation=20, queue_total=2000, max_message_chars=4000)
    async with bench.running(dataclasses.replace(FAST, shed_ends=2.0)):
        aibot.people.says("T1")
        second = aibot.people.says("还有 T2")
        third = aibot.people.says("还有 T3")
        await until(lambda: len(aibot.texts("zhangsan")) == 3)
    assert [post.text for post in aibot.answers(second)] == ["请稍候"]
    assert [post.text for post in aibot.answers(third)] == [TOO_MUCH["zh"]]
    assert aibot.streams.unfinished() == []
    assert aibot.violations == []


async def test_a_thumb_reaches_the_turn_it_is_about(bench: Bench, aibot: FakeAiBot) -> None:
    async with bench.running() as run:
        asked = aibot.people.says("T1", chat="wrGroup1")
        await until(lambda: aibot.texts("wrGroup1"))
        [answer] = aibot.answers(asked)
        aibot.people.rates(answer, UP, user="lisi")
        aibot.people.rates(answer, DOWN, words="太长了", reasons=(2, 3))
        aibot.people.rates(answer, TAKEN_BACK, user="wangwu")

        def read() -> list[tuple[str, str, str]]:
            return found

        found: list[tuple[str, str, str]] = []
        async with asyncio.timeout(10):
            while len(found) < 2:
                found = await run.database.read(_feedback)
                await asyncio.sleep(0.02)
        assert sorted(read()) == [
            ("wecom_bot:lisi", "up", ""),
            ("wecom_bot:zhangsan", "down", "内容不完整；内容有错误；太长了"),
        ]
    assert aibot.violations == []


def _feedback(connection: object) -> list[tuple[str, str, str]]:
    from sqlalchemy import Connection, select

    from bot.history.tables import feedback

    assert isinstance(connection, Connection)
    rows = connection.execute(select(feedback.c.person_id, feedback.c.rating, feedback.c.comment))
    return [(row[0], row[1], row[2]) for row in rows]


async def test_a_newcomer_is_welcomed_in_time(bench: Bench, aibot: FakeAiBot) -> None:
    async with bench.running():
        entered = aibot.people.enters()
        await until(lambda: aibot.answers(entered))
    [welcome] = aibot.answers(entered)
    assert "您好" in welcome.text
    assert "Hello" in welcome.text
    assert aibot.violations == []


async def test_a_ticket_comes_with_a_card_that_says_when_it_was_pressed(bench: Bench, aibot: FakeAiBot) -> None:
    async with bench.running():
        aibot.people.says("T1 ticket")
        await until(lambda: aibot.cards("zhangsan"))
        [card] = aibot.cards("zhangsan")
        assert aibot.once("zhangsan", "T1 完").via == "stream"
        keys = [button["key"] for button in card.card["button_list"]]
        assert keys[0].startswith("kefu_act:solved|TICKET-")
        pressed = aibot.people.presses(card.card["task_id"], keys[0])
        await until(lambda: card.updates)
        assert pressed.answers == 1
        await until(lambda: len(bench.dialogue.seen) == 2)
        [message] = bench.dialogue.seen[1].messages
        assert (message.command, message.text) == ("solved", keys[0].partition("|")[2])
        await until(lambda: aibot.posts("zhangsan", via="markdown"))
    assert aibot.violations == []


async def test_a_long_answer_goes_on_in_a_second_message(bench: Bench, aibot: FakeAiBot) -> None:
    bench.dialogue = LongDialogue()
    async with bench.running():
        asked = aibot.people.says("T1", chat="wrGroup1")
        await until(lambda: len(aibot.texts("wrGroup1")) == 2)
    first, second = aibot.posts("wrGroup1")
    assert (first.via, second.via) == ("stream", "markdown")
    assert aibot.answers(asked) == [first]
    assert max(len(post.text.encode()) for post in (first, second)) <= 20_480
    words = "".join(post.text.removeprefix("<@zhangsan> ") for post in (first, second))
    assert words.replace("\n", "") == LongDialogue.TEXT
    assert aibot.violations == []


async def test_an_answer_does_not_grow_in_the_place_of_a_message_that_was_left_out(
    bench: Bench, aibot: FakeAiBot
) -> None:
    bench.limits = QueueLimits(user_per_minute=1, queue_per_conversation=20, queue_total=2000, max_message_chars=4000)
    async with bench.running():
        first = aibot.people.says("T1 slow 1", chat="wrGroup1")
        await until(lambda: bench.dialogue.seen)
        left_out = aibot.people.says("还有 T2", chat="wrGroup1")
        await until(lambda: not aibot.streams.unfinished() and len(aibot.texts("wrGroup1")) == 2)
    assert [post.text for post in aibot.answers(first)] == ["<@zhangsan> T1 完"]
    assert [post.text for post in aibot.answers(left_out)] == ["<@zhangsan> 请稍候"]
    assert aibot.violations == []


async def test_should_every_refresh_count_the_end_comes_when_there_is_room(bench: Bench, aibot: FakeAiBot) -> None:
    aibot.rates.refreshes, aibot.rates.windows = True, ((60.0, 4),)
    bench.dialogue.snapshots = 8
    async with bench.running():
        asked = aibot.people.says("T1 slow 3")
        await until(lambda: any("完" in str(heard.body) and heard.errcode == 45009 for heard in aibot.frames()))
        aibot.clock.advance(61)
        await until(lambda: aibot.answers(asked)[0].finished)
    assert aibot.once("zhangsan", "T1 完").via == "stream"
    assert len(aibot.posts()) == 1


@pytest.mark.parametrize("chat", ["wrGroup1", "somebodys-group"])
async def test_notices_find_a_group_or_a_colleague(bench: Bench, aibot: FakeAiBot, chat: str) -> None:
    async with bench.running() as run:
        aibot.people.says("T1", chat=chat)
        aibot.people.says("T2", user="operator")
        await until(lambda: len(aibot.texts()) == 2)
        await all_sent(run)
    async with bench.running() as run:  # one that has heard of neither
        for number, where in enumerate((chat, "operator")):
            there = ConversationRef(platform="wecom_bot", account=aibot.bot_id, channel=where)
            notice = Reply(outcome=Outcome.TICKET, text=f"新工单 {number}", language="zh", author=Author.NOTICE)
            [part] = run.channel.render(notice)
            assert run.channel.take_slot(there)
            await run.channel.send(there, part, replaces=None, delivery_id=number, reply=notice)
    assert aibot.texts(chat)[1:] == ["新工单 0"]
    assert aibot.texts("operator")[1:] == ["新工单 1"]


async def test_a_group_that_put_the_bot_out_is_gone(bench: Bench, aibot: FakeAiBot) -> None:
    async with bench.running() as run:
        aibot.people.says("T1 slow 1", chat="wrGroup1")
        await until(lambda: aibot.posts())
        aibot.people.dismisses("wrGroup1")
        await until(lambda: run.core.outbox._failures == {} and bench.dialogue.running.total() == 0)
        await asyncio.sleep(0.5)
        aibot.people.says("T2", user="lisi")
        await until(lambda: aibot.texts("lisi"))
        await all_sent(run)
        assert await run.database.read(outbox.counts) == {"failed": 1}


async def test_nothing_is_said_in_logs_that_people_or_wecom_keep_to_themselves(
    bench: Bench, aibot: FakeAiBot, capsys: pytest.CaptureFixture[str]
) -> None:
    aibot.people.response_url = "https://qyapi.weixin.qq.com/cgi-bin/aibot/response?response_code=a-password"
    aibot.faults.add(Fault(kind="error", method="aibot_respond_msg", errcode=40058, times=1))
    async with bench.running():
        aibot.people.says("T1 我的密码是 hunter2 slow 1")
        await until(lambda: aibot.texts("zhangsan"))
        aibot.links.kill()
        await asyncio.sleep(0.3)
    said = capsys.readouterr()
    for secret in ("hunter2", "a-password", aibot.secret, "T1 完"):
        assert secret not in said.out + said.err


async def test_three_hundred_colleagues_at_once_are_answered_once_each(bench: Bench, aibot: FakeAiBot) -> None:
    bench.dialogue.latency = (0.0, 1.5)
    # A whole second apart, three times what the fake asks for: with so many on one loop, frames arrive in bursts.
    async with bench.running(dataclasses.replace(REAL_SECOND, silent=10.0, ack=10.0)):
        for number in range(300):
            aibot.people.says(f"T{number}", user=f"user{number}", chat=f"wrGroup{number // 10}" if number % 2 else "")
        await until(lambda: len(aibot.texts()) >= 300, seconds=60.0)
        await asyncio.sleep(0.5)
    found = sorted(post.text.partition("> ")[2] or post.text for post in aibot.posts())
    assert found == sorted(f"T{number} 完" for number in range(300))
    assert aibot.streams.unfinished() == []
    assert aibot.violations == []
