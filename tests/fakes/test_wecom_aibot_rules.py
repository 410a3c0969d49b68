"""The fake AI-bot server's rules: what it refuses, with which number, and what it writes down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import aiohttp
import pytest

from tests.fakes.wecom_aibot import FakeAiBot, Fault

CARD: dict[str, Any] = {
    "card_type": "button_interaction",
    "main_title": {"title": "工单"},
    "task_id": "t1",
    "button_list": [{"text": "已解决", "key": "solved"}],
}


class Wire:
    """One connection, without any client's manners."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self._numbers = count(1)

    async def send(self, cmd: str, body: Any = None, req_id: str = "") -> str:
        req_id = req_id or f"r{next(self._numbers)}"
        await self.ws.send_json({"cmd": cmd, "headers": {"req_id": req_id}, "body": body or {}})
        return req_id

    async def ask(self, cmd: str, body: Any = None, req_id: str = "") -> int:
        """The errcode of the acknowledgement."""
        sent = await self.send(cmd, body, req_id)
        while True:
            frame = await self.next()
            if "errcode" in frame and frame["headers"]["req_id"] == sent:
                return int(frame["errcode"])

    async def next(self) -> Any:
        async with asyncio.timeout(3):
            return await self.ws.receive_json()

    async def subscribe(self, wecom: FakeAiBot) -> int:
        return await self.ask("aibot_subscribe", {"bot_id": wecom.bot_id, "secret": wecom.secret})

    async def stream(self, req_id: str, text: str, *, stream: str = "s1", finish: bool = True, **more: Any) -> int:
        about = {"id": stream, "content": text, "finish": finish, **more}
        return await self.ask("aibot_respond_msg", {"msgtype": "stream", "stream": about}, req_id)

    async def push(self, chat: str, text: str = "hi", kind: int = 1) -> int:
        body = {"chatid": chat, "chat_type": kind, "msgtype": "markdown", "markdown": {"content": text}}
        return await self.ask("aibot_send_msg", body)

    async def closed(self) -> bool:
        async with asyncio.timeout(3):
            async for _ in self.ws:
                pass
        return True


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
        assert await one.subscribe(wecom) == 0
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
        assert await wire.subscribe(wecom) == 0
        assert await wire.ask("ping") == 0
    assert wecom.violations == []


async def test_subscribing_again_and_again_is_stopped(wecom: FakeAiBot, wire: Wire) -> None:
    wecom.rates.subscribes = (60.0, 2)
    assert [await wire.subscribe(wecom) for _ in range(2)] == [0, 45009]
    assert wecom.violations == ["subscribed twice on one connection"]
    wecom.clock.advance(61)
    assert await wire.subscribe(wecom) == 0


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
    assert await wire.subscribe(wecom) == 0
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
                await Wire(ws).subscribe(wecom)


# -- Answers --


async def test_the_limit_is_in_bytes(wecom: FakeAiBot, wire: Wire) -> None:
    asked = wecom.people.says("hi")
    assert await wire.stream(asked.req_id, "字" * 6827) == 45002
    assert await wire.stream(asked.req_id, "字" * 6826 + "ab") == 0
    assert await wire.push("zhangsan", "字" * 6827) == 45002
    assert await wire.push("zhangsan", "字" * 6826 + "ab") == 0


async def test_a_stream_has_its_time_and_its_end(wecom: FakeAiBot, wire: Wire) -> None:
    first, second, third = (wecom.people.says(words) for words in ("one", "two", "three"))
    assert await wire.stream(first.req_id, "a", stream="s1", finish=False) == 0
    assert await wire.stream(second.req_id, "b", stream="s2") == 0
    wecom.clock.advance(361)
    assert await wire.stream(first.req_id, "ab", stream="s1") == 846608
    assert await wire.stream(second.req_id, "b", stream="s2") == 846608, "it is finished"
    assert await wire.stream(third.req_id, "c", stream="s3") == 846608
    assert await wire.push("zhangsan", "instead") == 0
    assert [post.stream for post in wecom.streams.unfinished()] == ["s1"]
    assert wecom.answers(first)[0].ended and wecom.texts("zhangsan") == ["b", "instead"]


async def test_a_stream_that_wecom_ended_is_over(wecom: FakeAiBot, wire: Wire) -> None:
    asked = wecom.people.says("one")
    await wire.stream(asked.req_id, "a", finish=False)
    wecom.streams.end(wecom.answers(asked)[0])
    assert await wire.stream(asked.req_id, "ab") == 846608


