"""What WeCom tells an AI bot, as values; and that nothing which could stand there makes parsing fail."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.wecom.bot.parsing import (
    Entered,
    Ignored,
    Judged,
    Kicked,
    Pressed,
    Reading,
    Refreshed,
    Said,
    parse,
    response_code,
)
from bot.messages import ConversationRef, IncomingMessage, MessageKind

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
READING = Reading(bot_id="aib1", name="", collections=("hr",), now=NOW)
API = "https://qyapi.weixin.qq.com"


def body(msgtype: str = "text", *, chat: str = "", user: str = "ZhangSan", **content: Any) -> dict[str, Any]:
    place = {"chattype": "group", "chatid": chat} if chat else {"chattype": "single"}
    return {"msgid": "CAIQ1", "aibotid": "aib1", "from": {"userid": user}, "msgtype": msgtype, **place, **content}


def text(words: str, **about: Any) -> dict[str, Any]:
    return body("text", text={"content": words}, **about)


def message(raw: dict[str, Any], reading: Reading = READING) -> IncomingMessage:
    parsed = parse(raw, reading)
    assert isinstance(parsed, Said)
    return parsed.message


def test_a_colleague_alone_with_the_bot() -> None:
    said = message(text("  年假有几天？ "))
    assert said.text == "年假有几天？"
    assert said.conversation == ConversationRef(platform="wecom_bot", account="aib1", channel="zhangsan")
    assert said.sender.id == "wecom_bot:zhangsan"
    assert said.direct
    assert said.keys == ("msg:aib1:CAIQ1",)
    assert said.collections == ("hr",)
    assert said.sent_at == NOW


def test_everybody_in_a_group_has_a_dialogue_of_their_own() -> None:
    said = message(text("@小客 hello", chat="wrG", create_time=1_790_000_000))
    assert said.conversation == ConversationRef(platform="wecom_bot", account="aib1", channel="wrG", thread="zhangsan")
    assert not said.direct
    assert said.text == "hello"
    assert said.sent_at == datetime.fromtimestamp(1_790_000_000, UTC)


@pytest.mark.parametrize(
    ("words", "name", "left"),
    [
        pytest.param("@小客 你好", "", "你好", id="first"),
        pytest.param("@小客\u2005你好", "", "你好", id="thin space"),
        pytest.param("@RobotA hello @bob", "", "hello @bob", id="others stay"),
        pytest.param("hello @RobotA", "", "hello @RobotA", id="not first"),
        pytest.param("请问 @HR Bot 年假几天", "HR Bot", "请问 年假几天", id="with a space"),
        pytest.param("@HR Bot hello", "HR Bot", "hello", id="first, with a space"),
    ],
)
def test_the_bots_name_is_taken_out(words: str, name: str, left: str) -> None:
    reading = Reading(bot_id="aib1", name=name, collections=("hr",), now=NOW)
    assert message(text(words, chat="wrG"), reading).text.split() == left.split()


def test_the_name_alone_asks_what_is_quoted_or_greets() -> None:
    quote = {"msgtype": "text", "text": {"content": "年假有几天？"}}
    assert message(text("@小客", chat="wrG", quote=quote)).text == "年假有几天？"
    greeting = message(text("@小客 ", chat="wrG"))
    assert (greeting.kind, greeting.command) == (MessageKind.COMMAND, "start")


def test_a_quote_stands_beside_the_question() -> None:
    items = [{"msgtype": "text", "text": {"content": "第一行"}}, {"msgtype": "image", "image": {"url": "u"}}]
    said = message(text("什么意思", quote={"msgtype": "mixed", "mixed": {"msg_item": items}}))
    assert (said.text, said.quote, said.attachments) == ("什么意思", "第一行", ())


@pytest.mark.parametrize(
    ("raw", "words", "attachments"),
    [
        pytest.param(body("voice", voice={"content": "你好"}), "你好", (), id="voice"),
        pytest.param(body("image", image={"url": "u"}), "", ("photo",), id="image"),
        pytest.param(body("file", file={"url": "u"}), "", ("file",), id="file"),
        pytest.param(body("video", video={"url": "u"}), "", ("video",), id="video"),
        pytest.param(
            body(
                "mixed",
                mixed={
                    "msg_item": [
                        {"msgtype": "text", "text": {"content": "看这个"}},
                        {"msgtype": "image", "image": {"url": "u"}},
                        {"msgtype": "text", "text": {"content": "怎么办"}},
                        {"msgtype": "mixed", "mixed": {}},
                    ]
                },
            ),
            "看这个\n怎么办",
            ("photo",),
            id="mixed",
        ),
    ],
)
def test_every_kind_of_message(raw: dict[str, Any], words: str, attachments: tuple[str, ...]) -> None:
    said = message(raw)
    assert (said.kind, said.text, said.attachments) == (MessageKind.TEXT, words, attachments)


def test_commands() -> None:
    said = message(text("@小客 /ticket 打印机坏了", chat="wrG"))
    assert (said.kind, said.command, said.text) == (MessageKind.COMMAND, "ticket", "打印机坏了")
    assert message(text("/unknown x")).kind is MessageKind.TEXT


def test_what_nobody_can_see_and_no_database_takes_is_left_out() -> None:
    assert message(text("你\x00好\ud800\u202e")).text == "你好"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param({}, id="nothing"),
        pytest.param(text("x") | {"aibotid": "another"}, id="another bot's"),
        pytest.param(text("x") | {"from": {}}, id="nobody"),
        pytest.param(text("x") | {"from": {"userid": "a> <@all"}}, id="no id"),
        pytest.param(text("x") | {"msgid": ""}, id="no name"),
        pytest.param(text(""), id="empty"),
        pytest.param(body("location", location={"x": 1}), id="unheard of"),
        pytest.param(body("event", event={"eventtype": "subscribe"}), id="another event"),
        pytest.param(
            body("event", event={"eventtype": "template_card_event", "template_card_event": {"event_key": "x"}}),
            id="somebody else's button",
        ),
        pytest.param(
            body("event", event={"eventtype": "feedback_event", "feedback_event": {"id": "k", "type": 3}}),
            id="a thumb that was taken back",
        ),
    ],
)
def test_what_nobody_expects_an_answer_to_is_ignored(raw: dict[str, Any]) -> None:
    assert isinstance(parse(raw, READING), Ignored)


def test_events() -> None:
    def event(kind: str, **about: Any) -> dict[str, Any]:
        return body("event", event={"eventtype": kind, kind: about}, chat="wrG")

    assert parse(event("disconnected_event"), READING) == Kicked()
    assert parse(event("enter_chat"), READING) == Entered()
    assert parse({"msgtype": "stream", "stream": {"id": "s1"}}, READING) == Refreshed(stream="s1")
    pressed = parse(event("template_card_event", event_key="kefu_act:solved|TICKET-1", task_id="t1"), READING)
    assert isinstance(pressed, Pressed)
    assert (pressed.message.kind, pressed.message.command) == (MessageKind.ACTION, "solved")
    assert (pressed.message.text, pressed.task_id) == ("TICKET-1", "t1")
    person = parse(event("template_card_event", event_key="kefu_act:person|turn1", task_id="t1"), READING)
    assert isinstance(person, Pressed)
    assert (person.message.command, person.message.text) == ("person", "")
    judged = parse(
        event("feedback_event", id="k1", type=2, content="太长", inaccurate_reason_list=[4, 9, "x"]), READING
    )
    assert isinstance(judged, Judged)
    assert (judged.rating, judged.comment) == ("down", "数据分析错误；太长")


def test_a_response_code_is_only_read_from_wecoms_own_address() -> None:
    assert response_code(f"{API}/cgi-bin/aibot/response?response_code=abc", API) == "abc"
    for url in (
        "",
        "https://evil.example/cgi-bin/aibot/response?response_code=abc",
        f"{API}.evil.example/cgi-bin/aibot/response?response_code=abc",
        f"{API}/cgi-bin/aibot/response?response_code=a&response_code=b",
        "http://[",
    ):
        assert response_code(url, API) == ""


def test_nothing_makes_it_fail() -> None:
    chance = random.Random(11)
    values: list[Any] = [None, 0, -1, 1e308, True, "", "x" * 300, "\ud800", [], [[]], {}, {"content": 7}, ["text"]]
    samples = [text("x", chat="wrG"), body("mixed", mixed={"msg_item": [{"msgtype": "text"}]}), body("event", event={})]

    def spoilt(value: Any) -> Any:
        if chance.random() < 0.25:
            return chance.choice(values)
        if isinstance(value, dict):
            return {key: spoilt(one) for key, one in value.items()}
        return [spoilt(one) for one in value] if isinstance(value, list) else value

    found = set()
    for _ in range(5000):
        raw = spoilt(chance.choice(samples))
        if isinstance(raw, dict):
            found.add(type(parse(json.loads(json.dumps(raw)), READING)))
    assert found == {Said, Ignored}, "what is spoilt is left aside, and what is not is heard"
