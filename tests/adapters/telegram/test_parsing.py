"""Every kind of update, and what it comes to. The tables follow platforms.md, 2d and 2g."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.telegram.parsing import Parsed, parse_update
from bot.messages import ConversationRef, Feedback, IncomingMessage, MessageKind
from tests.adapters.telegram.doubles import (
    BOT_ID,
    BOT_NAME,
    DATE,
    NOW,
    READING,
    Json,
    chat,
    message,
    person,
    replying_to_us,
    update,
    us,
)

GROUP = -1001234567890
MENTION = f"@{BOT_NAME}"


def parsed(kind: str = "message", payload: Json | None = None, **options: Any) -> Parsed:
    return parse_update(update(kind, payload, **options), READING)


def taken(kind: str = "message", payload: Json | None = None, **options: Any) -> IncomingMessage:
    found = parsed(kind, payload, **options)
    assert found.message is not None, found.ignored
    return found.message


def in_group(text: str = "", **fields: Any) -> Json:
    return message(text, chat_id=GROUP, **fields)


# -- An ordinary message --


def test_a_private_question_carries_everything_the_core_needs() -> None:
    found = taken(payload=message("密码忘了怎么办"))
    assert found == IncomingMessage(
        keys=("update:900", "message:5:10:0"),
        conversation=ConversationRef(platform="telegram", account=str(BOT_ID), channel="5"),
        sender=found.sender,
        text="密码忘了怎么办",
        sent_at=datetime.fromtimestamp(DATE, UTC),
        sequence=10,
        message_id="10",
    )
    assert (found.sender.id, found.sender.name, found.sender.language) == ("telegram:5", "Li Na", "zh-hans")


def test_the_same_message_under_a_new_update_id_shares_a_key() -> None:
    first, again = taken(update_id=900), taken(update_id=17)
    assert set(first.keys) & set(again.keys)


def test_a_forum_topic_is_a_thread() -> None:
    found = taken(payload=in_group(f"{MENTION} hi", message_thread_id=77, is_topic_message=True))
    assert found.conversation.thread == "77"
    assert not found.direct


def test_a_plain_reply_in_an_ordinary_supergroup_is_no_thread() -> None:
    found = taken(payload=in_group(f"{MENTION} hi", message_thread_id=77))
    assert found.conversation.thread == ""


def test_a_private_chat_with_topics_has_threads() -> None:
    assert taken(payload=message("hi", message_thread_id=3, is_topic_message=True)).conversation.thread == "3"


def test_the_words_that_are_replied_to_come_as_a_quote() -> None:
    found = taken(payload=message("and then?", reply_to_message=replying_to_us("七天内可以退货。")))
    assert (found.text, found.quote) == ("and then?", "七天内可以退货。")


def test_of_a_partly_quoted_message_only_the_chosen_part_is_the_quote() -> None:
    payload = message("why?", reply_to_message=replying_to_us("one. two."), quote={"text": "two.", "position": 5})
    assert taken(payload=payload).quote == "two."


# -- Commands --

COMMANDS = [
    pytest.param("/start", "start", "", id="start"),
    pytest.param("/start ticket_7K2M", "start", "ticket_7K2M", id="start with a payload"),
    pytest.param("/help", "help", "", id="help"),
    pytest.param("/reset", "reset", "", id="reset"),
    pytest.param("/stop", "stop", "", id="stop"),
    pytest.param("/ticket my parcel is lost\nsince Monday", "ticket", "my parcel is lost\nsince Monday", id="ticket"),
    pytest.param("/TICKET 退款", "ticket", "退款", id="capitals"),
    pytest.param(f"/help@{BOT_NAME}", "help", "", id="with our name"),
    pytest.param(f"/help@{BOT_NAME.upper()}", "help", "", id="with our name in capitals"),
    pytest.param("/weather today", "weather", "today", id="one we do not have"),
]


@pytest.mark.parametrize(("text", "command", "rest"), COMMANDS)
def test_a_command_is_named_and_what_follows_is_its_text(text: str, command: str, rest: str) -> None:
    first_word = text.split()[0]
    entity = {"type": "bot_command", "offset": 0, "length": len(first_word)}
    found = taken(payload=message(text, entities=[entity]))
    assert (found.kind, found.command, found.text) == (MessageKind.COMMAND, command, rest)


def test_a_command_in_the_middle_of_a_sentence_is_words() -> None:
    found = taken(payload=message("what does /reset do?"))
    assert (found.kind, found.text) == (MessageKind.TEXT, "what does /reset do?")


def test_a_slash_that_telegram_does_not_mark_is_words() -> None:
    assert taken(payload=message("/etc/hosts", entities=[])).kind is MessageKind.TEXT


# -- Groups --

FOR_US = [
    pytest.param(in_group(f"{MENTION} 怎么退货"), "怎么退货", id="mention first"),
    pytest.param(in_group(f"{MENTION}, how do I pay?"), "how do I pay?", id="mention with a comma"),
    pytest.param(in_group(f"how do I pay {MENTION}"), "how do I pay", id="mention last"),
    pytest.param(in_group(f"hey {MENTION} how are you"), "hey how are you", id="mention in the middle"),
    pytest.param(in_group(f"👍👍 {MENTION} 怎么退货"), "👍👍 怎么退货", id="behind characters of two units"),
    pytest.param(in_group(f"{MENTION.upper()} hi"), "hi", id="mention in capitals"),
    pytest.param(
        in_group("Kefu 客服 hi", entities=[{"type": "text_mention", "offset": 0, "length": 7, "user": us()}]),
        "hi",
        id="text mention",
    ),
    pytest.param(in_group("and abroad?", reply_to_message=replying_to_us()), "and abroad?", id="reply to us"),
    pytest.param(
        in_group(caption=f"{MENTION} what is this?", caption_entities=[
            {"type": "mention", "offset": 0, "length": len(MENTION)}], photo=[{}]),
        "what is this?",
        id="mention in a caption",
    ),
    pytest.param(
        in_group(f"{MENTION} hi", **{"from": person(1087968824, is_bot=True), "sender_chat": chat(GROUP)}),
        "hi",
        id="an anonymous administrator who names us",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("payload", "text"), FOR_US)
def test_in_a_group_we_answer_who_speaks_to_us(payload: Json, text: str) -> None:
    found = taken(payload=payload)
    assert (found.kind, found.text, found.direct) == (MessageKind.TEXT, text, False)


NOT_FOR_US = [
    pytest.param(in_group("how do I pay?"), "not addressed to us", id="just talking"),
    pytest.param(in_group("@kefu_test_bot_2 hi"), "not addressed to us", id="a name that begins like ours"),
    pytest.param(in_group(f"mail me{MENTION}", entities=[]), "not addressed to us", id="our name in other words"),
    pytest.param(
        in_group(f"{MENTION} hi", entities=[{"type": "code", "offset": 0, "length": len(MENTION)}]),
        "not addressed to us",
        id="our name as code",
    ),
    pytest.param(in_group("/weather"), "not addressed to us", id="somebody's command"),
    pytest.param(in_group("/help@other_bot"), "a command for another bot", id="another bot's command"),
    pytest.param(message("/help@other_bot"), "a command for another bot", id="another bot's command in private"),
    pytest.param(
        in_group("/help@other_bot", reply_to_message=replying_to_us()), "a command for another bot", id="in a reply"
    ),
    pytest.param(
        in_group("hi", **{"from": person(1087968824, is_bot=True), "sender_chat": chat(GROUP)}),
        "from an anonymous sender",
        id="an anonymous administrator",
    ),
    pytest.param(
        in_group(f"{MENTION} news!", is_automatic_forward=True, sender_chat={"id": -10099, "type": "channel"}),
        "a channel's post, forwarded into its discussion group",
        id="automatic forward",
    ),
    pytest.param(
        in_group(f"{MENTION} hi", **{"from": person(6, is_bot=True)}), "from a bot", id="another bot in a group"
    ),
    pytest.param({**message("hi"), "from": person(6, is_bot=True)}, "from a bot", id="another bot in private"),
    pytest.param(in_group(f"{MENTION} x", via_bot=person(6, is_bot=True)), "written by another bot", id="via a bot"),
    pytest.param(
        {"message_id": 1, "date": DATE, "chat": {"id": -10099, "type": "channel"}, "text": "news"},
        "a channel's post",
        id="channel post without from",
    ),
    pytest.param(
        {"message_id": 1, "date": DATE, "chat": chat(GROUP), "text": "hi"}, "without a sender", id="no sender at all"
    ),
    pytest.param(in_group(new_chat_members=[us()]), "a service message", id="we were added"),
    pytest.param(in_group(pinned_message=in_group("x")), "a service message", id="pinned"),
    pytest.param(in_group(migrate_from_chat_id=-55), "a service message", id="the other half of a migration"),
    pytest.param(
        in_group("hi", message_thread_id=77, is_topic_message=True, reply_to_message={
            "message_id": 77, "date": DATE, "chat": chat(GROUP), "from": us(), "forum_topic_created": {"name": "x"}}),
        "not addressed to us",
        id="in a topic that we opened",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("payload", "reason"), NOT_FOR_US)
def test_what_is_not_for_us_is_ignored_with_its_reason(payload: Json, reason: str) -> None:
    found = parsed(payload=payload)
    assert found.message is None
    assert (found.ignored, found.malformed) == (reason, False)


GROUP_COMMANDS = [
    pytest.param("/help", "help", id="one of ours"),
    pytest.param(f"/weather@{BOT_NAME}", "weather", id="any with our name"),
    pytest.param(f"{MENTION} /reset", "reset", id="behind our name"),
    pytest.param(MENTION, "start", id="our name alone"),
]


@pytest.mark.parametrize(("text", "command"), GROUP_COMMANDS)
def test_in_a_group_a_command_counts_when_it_is_for_us(text: str, command: str) -> None:
    found = taken(payload=in_group(text))
    assert (found.kind, found.command) == (MessageKind.COMMAND, command)


def test_our_name_alone_under_a_question_asks_that_question() -> None:
    question = {"message_id": 8, "date": DATE, "chat": chat(GROUP), "from": person(6), "text": "可以开发票吗？"}
    found = taken(payload=in_group(MENTION, reply_to_message=question))
    assert (found.kind, found.text, found.quote) == (MessageKind.TEXT, "可以开发票吗？", "")


def test_an_anonymous_administrator_is_known_as_the_group() -> None:
    payload = in_group(f"{MENTION} hi", sender_chat={**chat(GROUP), "title": "Shop"}, author_signature="")
    found = taken(payload=payload)
    assert (found.sender.id, found.sender.name) == (f"telegram:{GROUP}", "Shop")


def test_in_a_group_everybody_is_themselves() -> None:
    one = taken(payload=in_group(f"{MENTION} hi", **{"from": person(5)}))
    other = taken(payload=in_group(f"{MENTION} hi", **{"from": person(6)}))
    assert one.conversation == other.conversation
    assert (one.sender.id, other.sender.id) == ("telegram:5", "telegram:6")


# -- What is not words --

ATTACHED = [
    pytest.param({"photo": [{"file_id": "x"}]}, ("photo",), id="photo"),
    pytest.param({"voice": {"file_id": "x"}}, ("voice",), id="voice"),
    pytest.param({"document": {"file_id": "x"}}, ("file",), id="file"),
    pytest.param({"video_note": {"file_id": "x"}}, ("video",), id="round video"),
    pytest.param({"animation": {"file_id": "x"}, "document": {"file_id": "x"}}, ("video",), id="animation"),
    pytest.param({"venue": {"title": "x"}, "location": {"latitude": 1}}, ("location",), id="venue"),
    pytest.param({"sticker": {"emoji": "👍"}}, ("sticker",), id="sticker"),
    pytest.param({"contact": {"phone_number": "1"}}, ("contact",), id="contact"),
    pytest.param({"poll": {"question": "?"}}, ("poll",), id="poll"),
    pytest.param({"audio": {"file_id": "x"}}, ("audio",), id="audio"),
]


@pytest.mark.parametrize(("fields", "kinds"), ATTACHED)
def test_what_can_not_be_read_is_named(fields: Json, kinds: tuple[str, ...]) -> None:
    found = taken(payload=message(**fields))
    assert (found.kind, found.text, found.attachments) == (MessageKind.TEXT, "", kinds)


def test_a_caption_is_the_question_of_its_photo() -> None:
    found = taken(payload=message(photo=[{}], caption="这个坏了怎么办？"))
    assert (found.text, found.attachments) == ("这个坏了怎么办？", ("photo",))


# -- Edits, buttons, and the rest --


def test_an_edit_names_its_message_and_has_a_key_of_its_own() -> None:
    original = taken(payload=message("one"))
    found = taken("edited_message", message("two", edit_date=DATE + 9), update_id=901)
    assert (found.kind, found.text, found.message_id) == (MessageKind.EDIT, "two", original.message_id)
    assert found.keys == ("update:901", f"message:5:10:{DATE + 9}")
    assert not set(found.keys) & set(original.keys)


def test_an_edit_of_something_without_words_is_ignored() -> None:
    assert parsed("edited_message", message(location={"latitude": 1.0}, edit_date=DATE)).message is None


def test_an_edit_in_a_group_counts_only_when_it_is_addressed_to_us() -> None:
    assert parsed("edited_message", in_group("hi", edit_date=DATE)).message is None
    assert taken("edited_message", in_group(f"{MENTION} hi", edit_date=DATE)).text == "hi"


def press(data: str, *, where: Json | None = None, sender: int = 6) -> Json:
    under = {"message_id": 44, "date": DATE, "chat": chat(5), "from": us(), "text": "七天内可以退货。"}
    return {"id": "777", "from": person(sender), "chat_instance": "1", "data": data, "message": where or under}


@pytest.mark.parametrize("rating", ["up", "down"])
def test_a_thumb_is_a_judgement_of_its_turn_by_who_pressed(rating: Any) -> None:
    found = parsed("callback_query", press(f"fb:{rating}:abc123"))
    assert found.message is not None
    assert found.message.feedback == Feedback(turn_id="abc123", rating=rating)
    assert (found.message.kind, found.message.sender.id) == (MessageKind.FEEDBACK, "telegram:6")
    assert found.press is not None
    assert found.press.judged


@pytest.mark.parametrize("action", ["person", "ticket"])
def test_an_action_button_names_its_action(action: str) -> None:
    found = parsed("callback_query", press(f"act:{action}:abc123"))
    assert found.message is not None
    assert (found.message.kind, found.message.command) == (MessageKind.ACTION, action)
    assert found.message.text == "", "what it is about is the core's to know"
    assert found.message.message_id == "", "two people's presses of one button are two messages"
    assert found.press is not None


STRANGE_BUTTONS = [
    pytest.param("", id="no data"),
    pytest.param("fb:sideways:abc", id="another judgement"),
    pytest.param("fb:up:", id="no turn"),
    pytest.param("act:refund:abc", id="another action"),
    pytest.param("ctl:x", id="another namespace"),
    pytest.param("🙂" * 16, id="no data of ours"),
]


@pytest.mark.parametrize("data", STRANGE_BUTTONS)
def test_a_button_that_is_not_ours_is_answered_and_does_nothing(data: str) -> None:
    found = parsed("callback_query", press(data))
    assert found.message is None
    assert found.press is not None


def test_a_button_under_a_message_that_is_gone_still_counts() -> None:
    inaccessible = {"chat": chat(5), "message_id": 44, "date": 0}
    found = taken("callback_query", press("fb:up:abc", where=inaccessible))
    assert found.conversation.channel == "5"


def test_a_button_in_a_topic_belongs_to_that_topic() -> None:
    where = {
        "message_id": 44, "date": DATE, "chat": chat(GROUP), "from": us(), "text": "x",
        "message_thread_id": 77, "is_topic_message": True,
    }  # fmt: skip
    found = taken("callback_query", press("fb:up:abc", where=where))
    assert (found.conversation.channel, found.conversation.thread) == (str(GROUP), "77")


def test_a_button_of_an_inline_message_is_answered() -> None:
    query = press("fb:up:abc")
    del query["message"]
    found = parsed("callback_query", query)
    assert found.message is None
    assert found.press is not None


def test_the_stop_button_speaks_for_the_person_of_the_private_chat() -> None:
    found = taken("stopped_message_generation", {"chat": chat(5), "draft_id": 31})
    assert (found.kind, found.sender.id, found.sent_at) == (MessageKind.STOP, "telegram:5", NOW)
    assert "stop:5:31" in found.keys


MEMBERSHIPS = [
    pytest.param({"status": "kicked", "until_date": 0}, 5, True, id="blocked"),
    pytest.param({"status": "kicked", "until_date": 0}, GROUP, True, id="kicked"),
    pytest.param({"status": "left"}, GROUP, True, id="left"),
    pytest.param({"status": "restricted", "is_member": False}, GROUP, True, id="restricted and out"),
    pytest.param({"status": "restricted", "is_member": True}, GROUP, False, id="restricted"),
    pytest.param({"status": "member"}, 5, False, id="unblocked"),
    pytest.param({"status": "administrator"}, GROUP, False, id="made an administrator"),
]


@pytest.mark.parametrize(("member", "where", "gone"), MEMBERSHIPS)
def test_a_closed_door_is_told(member: Json, where: int, gone: bool) -> None:
    change = {
        "chat": chat(where), "from": person(), "date": DATE,
        "old_chat_member": {"status": "member", "user": us()}, "new_chat_member": {**member, "user": us()},
    }  # fmt: skip
    found = parsed("my_chat_member", change).message
    assert (found is not None and found.kind is MessageKind.GONE) == gone


def test_a_group_that_becomes_a_supergroup_has_moved() -> None:
    found = taken(payload=message(chat_id=-55, migrate_to_chat_id=GROUP))
    assert (found.kind, found.conversation.channel, found.text) == (MessageKind.MOVED, "-55", str(GROUP))


def test_other_updates_say_nothing_to_us() -> None:
    assert parsed("channel_post", message("news")).ignored


# -- What Telegram does not promise --

MALFORMED: list[Any] = [
    pytest.param(None, None, id="null"),
    pytest.param([], None, id="a list"),
    pytest.param({}, None, id="empty"),
    pytest.param({"update_id": "x"}, None, id="an id of letters"),
    pytest.param({"update_id": 10**30}, None, id="an id beyond every number"),
    pytest.param({"update_id": 7, "message": "hi"}, 7, id="a message of text"),
    pytest.param({"update_id": 7, "message": {"message_id": 1}}, 7, id="a message without a chat"),
    pytest.param(update(payload=message("hi", date=-5), update_id=7), 7, id="before time began"),
    pytest.param(update(payload=message("hi", message_id=2**80), update_id=7), 7, id="a number no database holds"),
    pytest.param(update(payload=message("hi", entities=[{"type": "mention"}]), update_id=7), 7, id="half an entity"),
    pytest.param(update("callback_query", {"id": "1"}, update_id=7), 7, id="a press by nobody"),
]


@pytest.mark.parametrize(("data", "update_id"), MALFORMED)
def test_a_malformed_update_is_said_to_be_so_and_keeps_its_number(data: Any, update_id: int | None) -> None:
    found = parse_update(data, READING)
    assert found.malformed
    assert found.update_id == update_id
    assert "hi" not in found.ignored.split()


def test_half_a_surrogate_pair_and_a_null_become_storable() -> None:
    found = taken(payload=message("a\ud83db\0c", entities=[]))
    assert found.text == "a\ufffdb\ufffdc"


@pytest.mark.parametrize("offset", [0, 3, 10**6])
def test_an_entity_beyond_the_text_does_no_harm(offset: int) -> None:
    payload = in_group("hi", entities=[{"type": "mention", "offset": offset, "length": 10**6}])
    assert parsed(payload=payload).message is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    [*message("x", photo=[{}], caption="x"), "reply_to_message", "quote", "media_group_id", "sender_chat", "edit_date"]
)


@settings(deadline=None)
@given(kind=st.sampled_from(["message", "edited_message"]), changed=st.dictionaries(fields, json_values, max_size=3))
def test_no_update_is_able_to_raise(kind: str, changed: Json) -> None:
    found = parse_update({"update_id": 900, kind: {**message("hello"), **changed}}, READING)
    assert found.update_id == 900
    if found.message is not None:
        found.message.text.encode()


@settings(deadline=None)
@given(before=st.text(max_size=20), after=st.text(max_size=20))
def test_our_name_is_cut_out_exactly_whatever_stands_around_it(before: str, after: str) -> None:
    text = f"{before} {MENTION} {after}"
    offset = len(f"{before} ".encode("utf-16-le")) // 2
    mention = {"type": "mention", "offset": offset, "length": len(MENTION)}
    found = taken(payload=in_group(text, entities=[mention]))
    assert MENTION not in found.text or MENTION in before + after
    if after.strip() and before.strip():
        assert found.text.startswith(before.replace("\0", "\ufffd").strip()[:1])