async def test_refreshes_nearer_than_a_second_are_written_down(wecom: FakeAiBot, wire: Wire) -> None:
    asked = wecom.people.says("hi")
    await wire.stream(asked.req_id, "a", finish=False)
    assert await wire.stream(asked.req_id, "ab", finish=False) == 0
    assert len(wecom.violations) == 1
    wecom.clock.advance(1)
    await wire.stream(asked.req_id, "abc")
    assert len(wecom.violations) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param({"msgtype": "text", "text": {"content": "hi"}}, 40008, id="plain text"),
        pytest.param({"msgtype": "stream_with_template_card"}, 40008, id="stream with card"),
        pytest.param({}, 40008, id="nothing"),
        pytest.param({"msgtype": "stream"}, 40058, id="no stream"),
        pytest.param({"msgtype": "stream", "stream": {"content": "x"}}, 40058, id="no id"),
        pytest.param({"msgtype": "stream", "stream": {"id": "s", "content": 5}}, 40058, id="no words"),
        pytest.param({"msgtype": "stream", "stream": {"id": "s", "content": "x", "finish": 1}}, 40058, id="finish"),
        pytest.param({"msgtype": "stream", "stream": {"id": "s", "content": "x", "msg_item": []}}, 40058, id="image"),
        pytest.param(
            {"msgtype": "stream", "stream": {"id": "s", "content": "x", "feedback": {"id": "f" * 257}}}, 40058,
            id="long feedback id",
        ),
        pytest.param({"msgtype": "stream", "stream": {"id": "s", "content": "\ud800"}}, 40058, id="half a character"),
        pytest.param({"msgtype": "markdown", "markdown": {"content": ""}}, 40058, id="empty"),
    ],
)  # fmt: skip
async def test_malformed_answers_are_refused(wecom: FakeAiBot, wire: Wire, body: Any, code: int) -> None:
    asked = wecom.people.says("hi")
    assert await wire.ask("aibot_respond_msg", body, asked.req_id) == code
    assert wecom.posts() == []


async def test_a_req_id_fits_one_kind_of_answer(wecom: FakeAiBot, wire: Wire) -> None:
    said, entered = wecom.people.says("hi"), wecom.people.enters()
    welcome = {"msgtype": "text", "text": {"content": "您好"}}
    assert await wire.stream("nobody's", "hi") == 846605
    assert await wire.stream(entered.req_id, "hi") == 846605
    assert await wire.ask("aibot_respond_welcome_msg", welcome, said.req_id) == 846605
    assert await wire.ask("aibot_respond_welcome_msg", {"msgtype": "markdown"}, entered.req_id) == 40008
    wecom.clock.advance(6)
    assert await wire.ask("aibot_respond_welcome_msg", welcome, entered.req_id) == 846605, "five seconds are over"
    wecom.clock.advance(24 * 3600)
    assert await wire.ask("aibot_respond_msg", {"msgtype": "markdown"}, said.req_id) == 846605


async def test_a_stream_belongs_to_its_message(wecom: FakeAiBot, wire: Wire) -> None:
    one, two = wecom.people.says("one"), wecom.people.says("two")
    await wire.stream(one.req_id, "a", finish=False)
    assert await wire.stream(two.req_id, "b") == 40058
    assert await wire.stream(one.req_id, "a", stream="s2", finish=False) == 0
    assert len(wecom.violations) == 1


async def test_answers_over_a_newer_connection(wecom: FakeAiBot, http: aiohttp.ClientSession, wire: Wire) -> None:
    asked = wecom.people.says("hi")
    async with http.ws_connect(wecom.ws_url) as ws:
        newer = Wire(ws)
        await newer.subscribe(wecom)
        assert await newer.stream(asked.req_id, "hi") == 846605
        wecom.answering.survive = True
        assert await newer.stream(asked.req_id, "hi") == 0


# -- Pushes and rates --


async def test_pushes_need_somebody_who_wrote(wecom: FakeAiBot, wire: Wire) -> None:
    assert await wire.push("zhangsan") == 93006
    wecom.people.says("hi", chat="wrGroup")
    assert await wire.push("wrGroup", kind=1) == 93006
    assert await wire.push("wrGroup", kind=2) == 0
    asked = wecom.people.says("hi", chat="wrGroup")
    wecom.people.dismisses("wrGroup")
    assert await wire.push("wrGroup", kind=2) == 93008
    assert await wire.stream(asked.req_id, "hi") == 93008
    assert await wire.ask("aibot_send_msg", {"chatid": "x", "chat_type": 7, "msgtype": "markdown"}) == 40058
    assert await wire.ask("aibot_send_msg", {"chat_type": 1, "msgtype": "markdown"}) == 40058
    wecom.people.says("hi")
    assert await wire.ask("aibot_send_msg", {"chatid": "zhangsan", "chat_type": 1, "msgtype": "text"}) == 40008
    assert wecom.violations == []


