"""Items of sync_msg: every kind of message and event, and what is none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.wecom.kf.naming import LONGEST, delivery_of, name_of
from adapters.wecom.kf.parsing import Changed, Entered, Failed, Happening, Ignored, PageUnreadable, Reading, Said
from adapters.wecom.kf.parsing import read_page as read
from bot.messages import ConversationRef, Feedback, MessageKind

KF, CORP, WHO, AT = "wkA", "wwCORP01", "wmLi", 1_790_000_000
READING = Reading(corp_id=CORP, open_kfid=KF, collections=("shop",))
THERE = ConversationRef(platform="wecom_kf", account=CORP, channel=KF, thread=WHO)
WHEN = datetime.fromtimestamp(AT, UTC)


def item(msgtype: str = "text", *, origin: int = 3, **fields: Any) -> dict[str, Any]:
    who = {} if msgtype == "event" else {"open_kfid": KF, "external_userid": WHO}
    return {"msgid": "m1", "send_time": AT, "origin": origin, "msgtype": msgtype} | who | fields


def event(kind: str, **fields: Any) -> dict[str, Any]:
    about = {"event_type": kind, "open_kfid": KF, "external_userid": WHO, **fields}
    return item("event", origin=4, event=about)


def one(raw: object) -> Happening:
    [happening] = read({"errcode": 0, "next_cursor": "c2", "has_more": 0, "msg_list": [raw]}, READING).happenings
    return happening


def test_words_are_what_a_customer_says() -> None:
    said = one(item(text={"content": "怎么退货？"}))
    assert isinstance(said, Said)
    message = said.message
    assert (message.text, message.kind, message.sent_at) == ("怎么退货？", MessageKind.TEXT, WHEN)
    assert (message.conversation, message.sender.id) == (THERE, "wecom_kf:wmLi")
    assert (message.keys, message.message_id) == (("msg:wkA:m1",), "m1")
    assert (message.collections, message.direct) == (("shop",), True)


@pytest.mark.parametrize(
    ("msgtype", "kind"),
    [
        ("image", "image"),
        ("voice", "voice"),
        ("video", "video"),
        ("file", "file"),
        ("location", "location"),
        ("business_card", "contact"),
        ("link", "link"),
        ("miniprogram", "miniprogram"),
        ("channels_shop_order", "channels_shop_order"),
        ("merged_msg", "merged_msg"),
        ("something new", "unknown"),
    ],
)
def test_what_can_not_be_read_is_named(msgtype: str, kind: str) -> None:
    said = one(item(msgtype, **{msgtype: {"media_id": "x"}}))
    assert isinstance(said, Said)
    assert (said.message.text, said.message.attachments) == ("", (kind,))


@pytest.mark.parametrize(
    ("menu_id", "kind", "command", "text"),
    [
        ("kefu_act:person|", MessageKind.ACTION, "person", ""),
        ("kefu_act:ticket|", MessageKind.ACTION, "ticket", ""),
        ("kefu_act:solved|TICKET-7K2M9Q4D", MessageKind.ACTION, "solved", "TICKET-7K2M9Q4D"),
        ("kefu_act:delete|everything", MessageKind.TEXT, "", "转人工"),
        ("somebody_elses", MessageKind.TEXT, "", "转人工"),
        ("kefu_fb:sideways|t1", MessageKind.TEXT, "", "转人工"),
        ("kefu_fb:up|", MessageKind.TEXT, "", "转人工"),
    ],
)
def test_a_tapped_line_is_what_it_says(menu_id: str, kind: MessageKind, command: str, text: str) -> None:
    said = one(item(text={"content": "转人工", "menu_id": menu_id}))
    assert isinstance(said, Said)
    assert (said.message.kind, said.message.command, said.message.text) == (kind, command, text)


def test_a_tapped_judgement_is_feedback() -> None:
    said = one(item(text={"content": "没帮助", "menu_id": "kefu_fb:down|t1"}))
    assert isinstance(said, Said)
    assert said.message.kind is MessageKind.FEEDBACK
    assert said.message.feedback == Feedback(turn_id="t1", rating="down")


def test_origins_and_events_are_told_apart() -> None:
    assert one(item(origin=5, text={"content": "我来"})) == Changed(at=WHEN, conversation=THERE, holder="person")
    assert one(event("enter_session", welcome_code="W")) == Entered(at=WHEN, conversation=THERE, code="W")
    assert one(event("enter_session", scene="x")) == Ignored(reason="enter_session")
    assert one(event("msg_send_fail", fail_msgid="k1", fail_type=10)) == Failed(
        conversation=THERE, msgid="k1", fail_type=10
    )
    for change, holder in {1: "person", 2: "person", 3: "bot", 4: "person"}.items():
        changed = one(event("session_status_change", change_type=change, new_servicer_userid="li"))
        assert changed == Changed(at=WHEN, conversation=THERE, holder=holder)  # type: ignore[arg-type]
    withdrawn = one(event("user_recall_msg", recall_msgid="m0"))
    assert isinstance(withdrawn, Said)
    assert (withdrawn.message.kind, withdrawn.message.text) == (MessageKind.EDIT, "")
    assert (withdrawn.message.message_id, withdrawn.message.keys) == ("m0", ("msg:wkA:m1",))


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(event("session_status_change", change_type=9), id="a-change-we-do-not-know"),
        pytest.param(event("servicer_status_change", external_userid=""), id="about-a-colleague"),
        pytest.param(event("servicer_recall_msg", recall_msgid="m0"), id="a-colleague-withdraws"),
        pytest.param(event("reject_customer_msg_switch_change"), id="a-switch"),
        pytest.param(event("brand_new"), id="new"),
        pytest.param(event("<b>&\n"), id="a-strange-name"),
        pytest.param(item(origin=4, text={"content": "x"}), id="words-of-the-system"),
        pytest.param(item(origin=9, text={"content": "x"}), id="an-origin-we-do-not-know"),
    ],
)
def test_what_is_nothing_to_us_is_left_out(raw: object) -> None:
    found = one(raw)
    assert isinstance(found, Ignored)
    assert not found.malformed
    assert found.reason.replace(" ", "_").isidentifier()


@pytest.mark.parametrize(
    "raw",
    [
        None,
        7,
        "x",
        [],
        {},
        {"msgid": "m"},
        item(text={"content": 7}),
        item(send_time=-1),
        item(send_time=10**18),
        item(msgid=""),
        item(msgid="x" * 500),
        item(external_userid="", text={"content": "x"}),
        item(open_kfid="wkANOTHER", text={"content": "x"}),
        item("event", origin=3, event={"event_type": "enter_session", "external_userid": WHO, "welcome_code": "W"}),
    ],
)
def test_one_bad_item_stops_no_other_and_shows_no_words(raw: object) -> None:
    answer = {"next_cursor": "c2", "msg_list": [raw, item(text={"content": "好"})]}
    bad, good = read(answer, READING).happenings
    assert isinstance(bad, Ignored)
    assert bad.malformed
    assert isinstance(good, Said)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"next_cursor": ""},
        {"next_cursor": None},
        {"next_cursor": "x" * 1000},
        {"next_cursor": "c", "msg_list": "none"},
        {"next_cursor": "c", "has_more": "perhaps"},
    ],
)
def test_what_is_no_page_moves_nothing(answer: dict[str, Any]) -> None:
    with pytest.raises(PageUnreadable) as refused:
        read(answer, READING)
    assert "none" not in str(refused.value)


def test_a_page_may_be_empty_and_more_to_come() -> None:
    page = read({"next_cursor": "c", "has_more": 1, "msg_list": None}, READING)
    assert (page.happenings, page.has_more, page.cursor) == ((), True, "c")


def test_words_that_no_database_takes_are_mended() -> None:
    said = one(item(text={"content": "a\0b\ud800c"}))
    assert isinstance(said, Said)
    assert said.message.text == "a\ufffdb\ufffdc"


def test_names_are_of_one_message_and_give_back_the_delivery() -> None:
    about = {"salt": "s", "delivery_id": 1234567, "number": 2, "text": "好"}
    name = name_of(**about)  # type: ignore[arg-type]
    assert name == name_of(**about)  # type: ignore[arg-type]
    assert delivery_of(name) == 1234567
    for other in ({"salt": "t"}, {"delivery_id": 5}, {"number": 1}, {"text": "坏"}):
        assert name_of(**(about | other)) != name  # type: ignore[arg-type]
    assert len(name_of(salt="s", delivery_id=2**62, number=99, text="x")) <= LONGEST
    assert delivery_of(name_of(salt="s", delivery_id=0, number=0, text="")) == 0
    for foreign in ("", "w-abc", "k1-0-xyz", name + "0", name.upper()):
        assert delivery_of(foreign) is None
