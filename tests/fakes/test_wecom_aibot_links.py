"""The fake AI-bot server's connections: who may subscribe, what a frame must be, and what goes wrong on order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.fakes.aibot.wire import Wire
from tests.fakes.wecom_aibot import FakeAiBot, Fault


@pytest.fixture
async def wecom() -> AsyncIterator[FakeAiBot]:
    async with FakeAiBot() as fake:
        yield fake


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def wire(wecom: FakeAiBot, http: aiohttp.ClientSession) -> AsyncIterator[Wire]:
    async with http.ws_connect(wecom.ws_url) as ws:
        one = Wire(ws)
        assert await one.subscribe(wecom.state) == 0
        yield one


# -- Subscribing --


async def test_nothing_works_before_the_subscription(wecom: FakeAiBot, http: aiohttp.ClientSession) -> None:
    asked = wecom.people.says("hi")
    assert asked.link == 0, "nobody is there: the message is lost"
    async with http.ws_connect(wecom.ws_url) as ws:
        wire = Wire(ws)
        assert await wire.ask("ping") == 846609
        assert await wire.stream(asked.req_id, "hi") == 846609
        assert await wire.ask("aibot_subscribe", {"bot_id": wecom.bot_id, "secret": "wrong"}) == 853000
        assert await wire.ask("aibot_subscribe", {"bot_id": "other", "secret": wecom.secret}) == 853000
        assert await wire.subscribe(wecom.state) == 0
        assert await wire.ask("ping") == 0
    assert wecom.violations == []


async def test_subscribing_again_and_again_is_stopped(wecom: FakeAiBot, wire: Wire) -> None:
    wecom.rates.subscribes = (60.0, 2)
    assert [await wire.subscribe(wecom.state) for _ in range(2)] == [0, 45009]
    assert wecom.violations == ["subscribed twice on one connection"]
    wecom.clock.advance(61)
    assert await wire.subscribe(wecom.state) == 0


async def test_the_loser_is_told_and_may_be_left_open(wecom: FakeAiBot, wire: Wire) -> None:
    wecom.links.ends_kicked = False
    wecom.links.steal()
    frame = await wire.next()
    assert frame["cmd"] == "aibot_event_callback"
    assert frame["body"]["event"] == {"eventtype": "disconnected_event"}
    assert await wire.ask("ping") == 0, "which proves nothing"
    assert wecom.people.says("hi").link == 0
    assert await wire.push("zhangsan") == 846609


async def test_the_loser_is_closed(wecom: FakeAiBot, wire: Wire) -> None:
    wecom.links.steal()
    assert (await wire.next())["body"]["event"] == {"eventtype": "disconnected_event"}
    assert await wire.closed()
    assert wecom.links.kicked == 1


async def test_a_lapsed_subscription_still_pings(wecom: FakeAiBot, wire: Wire) -> None:
    wecom.people.says("hi")
    wecom.links.lapse()
    assert (await wire.ask("ping"), await wire.push("zhangsan")) == (0, 846609)
    assert await wire.subscribe(wecom.state) == 0
    assert await wire.push("zhangsan") == 0


async def test_silence_is_not_suffered_for_ever(wecom: FakeAiBot, http: aiohttp.ClientSession) -> None:
    wecom.links.idle_seconds = 0.1
    async with http.ws_connect(wecom.ws_url) as ws:
        assert await Wire(ws).closed()
    assert len(wecom.violations) == 1


async def test_new_connections_may_be_refused_or_mute(wecom: FakeAiBot, http: aiohttp.ClientSession) -> None:
    wecom.links.refusing = True
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(wecom.ws_url)
    assert refused.value.status == 503
    wecom.links.refusing, wecom.links.mute = False, True
    async with http.ws_connect(wecom.ws_url) as ws:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await Wire(ws).subscribe(wecom.state)


# -- Frames --


@pytest.mark.parametrize("text", ["", "{", "[]", '"ping"', '{"cmd":"ping"}', '{"cmd":"ping","headers":{}}'])
async def test_frames_nobody_understands_are_written_down(wecom: FakeAiBot, wire: Wire, text: str) -> None:
    await wire.ws.send_str(text)
    assert await wire.ask("ping") == 0
    assert wecom.violations == ["a frame that nobody understands"]


async def test_an_unknown_command_is_refused(wecom: FakeAiBot, wire: Wire) -> None:
    assert await wire.ask("aibot_sing") == 40058


async def test_frames_that_crowd_one_req_id_are_written_down(wecom: FakeAiBot, wire: Wire) -> None:
    wecom.streams.apart = 0.0
    asked = wecom.people.says("hi")
    wecom.faults.add(Fault(kind="slow", method="aibot_respond_msg", seconds=0.1, times=1))
    stream = {"id": "s1", "content": "a", "finish": False}
    await wire.send("aibot_respond_msg", {"msgtype": "stream", "stream": stream}, asked.req_id)
    await wire.stream(asked.req_id, "ab")
    assert len(wecom.violations) == 1


# -- Orders --


async def test_no_acknowledgement_with_and_without_effect(wecom: FakeAiBot, wire: Wire) -> None:
    wecom.people.says("hi")
    wecom.faults.add(Fault(kind="no_ack", method="aibot_send_msg", contains="one", times=1))
    wecom.faults.add(Fault(kind="no_ack", method="aibot_send_msg", contains="two", apply=True, times=1))
    for text in ("one", "two", "three"):
        body = {"chatid": "zhangsan", "chat_type": 1, "msgtype": "markdown", "markdown": {"content": text}}
        await wire.send("aibot_send_msg", body)
    assert await wire.ask("ping") == 0
    assert wecom.texts() == ["two", "three"]
    assert [heard.errcode for heard in wecom.frames("aibot_send_msg")] == [None, 0, 0]


async def test_twice_garbage_silence_and_kicks(wecom: FakeAiBot, wire: Wire) -> None:
    wecom.faults.add(Fault(kind="twice", method="ping", times=1))
    assert await wire.ask("ping") == 0
    assert (await wire.next())["errcode"] == 0
    wecom.faults.add(Fault(kind="garbage", method="ping", times=1))
    await wire.send("ping")
    with pytest.raises(json.JSONDecodeError):
        await wire.next()
    wecom.faults.add(Fault(kind="kick", method="ping", times=1))
    await wire.send("ping")
    assert (await wire.next())["body"]["event"]["eventtype"] == "disconnected_event"
    assert await wire.closed()


async def test_silence_on_order_leaves_the_connection_open(wecom: FakeAiBot, wire: Wire) -> None:
    wecom.faults.add(Fault(kind="silence", method="ping", times=1))
    await wire.send("ping")
    await wire.send("ping")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await wire.ws.receive()
    assert len(wecom.links.links) == 1


async def test_whatever_bytes_a_test_likes_are_sent(wecom: FakeAiBot, wire: Wire) -> None:
    wecom.links.say("not json")
    async with asyncio.timeout(3):
        assert (await wire.ws.receive()).data == "not json"


# -- What arrives --


async def test_messages_and_events_arrive_in_the_order_of_their_deeds(wecom: FakeAiBot, wire: Wire) -> None:
    wecom.people.response_url = "https://qyapi.example/cgi-bin/aibot/response?response_code=secret"
    asked = [
        wecom.people.says("one"),
        wecom.people.enters(),
        wecom.people.happens("new_kind_event", {"a": 1}, chat="wrGroup"),
        wecom.people.says("two"),
    ]
    frames = [await wire.next() for _ in asked]
    assert [frame["headers"]["req_id"] for frame in frames] == [one.req_id for one in asked]
    assert [frame["cmd"] for frame in frames] == [
        "aibot_msg_callback", "aibot_event_callback", "aibot_event_callback", "aibot_msg_callback",
    ]  # fmt: skip
    assert frames[0]["body"]["response_url"] == wecom.people.response_url
    assert "chattype" not in frames[1]["body"] and frames[2]["body"]["chatid"] == "wrGroup"
