"""Callbacks of an app as messages. Pure."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.wecom.app.parsing import Malformed, Parsed, Reading, parse, user_id
from adapters.wecom.callbacks import CallbackRefused, read_xml
from bot.messages import ConversationRef, MessageKind
from tests.fakes.wecomapi.sealing import xml

READING = Reading(corp_id="ww1", agent_id=7, collections=("staff",))
AT = 1_790_000_000


def parsed(**fields: Any) -> Parsed:
    whole = {"ToUserName": "ww1", "FromUserName": "ZhangSan", "CreateTime": AT, "AgentID": 7, **fields}
    return parse(read_xml(xml({name: value for name, value in whole.items() if value is not None}).encode()), READING)


def event(name: str, **fields: Any) -> Parsed:
    return parsed(MsgType="event", Event=name, **fields)


def test_a_text_is_a_question_of_this_person() -> None:
    message = parsed(MsgType="text", Content=" 怎么报销？ ", MsgId=12345678901234567890).message
    assert message is not None
    assert message.keys == ("msg:7:12345678901234567890",)
    assert message.conversation == ConversationRef(platform="wecom_app", account="ww1/7", channel="zhangsan")
    assert (message.sender.id, message.text, message.kind) == ("wecom_app:zhangsan", "怎么报销？", MessageKind.TEXT)
    assert message.sent_at == datetime.fromtimestamp(AT, UTC)
    assert message.direct
    assert message.collections == ("staff",)


@pytest.mark.parametrize(
    ("kind", "fields", "attachment"),
    [
        ("image", {"PicUrl": "http://x", "MediaId": "m"}, "photo"),
        ("voice", {"MediaId": "m", "Format": "amr"}, "voice"),
        ("video", {"MediaId": "m", "ThumbMediaId": "t"}, "video"),
        ("location", {"Location_X": "23.1", "Location_Y": "113.3", "Scale": 20, "Label": "家"}, "location"),
        ("file", {"MediaId": "m"}, "file"),
    ],
)
def test_what_can_not_be_read_is_refused_politely_by_the_core(
    kind: str, fields: dict[str, Any], attachment: str
) -> None:
    message = parsed(MsgType=kind, MsgId=1, **fields).message
    assert message is not None
    assert (message.text, message.attachments) == ("", (attachment,))


def test_a_page_that_was_passed_on_is_read_by_its_title() -> None:
    message = parsed(MsgType="link", MsgId=1, Title="报销制度", Description="2026 版", Url="http://x").message
    assert message is not None
    assert (message.text, message.attachments) == ("报销制度\n2026 版", ())


@pytest.mark.parametrize(
    ("key", "kind", "command", "text"),
    [
        ("help", MessageKind.COMMAND, "help", ""),
        ("/RESET", MessageKind.COMMAND, "reset", ""),
        ("person", MessageKind.ACTION, "person", ""),
        ("kefu_act:solved|TICKET-1", MessageKind.ACTION, "solved", "TICKET-1"),
        ("年假有几天？", MessageKind.TEXT, "", "年假有几天？"),
    ],
)
def test_an_entry_of_the_menu_says_what_its_key_says(key: str, kind: MessageKind, command: str, text: str) -> None:
    message = event("click", EventKey=key).message
    assert message is not None
    assert (message.kind, message.command, message.text) == (kind, command, text)


def test_two_presses_in_a_second_are_two_and_one_that_comes_again_is_one() -> None:
    card = {"TaskId": "t1", "CardType": "button_interaction", "ResponseCode": "rc1"}
    first = event("template_card_event", EventKey="kefu_act:solved|TICKET-1", **card)
    second = event("template_card_event", EventKey="kefu_act:person|t-1", **{**card, "ResponseCode": "rc2"})
    again = event("template_card_event", EventKey="kefu_act:person|t-1", **{**card, "ResponseCode": "rc2"})
    assert first.message is not None
    assert second.message is not None
    assert (first.message.command, first.message.text) == ("solved", "TICKET-1")
    assert (second.message.command, second.message.text) == ("person", "")
    assert first.message.keys != second.message.keys
    assert again == second
    assert first.press is not None
    assert (first.press.user, first.press.response_code) == ("zhangsan", "rc1")
    assert "TICKET" not in str(first.message.keys)


def test_who_may_not_use_the_app_any_more_is_gone() -> None:
    message = event("unsubscribe", EventKey="").message
    assert message is not None
    assert message.kind is MessageKind.GONE


@pytest.mark.parametrize(
    "ignored",
    [
        pytest.param({"MsgType": "event", "Event": "subscribe"}, id="subscribe"),
        pytest.param({"MsgType": "event", "Event": "enter_agent", "EventKey": ""}, id="enter_agent"),
        pytest.param({"MsgType": "event", "Event": "view", "EventKey": "http://x"}, id="view"),
        pytest.param({"MsgType": "event", "Event": "LOCATION", "Latitude": "23.1"}, id="LOCATION"),
        pytest.param({"MsgType": "event", "Event": "template_card_event", "EventKey": "theirs"}, id="their button"),
        pytest.param({"MsgType": "event", "Event": "click", "EventKey": ""}, id="a menu without a key"),
        pytest.param({"MsgType": "event"}, id="an event without a name"),
        pytest.param({"MsgType": "unheard_of", "MsgId": 1}, id="an unknown kind"),
        pytest.param({"MsgType": "text", "Content": " ", "MsgId": 1}, id="a text without words"),
        pytest.param({"MsgType": "text", "Content": "x", "MsgId": 1, "AgentID": 8}, id="another app"),
        pytest.param({"MsgType": "text", "Content": "x", "MsgId": 1, "ToUserName": "ww2"}, id="another company"),
    ],
)
def test_what_says_nothing_to_us_is_let_go(ignored: dict[str, Any]) -> None:
    found = parsed(**ignored)
    assert found.message is None
    assert found.ignored


@pytest.mark.parametrize(
    "malformed",
    [
        pytest.param({"MsgId": None}, id="no id"),
        pytest.param({"MsgId": "seven"}, id="an id that is no number"),
        pytest.param({"FromUserName": None}, id="nobody"),
        pytest.param({"FromUserName": "a|b"}, id="two users"),
        pytest.param({"FromUserName": "@all"}, id="everybody"),
        pytest.param({"FromUserName": {"A": "b"}}, id="a user that is no word"),
        pytest.param({"CreateTime": "now"}, id="a time that is none"),
        pytest.param({"CreateTime": 10**15}, id="a time beyond the calendar"),
        pytest.param({"Content": {"A": "b"}}, id="words that are none"),
    ],
)
def test_what_lacks_what_every_message_has_is_malformed(malformed: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        parsed(**{"MsgType": "text", "Content": "words", "MsgId": 1, **malformed})


@given(
    st.dictionaries(
        st.sampled_from(
            ["ToUserName", "FromUserName", "CreateTime", "MsgType", "MsgId", "AgentID", "Event", "EventKey", "Content"]
        ),
        st.one_of(st.text(max_size=20), st.integers(), st.sampled_from(["text", "event", "click", "ww1", "7"])),
    )
)
def test_whatever_stands_there_nothing_else_is_raised(fields: dict[str, Any]) -> None:
    with contextlib.suppress(Malformed, CallbackRefused):
        parse(read_xml(xml(fields).encode("utf-8", "surrogatepass")), READING)


def test_a_user_is_one_user() -> None:
    assert user_id(" ZhangSan@Corp.cn ") == "zhangsan@corp.cn"
    for nobody in ("", "@all", "a|b", "张三", "-x", "a" * 65, "a b", "a\nb"):
        assert user_id(nobody) == ""