async def test_thirty_a_minute_in_one_conversation(wecom: FakeAiBot, wire: Wire) -> None:
    asked = wecom.people.says("hi")
    wecom.people.says("hi", user="lisi")
    assert await wire.stream(asked.req_id, "a") == 0
    assert [await wire.push("zhangsan") for _ in range(30)] == [0] * 29 + [45009]
    assert await wire.push("lisi") == 0
    wecom.clock.advance(61)
    assert await wire.push("zhangsan") == 0


async def test_a_thousand_an_hour(wecom: FakeAiBot, wire: Wire) -> None:
    wecom.rates.windows = ((60.0, 30), (3600.0, 33))
    wecom.people.says("hi")
    codes = []
    for _ in range(34):
        codes.append(await wire.push("zhangsan"))
        wecom.clock.advance(3)
    assert codes == [0] * 33 + [45009]


async def test_refreshes_count_when_a_test_says_so(wecom: FakeAiBot, wire: Wire) -> None:
    wecom.rates.refreshes, wecom.streams.apart = True, 0.0
    asked = wecom.people.says("hi")
    codes = [await wire.stream(asked.req_id, "a" * size, finish=False) for size in range(1, 32)]
    assert codes == [0] * 30 + [45009]


# -- Cards --


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"card_type": "poem"}, id="kind"),
        pytest.param({"task_id": ""}, id="no task"),
        pytest.param({"task_id": "t 1"}, id="odd task"),
        pytest.param({"task_id": "t" * 129}, id="long task"),
        pytest.param({"button_list": []}, id="no buttons"),
        pytest.param({"button_list": CARD["button_list"] * 7}, id="seven buttons"),
        pytest.param({"button_list": [{"text": "x"}]}, id="no key"),
        pytest.param({"button_list": [{"text": "x", "key": "k" * 1025}]}, id="long key"),
        pytest.param({"button_list": [{"text": "x", "key": "k", "style": 9}]}, id="style"),
        pytest.param({"main_title": {}}, id="no title"),
        pytest.param({"colour": "red"}, id="unknown field"),
        pytest.param({"card_type": "text_notice"}, id="notice without action"),
        pytest.param({"card_type": "text_notice", "card_action": {"type": 0}}, id="notice that leads nowhere"),
        pytest.param({"button_list": CARD["button_list"] * 2}, id="the same key twice"),
        pytest.param({"horizontal_content_list": [{"keyname": "状态"}] * 7}, id="long list"),
        pytest.param({"horizontal_content_list": [{"value": "x"}]}, id="row without a name"),
    ],
)
async def test_malformed_cards_are_refused(wecom: FakeAiBot, wire: Wire, change: Any) -> None:
    asked = wecom.people.says("hi")
    body = {"msgtype": "template_card", "template_card": {**CARD, **change}}
    assert await wire.ask("aibot_respond_msg", body, asked.req_id) == 40058
    assert wecom.posts() == []


async def test_a_task_id_is_used_once_and_its_card_updated_in_time(wecom: FakeAiBot, wire: Wire) -> None:
    asked = wecom.people.says("hi")
    body = {"msgtype": "template_card", "template_card": CARD}
    assert await wire.ask("aibot_respond_msg", body, asked.req_id) == 0
    assert await wire.ask("aibot_respond_msg", body, asked.req_id) == 40058
    update = {"response_type": "update_template_card", "template_card": CARD}
    press = wecom.people.presses("t1", "solved")
    assert await wire.stream(press.req_id, "words") == 846605, "a press is answered with a card"
    assert await wire.ask("aibot_respond_update_msg", {"template_card": CARD}, press.req_id) == 40058
    other = {**update, "template_card": {**CARD, "task_id": "t2"}}
    assert await wire.ask("aibot_respond_update_msg", other, press.req_id) == 40058
    assert await wire.ask("aibot_respond_update_msg", update, press.req_id) == 0
    assert await wire.ask("aibot_respond_update_msg", update, press.req_id) == 846605
    late = wecom.people.presses("t1", "solved")
    wecom.clock.advance(6)
    assert await wire.ask("aibot_respond_update_msg", update, late.req_id) == 846605
    assert wecom.cards()[0].updates == 1


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
