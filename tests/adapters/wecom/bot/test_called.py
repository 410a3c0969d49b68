"""Questions and answers over callbacks: WeCom comes for what we have to say, at whichever replica."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
from contextlib import AsyncExitStack
from typing import Any

import pytest

from adapters.wecom.bot.phrases import ANSWERED_ABOVE, GONE, LATE, TOO_MUCH, WITH_PERSON, WORKING
from adapters.wecom.bot.rows import Rows
from bot.errors import StoreUnavailable, Undeliverable
from bot.history.database import Database
from bot.messages import Author, ConversationRef, Outcome, Reply
from bot.telemetry import Metrics
from bot.turns.limits import QueueLimits
from tests.adapters.wecom.bot.house import FAST, Bench, LongDialogue, _served, until
from tests.core.house import address
from tests.fakes.wecom_api import FakeWeCom, Fault


async def test_a_question_is_answered_in_its_own_stream(called: Bench, wecom: FakeWeCom) -> None:
    async with called.running():
        assert await wecom.feed.verify("bot")
        asked = wecom.chats.says("ZhangSan", "T1")
        await until(lambda: asked.finished)
    assert wecom.texts("bot", "ZhangSan") == ["T1 完"]
    assert not asked.expired
    assert wecom.calls() == []
    assert wecom.violations == []


async def test_a_slow_answer_is_acknowledged_at_once_grows_and_arrives_once(called: Bench, wecom: FakeWeCom) -> None:
    called.dialogue.snapshots = 4
    seen: list[str] = []
    async with called.running():
        asked = wecom.chats.says("lisi", "@Kefu 查一下 T1 slow 1.6", chat="wrGroup1")
        await until(lambda: asked.said is not None, seconds=1.4)
        assert asked.said is not None
        assert asked.said.text == WORKING["zh"]
        while not asked.finished:
            if asked.said.text not in seen:
                seen.append(asked.said.text)
            await asyncio.sleep(0.05)
    assert wecom.texts("bot", "wrGroup1") == ["<@lisi> T1 完"]
    assert len(seen) >= 3
    assert wecom.violations == []


async def test_three_messages_in_flight_are_all_finished(called: Bench, wecom: FakeWeCom) -> None:
    async with called.running():
        first = wecom.chats.says("lisi", "T1 slow 1")
        await until(lambda: called.dialogue.seen)
        second = wecom.chats.says("lisi", "T2")
        await asyncio.sleep(0.2)
        third = wecom.chats.says("lisi", "T3")
        await until(lambda: first.finished and second.finished and third.finished)
    assert [one.said and one.said.text for one in (first, second, third)] == [
        "T1 完",
        "T2 T3 完",
        ANSWERED_ABOVE["zh"],
    ]
    assert wecom.violations == []


async def test_a_turn_that_ends_in_silence_finishes_its_stream(called: Bench, wecom: FakeWeCom) -> None:
    async with called.running():
        asked = wecom.chats.says("lisi", "好的 silent")
        await until(lambda: asked.finished)
    assert wecom.texts("bot", "lisi") == [WITH_PERSON["zh"]]
    assert wecom.violations == []


async def test_a_refresh_is_answered_at_once_by_another_replica(called: Bench, wecom: FakeWeCom) -> None:
    async with called.running() as run:
        asked = wecom.chats.says("lisi", "T1 slow 1")
        await until(lambda: asked.stream)
        async with Database(address(called.path), metrics=Metrics()) as database:
            other = called.make(database)
            async with AsyncExitStack() as stack:
                wecom.bot.url = await _served(other, run.core, stack)  # type: ignore[arg-type]
                await until(lambda: asked.finished)
            await other.close()
        slowest = max(attempt.seconds for one in wecom.feed.deliveries.values() for attempt in one.attempts)
        assert slowest < 1.0
        await until(lambda: run.core.outbox._sending == set())
    assert wecom.texts("bot", "lisi") == ["T1 完"]
    assert wecom.calls() == []
    assert wecom.violations == []


async def test_what_comes_too_late_for_the_stream_goes_to_the_response_url_once(
    called: Bench, wecom: FakeWeCom
) -> None:
    async with called.running(dataclasses.replace(FAST, stream_ends=1.0)):
        asked = wecom.chats.says("lisi", "什么时候到 T1 slow 2")
        await until(lambda: asked.finished)
        assert asked.said is not None
        assert asked.said.text.startswith("回答")
        assert asked.said.text.endswith(LATE["zh"])
        await until(lambda: len(wecom.texts("bot", "lisi")) == 2)
        await asyncio.sleep(0.5)
    assert wecom.texts("bot", "lisi")[1] == "T1 完"
    assert len(wecom.calls("aibot/response")) == 1
    assert wecom.violations == []


async def test_where_wecom_comes_no_more_the_response_url_is_used(called: Bench, wecom: FakeWeCom) -> None:
    wecom.chats.stream_life = 0.8
    async with called.running(dataclasses.replace(FAST, fetch=0.5)):
        asked = wecom.chats.says("lisi", "T1 slow 1.5")
        await until(lambda: asked.expired)
        await until(lambda: len(wecom.texts("bot", "lisi")) == 2)
        await asyncio.sleep(0.5)
    assert wecom.texts("bot", "lisi")[1] == "T1 完"
    assert wecom.violations == []


async def test_a_response_that_was_not_confirmed_is_not_said_twice(called: Bench, wecom: FakeWeCom) -> None:
    fault = wecom.faults.add(Fault(kind="reset", method="aibot/response", apply=True, times=1))
    async with called.running(dataclasses.replace(FAST, stream_ends=0.6)):
        wecom.chats.says("lisi", "T1 slow 1.2")
        await until(lambda: len(wecom.calls("aibot/response")) == 2)
        await asyncio.sleep(0.5)
    assert fault.fired == 1
    assert [text for text in wecom.texts("bot", "lisi") if "完" in text] == ["T1 完"]


async def test_a_long_answer_goes_on_at_the_response_url(called: Bench, wecom: FakeWeCom) -> None:
    called.dialogue = LongDialogue()
    async with called.running():
        asked = wecom.chats.says("lisi", "T1")
        await until(lambda: asked.finished and len(wecom.texts("bot", "lisi")) == 2)
    first, second = wecom.texts("bot", "lisi")
    assert max(len(text.encode()) for text in (first, second)) <= 20_480
    assert (first + second).replace("\n", "") == LongDialogue.TEXT
    assert wecom.violations == []


async def test_wecoms_repetitions_give_one_answer(called: Bench, wecom: FakeWeCom) -> None:
    async with called.running():
        asked = wecom.chats.says("lisi", "T1 slow 1")
        await until(lambda: asked.stream)
        assert await wecom.feed.again(asked.msgid, 3) == [True, True, True]
        await until(lambda: asked.finished)
        assert await wecom.feed.again(asked.msgid, 1) == [True]
    assert len(called.dialogue.seen) == 1
    assert wecom.texts("bot", "lisi") == ["T1 完"]
    assert wecom.violations == []


async def test_what_is_over_a_limit_gets_an_end_too(called: Bench, wecom: FakeWeCom) -> None:
    called.limits = QueueLimits(user_per_minute=1, queue_per_conversation=20, queue_total=2000, max_message_chars=4000)
    async with called.running():
        asked = [wecom.chats.says("lisi", "T1")]
        for words in ("还有 T2", "还有 T3"):
            await asyncio.sleep(0.2)
            asked.append(wecom.chats.says("lisi", words))
        await until(lambda: all(one.finished for one in asked))
    assert [one.said and one.said.text for one in asked] == ["T1 完", "请稍候", TOO_MUCH["zh"]]
    assert wecom.violations == []


async def test_welcome_card_press_and_thumb(called: Bench, wecom: FakeWeCom) -> None:
    async with called.running() as run:
        entered = wecom.chats.enters("lisi")
        await until(lambda: entered.finished)
        assert "您好" in wecom.texts("bot", "lisi")[0]
        asked = wecom.chats.says("lisi", "T1 ticket")
        await until(lambda: asked.finished)
        [card] = [one for one in wecom.messages("bot", "lisi") if one.msgtype == "template_card"]
        key = card.body["template_card"]["button_list"][0]["key"]
        pressed = wecom.chats.presses("lisi", key)
        await until(lambda: pressed.finished)
        assert len(card.updated) == 1
        await until(lambda: len(wecom.calls("aibot/response")) == 1)
        assert called.dialogue.seen[1].messages[0].command == "solved"
        judged = wecom.chats.judges("lisi", asked.feedback[0], good=False, comment="太长")
        await until(lambda: judged.finished)
        assert await run.database.read(_ratings) == [("wecom_bot:lisi", "down", "内容不完整；太长")]
    assert wecom.violations == []


async def test_an_agents_words_go_where_there_is_still_a_way_and_else_to_the_operators(
    called: Bench, wecom: FakeWeCom
) -> None:
    async with called.running() as run:
        asked = wecom.chats.says("lisi", "T1")
        await until(lambda: asked.finished)
        where = ConversationRef(platform="wecom_bot", account=wecom.bot_id, channel="lisi")
        reply = Reply(outcome=Outcome.CHAT, text="同事的答复", language="zh", author=Author.AGENT, agent="小王")
        [part] = run.channel.render(reply)
        await run.channel.send(where, part, replaces=None, delivery_id=90, reply=reply)
        assert "同事的答复" in wecom.texts("bot", "lisi")[1]
        with pytest.raises(Undeliverable):
            await run.channel.send(where, part, replaces=None, delivery_id=91, reply=reply)
    assert wecom.violations == []


async def test_after_a_kill_the_answer_stands_in_the_same_stream_once(called: Bench, wecom: FakeWeCom) -> None:
    async with called.running():
        asked = wecom.chats.says("lisi", "T1 slow 1.5")
        await until(lambda: asked.said is not None and "回答" in asked.said.text)
    async with called.running():
        await until(lambda: asked.finished)
    assert wecom.texts("bot", "lisi") == ["T1 完"]
    assert wecom.calls() == []
    assert wecom.violations == []


async def test_forged_and_foreign_calls_have_no_effect(called: Bench, wecom: FakeWeCom) -> None:
    async with called.running() as run:
        foreign = {"msgid": "m1", "aibotid": "aibSomebodyElses", "chattype": "single", "from": {"userid": "lisi"}}
        sealed = wecom.bot.seal(json.dumps({**foreign, "msgtype": "text", "text": {"content": "T1"}}))
        assert (await wecom.feed.post("bot", sealed))[0] == 200
        unknown = wecom.bot.seal(json.dumps({"msgtype": "stream", "stream": {"id": "keFuNobodys"}}))
        status, body = await wecom.feed.post("bot", unknown)
        assert status == 200
        assert GONE["zh"] in wecom.bot.read(body, unknown.query["nonce"])
        forged = dataclasses.replace(sealed, query={**sealed.query, "msg_signature": "0" * 40})
        assert (await wecom.feed.post("bot", forged))[0] == 401
        for plain in ("[]", "7", '{"msgtype": "text"}', '{"msgtype": 1}', '{"msgtype": "event", "event": []}'):
            assert (await wecom.feed.post("bot", wecom.bot.seal(plain)))[0] in (200, 400)
        assert await run.database.read(_rows) == 0
    assert called.dialogue.seen == []


def _ratings(connection):  # type: ignore[no-untyped-def]
    from sqlalchemy import select

    from bot.history.tables import feedback

    rows = connection.execute(select(feedback.c.person_id, feedback.c.rating, feedback.c.comment))
    return [tuple(row) for row in rows]


def _rows(connection):  # type: ignore[no-untyped-def]
    from sqlalchemy import func, select

    from bot.history.tables import growing_answers, inbound

    return sum(connection.execute(select(func.count()).select_from(one)).scalar() for one in (growing_answers, inbound))


async def test_a_crash_between_storing_and_answering_the_callback_loses_nothing(
    called: Bench, wecom: FakeWeCom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message was stored, where its answer goes was not, and WeCom was told nothing: it comes again."""
    begin, failures = Rows.begin, [StoreUnavailable("the disk is full")]

    async def failing(*arguments: Any, **named: Any) -> Any:
        if failures:
            await asyncio.sleep(0.5)  # long enough for the reply to be ready
            raise failures.pop()
        return await begin(*arguments, **named)

    monkeypatch.setattr(Rows, "begin", failing)
    async with called.running():
        asked = wecom.chats.says("lisi", "T1")
        await until(lambda: asked.finished)
        assert asked.delivery is not None
        assert [attempt.status for attempt in asked.delivery.attempts] == [503, 200]
    assert wecom.texts("bot", "lisi") == ["T1 完"]
    assert len(called.dialogue.seen) == 1
    assert wecom.violations == []


async def test_ten_thousand_bytes_of_anything_are_refused_or_ignored(called: Bench, wecom: FakeWeCom) -> None:
    chance = random.Random(5)
    async with called.running() as run:
        asked = wecom.chats.says("lisi", "T1")
        await until(lambda: asked.finished)
        for _ in range(300):
            sealed = wecom.feed.sealed(asked.msgid)
            body, query = bytearray(sealed.body), dict(sealed.query)
            for _ in range(chance.randint(1, 4)):
                body[chance.randrange(len(body))] = chance.randrange(256)
            if chance.random() < 0.5:
                query[chance.choice(list(query))] = chance.choice(["", "x", "é", "0" * 40, "-1", "9" * 30])
            status, _ = await wecom.feed.post("bot", dataclasses.replace(sealed, body=bytes(body), query=query))
            assert 400 <= status < 500 or bytes(body) == sealed.body
        assert await run.database.read(_rows) == 2
