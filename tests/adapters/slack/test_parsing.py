"""Events of Slack as messages: real-shaped payloads in, what the core gets out."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.slack.interactions import parse_command, parse_interaction
from adapters.slack.parsing import Parsed, parse_event
from bot.messages import ConversationRef, IncomingMessage, MessageKind
from tests.adapters.slack.house import (
    MANY,
    ME,
    READING,
    STAMP,
    TEAM,
    House,
    Json,
    MemoryIntake,
    NobodyAnswers,
    call,
    edited,
    mentioned,
    pressed,
    said,
)


def message(event: Json, **about: Any) -> IncomingMessage:
    parsed = parse_event(call(event, **about), READING)
    assert parsed.message is not None, parsed.ignored
    return parsed.message


def ignored(event: Json, **about: Any) -> Parsed:
    parsed = parse_event(call(event, **about), READING)
    assert parsed.message is None
    assert parsed.ignored
    return parsed


# -- Messages --


def test_a_direct_message_is_for_us_and_begins_a_thread() -> None:
    found = message(said("密码忘了怎么办", channel="D1"))
    assert found.text == "密码忘了怎么办"
    assert found.conversation == ConversationRef(platform="slack", account="", channel="D1", thread=STAMP)
    assert found.keys == ("event:Ev1", f"msg::D1:{STAMP}")
    assert (found.sender.id, found.direct, found.kind) == ("slack:U5", True, MessageKind.TEXT)
    assert (found.sequence, found.message_id) == (1_790_000_000_000_100, STAMP)
    assert found.sent_at == datetime.fromtimestamp(1_790_000_000, UTC).replace(microsecond=100)


def test_a_reply_in_a_direct_thread_stays_in_it() -> None:
    found = message(said("还有", channel="D1", ts="1790000009.000000", thread_ts=STAMP))
    assert found.conversation.thread == STAMP


def test_a_mention_and_its_twin_share_the_key_of_the_message() -> None:
    first = message(mentioned("多少钱？"), event_id="Ev1")
    second = message(said(f"<@{ME}> 多少钱？"), event_id="Ev2")
    assert first.text == second.text == "多少钱？"
    assert set(first.keys) & set(second.keys) == {f"msg::C1:{STAMP}"}
    assert first.conversation == second.conversation
    assert not first.direct
    assert not parse_event(call(mentioned()), READING).if_engaged


def test_every_redelivery_has_the_same_keys() -> None:
    assert message(said(channel="D1")).keys == message(said(channel="D1")).keys


def test_channel_talk_is_not_for_us() -> None:
    assert "not addressed" in ignored(said("anybody for lunch?")).ignored
    assert "not addressed" in ignored(said("a thread's root", thread_ts=STAMP)).ignored


def test_a_reply_in_a_channel_counts_only_where_we_take_part() -> None:
    parsed = parse_event(call(said("and then?", ts="1790000009.000000", thread_ts=STAMP)), READING)
    assert parsed.if_engaged
    assert parsed.message is not None


def test_a_reply_that_speaks_to_somebody_else_is_not_for_us() -> None:
    event = said("<@U77> what do you think?", ts="1790000009.000000", thread_ts=STAMP)
    assert "somebody else" in ignored(event).ignored
    both = said(f"<@U77> <@{ME}> what do you think?", ts="1790000009.000000", thread_ts=STAMP)
    assert message(both).text == "@U77 what do you think?"


def test_a_group_direct_message_is_like_a_channel() -> None:
    assert "not addressed" in ignored(said("hi", channel="G1", channel_type="mpim")).ignored
    assert not message(said(f"<@{ME}> hi", channel="G1", channel_type="mpim")).direct


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"<@{ME}> hello", "hello"),
        (f"<@{ME}>, 你好", "你好"),
        (f"<@{ME}|kefu>：你好", "你好"),
        (f"hello <@{ME}> there", "hello there"),
        (f"<@{ME}> <@{ME}> twice", "twice"),
        (f"<@{ME}> ask <@U7|wang.wei> or <@U8>", "ask @wang.wei or @U8"),
        (f"<@{ME}> in <#C7|general> and <#C8>", "in #general and #C8"),
        (f"<@{ME}> <!here> <!channel> <!subteam^S1|@ops> <!subteam^S2>", "@here @channel @ops @group"),
        (f"<@{ME}> <https://x.example/a?b=1&amp;c=2>", "https://x.example/a?b=1&c=2"),
        (f"<@{ME}> <https://x.example|x.example>", "x.example"),
        (f"<@{ME}> see <https://x.example/a|the page>", "see the page (https://x.example/a)"),
        (f"<@{ME}> <mailto:a@b.example|a@b.example>", "a@b.example"),
        (f"<@{ME}> <tel:123|123>", "123"),
        (f"<@{ME}> 1 &lt; 2 &amp;&amp; &nbsp; &amp;lt;", "1 < 2 && &nbsp; &lt;"),
        (f"<@{ME}> &lt;@{ME}&gt; typed by hand", f"<@{ME}> typed by hand"),
        (f"<@{ME}> • one\n• two\n&gt; quoted\n```\nx = `1`\n```", "• one\n• two\n> quoted\n```\nx = `1`\n```"),
        (f"<@{ME}> <!date^1790000000^{{date}}|2026-09-21>", "2026-09-21"),
        (f"<@{ME}> a \ud83d b \0", "a \ufffd b \ufffd"),
    ],
)
def test_mrkdwn_becomes_plain_words(text: str, words: str) -> None:
    assert message(mentioned(text=text) | {"text": text}).text == words


def test_names_that_are_known_are_used() -> None:
    from dataclasses import replace

    known = replace(READING, name_of=lambda account, user: {"U8": "王伟", "U5": "李娜"}.get(user, ""))
    found = parse_event(call(mentioned("ask <@U8>")), known).message
    assert found is not None
    assert (found.text, found.sender.name) == ("ask @王伟", "李娜")


def test_our_name_alone_asks_what_we_can_do() -> None:
    found = message(mentioned(""))
    assert (found.kind, found.command, found.text) == (MessageKind.COMMAND, "start", "")


@pytest.mark.parametrize(
    ("text", "command", "rest"), [("/help", "help", ""), ("/Ticket 打印机坏了", "ticket", "打印机坏了")]
)
def test_commands_can_be_typed(text: str, command: str, rest: str) -> None:
    found = message(said(text, channel="D1"))
    assert (found.kind, found.command, found.text) == (MessageKind.COMMAND, command, rest)


def test_what_only_looks_like_a_command_is_words() -> None:
    assert message(said("/etc/passwd is where?", channel="D1")).kind is MessageKind.TEXT


# -- What comes along --


@pytest.mark.parametrize(
    ("files", "kinds"),
    [
        ([{"id": "F1", "mimetype": "image/png"}], ("photo",)),
        ([{"id": "F1", "mimetype": "audio/webm", "subtype": "slack_audio"}], ("voice",)),
        ([{"id": "F1", "mimetype": "video/mp4"}, {"id": "F2", "mimetype": "application/pdf"}], ("video", "file")),
        ([{"id": "F1", "file_access": "check_file_info"}], ("file",)),
        ([], ("file",)),
    ],
)
def test_files_are_kinds_and_their_words_are_answered(files: list[Json], kinds: tuple[str, ...]) -> None:
    found = message(said("看这个", channel="D1", subtype="file_share", files=files))
    assert (found.text, found.attachments) == ("看这个", kinds)
    alone = message(said("", channel="D1", subtype="file_share", files=files))
    assert (alone.text, alone.attachments, alone.kind) == ("", kinds, MessageKind.TEXT)


def test_a_message_that_was_passed_on_is_a_quote() -> None:
    shared = [
        {"is_share": True, "text": "退款要 <https://x.example|几天>？", "author_name": "x"},
        {"text": "a preview"},
    ]
    found = message(said("这个呢", channel="D1", attachments=shared))
    assert (found.text, found.quote) == ("这个呢", "退款要 几天 (https://x.example)？")
    alone = message(mentioned("", attachments=shared))
    assert (alone.text, alone.quote) == ("退款要 几天 (https://x.example)？", "")


def test_a_reply_shown_in_the_channel_too_is_a_message() -> None:
    event = said(f"<@{ME}> hi", subtype="thread_broadcast", thread_ts="1780000000.000001", root={"ts": "1"})
    assert message(event).conversation.thread == "1780000000.000001"


# -- What is not for us --


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(said("x", channel="D1", bot_id="B1"), id="a bot with a user"),
        pytest.param(said("x", channel="D1", bot_id="B1", subtype="bot_message", user=None), id="a bot"),
        pytest.param(said("x", channel="D1", user=ME), id="ourselves"),
        pytest.param(said("x", channel="D1", user="USLACKBOT"), id="Slackbot"),
        pytest.param(said("x", channel="D1", user=""), id="nobody"),
        pytest.param(said("", channel="D1"), id="nothing"),
        *[
            pytest.param(said(f"<@{ME}> x", subtype=subtype), id=subtype)
            for subtype in (
                "channel_join",
                "message_deleted",
                "message_replied",
                "me_message",
                "channel_topic",
                "tombstone",
            )
        ],
        pytest.param({"type": "reaction_added", "user": "U5", "item": {}}, id="a reaction"),
        pytest.param({"type": "team_join", "user": {"id": "U5"}}, id="another shape"),
    ],
)
def test_nobody_asks(event: Json) -> None:
    assert not ignored(event).malformed


# -- Edits --


def test_a_persons_own_edit_is_new_words_for_the_message() -> None:
    found = message(edited("两双多少钱？", "一双多少钱？", channel="D1"))
    assert (found.kind, found.text, found.message_id) == (MessageKind.EDIT, "两双多少钱？", STAMP)
    assert found.keys == ("event:Ev1", f"edit:D1:{STAMP}:1790000050.000000")
    assert found.conversation.thread == STAMP


def test_an_edit_in_a_channel_counts_only_where_we_take_part() -> None:
    assert parse_event(call(edited("new")), READING).if_engaged


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(edited("same", "same", channel="D1"), id="no word changed"),
        pytest.param(edited("x", channel="D1", edited=None), id="a preview"),
        pytest.param(edited("x", channel="D1", bot_id="B1", user=ME), id="our own update"),
        pytest.param(edited("x", channel="D1", user=ME, edited={"user": ME, "ts": "1.1"}), id="our own"),
        pytest.param(edited("x", channel="D1", edited={"user": "U9", "ts": "1.1"}), id="somebody else's change"),
        pytest.param(edited("", channel="D1"), id="nothing left"),
        pytest.param(edited("x", channel="D1", subtype="bot_message"), id="a bot's"),
    ],
)
def test_other_changes_are_none(event: Json) -> None:
    assert ignored(event).message is None


# -- Workspaces --


def test_several_workspaces_are_accounts_and_their_people_differ() -> None:
    found = parse_event(call(said(channel="D1")), MANY).message
    assert found is not None
    assert (found.conversation.account, found.sender.id) == (TEAM, f"slack:{TEAM}/U5")
    assert found.keys[1] == f"msg:{TEAM}:D1:{STAMP}"


def test_the_installed_workspace_counts_and_not_the_writers() -> None:
    event = said(f"<@{ME}> hi", team="T9STRANGER", user_team="T9STRANGER", source_team="T9STRANGER")
    parsed = parse_event(call(event, team_id="T9STRANGER", is_ext_shared_channel=True), MANY)
    assert parsed.place.account == TEAM
    assert parsed.home == "T9STRANGER"


def test_an_organisation_is_one_account() -> None:
    about = {"enterprise_id": "E1", "team_id": None, "user_id": ME, "is_bot": True, "is_enterprise_install": True}
    parsed = parse_event(call(said(channel="D1"), authorizations=[about], enterprise_id="E1"), MANY)
    assert parsed.place.account == "E1"
    assert parsed.home == ""


def test_without_authorizations_the_workspace_of_the_call_counts() -> None:
    parsed = parse_event(call(said(channel="D1"), authorizations=None), MANY)
    assert parsed.place.account == TEAM


# -- Everything else --


def test_stop() -> None:
    event = {
        "type": "agent_session_stopped",
        "channel": "D1",
        "thread_ts": STAMP,
        "user": "U5",
        "streaming_message_ts": ["1790000002.000100"],
        "event_ts": "1790000003.000100",
    }
    found = message(event)
    assert (found.kind, found.conversation.thread) == (MessageKind.STOP, STAMP)
    assert found.keys == ("event:Ev1", f"stop:D1:{STAMP}:1790000003.000100")


@pytest.mark.parametrize("kind", ["channel_left", "group_left", "channel_archive", "group_archive", "channel_deleted"])
def test_a_channel_that_is_closed_to_us_is_gone(kind: str) -> None:
    found = message({"type": kind, "channel": "C1", "event_ts": STAMP})
    assert (found.kind, found.conversation) == (
        MessageKind.GONE,
        ConversationRef(platform="slack", account="", channel="C1"),
    )


def test_a_channel_with_a_new_id_has_moved() -> None:
    event = {"type": "channel_id_changed", "old_channel_id": "G1", "new_channel_id": "C9", "event_ts": STAMP}
    found = message(event)
    assert (found.kind, found.conversation.channel, found.text) == (MessageKind.MOVED, "G1", "C9")


def test_the_end_of_an_installation_is_seen() -> None:
    assert ignored({"type": "app_uninstalled"}, authorizations=None).uninstalled == "app_uninstalled"
    bot = {"type": "tokens_revoked", "tokens": {"oauth": ["U5"], "bot": ["UBOT"]}}
    assert ignored(bot).uninstalled == "tokens_revoked"
    assert ignored({"type": "tokens_revoked", "tokens": {"oauth": ["U5"]}}).uninstalled == ""


# -- Buttons and commands --


@pytest.mark.parametrize(
    ("action", "value", "command", "text"),
    [("kefu_act:ticket", "turn-1", "ticket", ""), ("kefu_act:person", "turn-1", "person", ""),
     ("kefu_act:solved", "TICKET-1", "solved", "TICKET-1")],
)  # fmt: skip
def test_buttons_are_actions_in_their_thread(action: str, value: str, command: str, text: str) -> None:
    found = parse_interaction(pressed(action, value), READING).message
    assert found is not None
    assert (found.kind, found.command, found.text) == (MessageKind.ACTION, command, text)
    assert found.conversation == ConversationRef(platform="slack", account="", channel="C1", thread=STAMP)
    assert found.keys == ("act:C1:1790000010.000100:1790000020.000300",)
    assert found.sender.name == "li.na"


@pytest.mark.parametrize("rating", ["up", "down"])
def test_thumbs_are_feedback(rating: str) -> None:
    found = parse_interaction(pressed("kefu_feedback", f"{rating}|turn-1"), READING).message
    assert found is not None
    assert found.feedback is not None
    assert (found.feedback.turn_id, found.feedback.rating) == ("turn-1", rating)


@pytest.mark.parametrize(
    "action", [("kefu_feedback", "sideways|t"), ("kefu_feedback", "up"), ("kefu_act:rm", "x"), ("x", "")]
)
def test_other_buttons_are_not_ours(action: tuple[str, str]) -> None:
    found = parse_interaction(pressed(*action), READING)
    assert found.message is None
    assert found.ignored


def test_an_organisations_button_has_no_workspace() -> None:
    found = parse_interaction(
        pressed("kefu_act:person", "t", team=None, enterprise={"id": "E1"}, is_enterprise_install=True), MANY
    )
    assert found.place.account == "E1"
    assert found.message is not None


# -- Anything at all --

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
_SEEDS: list[Json] = [
    call(said(channel="D1", files=[{"mimetype": "image/png"}])),
    call(edited("x", channel="D1")),
    call(mentioned("x")),
    pressed("kefu_feedback", "up|t"),
    call({"type": "channel_left", "channel": "C1", "event_ts": STAMP}),
]


def _paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here] + [path for key, one in inside for path in _paths(one, (*here, key))]


@st.composite
def _mutated(draw: st.DrawFn) -> Any:
    made = json.loads(json.dumps(draw(st.sampled_from(_SEEDS))))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(_paths(made)))
        if not path:
            return draw(_JSON)
        target = made
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = draw(_JSON)
    return made


@settings(max_examples=300, deadline=None)
@given(_mutated() | _JSON)
def test_nothing_that_slack_might_send_raises(payload: Any) -> None:
    for reading in (READING, MANY):
        parsed = parse_event(payload, reading)
        assert parsed.message is not None or parsed.ignored
        for found in (parsed.message, parse_interaction(payload, reading).message):
            if found is not None:
                _fits(found)
        parse_command(payload, reading)


@settings(max_examples=100, deadline=None)
@given(_mutated() | st.dictionaries(st.text(max_size=12), _JSON, max_size=4))
def test_whatever_is_surely_slacks_is_acknowledged(payload: Any) -> None:
    if isinstance(payload, dict):
        intake = MemoryIntake()
        answer = asyncio.run(House(intake=intake, api=NobodyAnswers()).dispatcher.dispatch(payload, intake))
        assert answer.status == 200


def test_a_huge_message_is_read() -> None:
    assert len(message(said("很" * 40_000, channel="D1")).text) == 40_000


def _fits(found: IncomingMessage) -> None:
    """What the database takes."""
    assert all(0 < len(key) <= 300 for key in found.keys)
    assert len(found.conversation.channel) <= 200
    assert len(found.sender.id) <= 200
    found.text.encode()
    assert "\0" not in found.text
    assert found.sequence is None or found.sequence < 2**63
