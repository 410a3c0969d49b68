"""What the fake AI-bot server refuses of answers, pushes and cards, with which number, and what it writes down."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.fakes.aibot.wire import Wire
from tests.fakes.wecom_aibot import FakeAiBot

CARD: dict[str, Any] = {
    "card_type": "button_interaction",
    "main_title": {"title": "工单"},
    "task_id": "t1",
    "button_list": [{"text": "已解决", "key": "solved"}],
}


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
        await newer.subscribe(wecom.state)
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
