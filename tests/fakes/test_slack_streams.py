"""The fake Slack's streams: replies only, one mode, 12,000 characters, five minutes, and a Stop button."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack_api import FakeSlack, Fault
from tests.fakes.slackapi.asking import Asking

FEEDBACK = {
    "type": "context_actions",
    "elements": [
        {
            "type": "feedback_buttons",
            "action_id": "kefu_feedback",
            "positive_button": {"text": {"type": "plain_text", "text": "Good"}, "value": "up|1"},
            "negative_button": {"text": {"type": "plain_text", "text": "Bad"}, "value": "down|1"},
        }
    ],
}


def words(text: str) -> list[dict[str, str]]:
    return [{"type": "markdown_text", "text": text}]


@pytest.fixture
async def root(slack: FakeSlack) -> str:
    return str(slack.people.says("C1", "<@UB0KEFU> question", user="U5")["ts"])


@pytest.fixture
def place(root: str) -> dict[str, str]:
    return {"channel": "C1", "thread_ts": root, "recipient_team_id": "T0KEFU", "recipient_user_id": "U5"}


async def begun(ask: Asking, place: dict[str, str], **more: Any) -> dict[str, str]:
    """A stream: its channel and ts."""
    answer = await ask.ok("chat.startStream", **place, **more)
    return {"channel": answer["channel"], "ts": answer["ts"]}


async def test_a_stream_grows_and_ends(slack: FakeSlack, ask: Asking, place: dict[str, str], root: str) -> None:
    stream = await begun(ask, place, chunks=words("one "))
    await ask.ok("chat.appendStream", **stream, chunks=words("two "))
    assert (slack.texts("C1", root), slack.messages("C1")[0].streaming) == (["one two "], True)
    kept = {"event_type": "kefu_delivery", "event_payload": {"delivery_id": 7}}
    end: dict[str, Any] = {"chunks": words("three"), "blocks": [FEEDBACK], "metadata": kept}
    answer = await ask.ok("chat.stopStream", **stream, **end, session_status="active")
    assert answer["message"]["streaming_state"] == "completed"
    seen = slack.messages("C1", root)[0]
    assert (seen.text, seen.metadata, seen.streaming) == ("one two three\n[Good] [Bad]", kept, False)
    assert slack.session("C1", root) == "active"
    assert await ask.refused("chat.appendStream", **stream, chunks=words("x")) == "message_not_in_streaming_state"
    assert await ask.refused("chat.stopStream", **stream) == "message_not_in_streaming_state"


@pytest.mark.parametrize(
    ("about", "error"),
    [
        pytest.param({"thread_ts": None}, "invalid_arguments", id="no thread"),
        pytest.param({"thread_ts": "1700000000.000001"}, "thread_not_found", id="no such thread"),
        pytest.param({"recipient_team_id": None}, "missing_recipient_team_id", id="no team"),
        pytest.param({"recipient_user_id": None}, "missing_recipient_user_id", id="no user"),
        pytest.param({"recipient_team_id": "T404"}, "team_not_found", id="unknown team"),
        pytest.param({"recipient_user_id": "U404"}, "user_not_found", id="unknown user"),
        pytest.param({"channel": "C404"}, "channel_not_found", id="no such channel"),
        pytest.param({"task_display_mode": "wheel"}, "invalid_arguments", id="display mode"),
    ],
)
async def test_where_streams_start(ask: Asking, place: dict[str, str], about: dict[str, Any], error: str) -> None:
    assert await ask.refused("chat.startStream", **{**place, **about}) == error


async def test_direct_messages_need_no_recipient(slack: FakeSlack, ask: Asking) -> None:
    root = slack.people.says("D5", "q")["ts"]
    await ask.ok("chat.startStream", channel="D5", thread_ts=root)
    slack.streams.recipients_in_dms = True
    assert await ask.refused("chat.startStream", channel="D5", thread_ts=root) == "missing_recipient_team_id"


async def test_a_reply_is_no_thread(ask: Asking, place: dict[str, str]) -> None:
    reply = (await ask.ok("chat.postMessage", channel="C1", text="a", thread_ts=place["thread_ts"]))["ts"]
    assert await ask.refused("chat.startStream", **{**place, "thread_ts": reply}) == "cannot_reply_to_message"


async def test_the_first_payload_decides_the_mode(slack: FakeSlack, ask: Asking, place: dict[str, str]) -> None:
    chunky, plain = await begun(ask, place), await begun(ask, place, markdown_text="a")
    await ask.ok("chat.appendStream", **chunky, chunks=words("a"))
    assert await ask.refused("chat.appendStream", **chunky, markdown_text="b") == "streaming_mode_mismatch"
    assert await ask.refused("chat.stopStream", **chunky, markdown_text="b") == "streaming_mode_mismatch"
    assert await ask.refused("chat.appendStream", **plain, chunks=words("b")) == "streaming_mode_mismatch"
    both = {"markdown_text": "b", "chunks": words("b")}
    assert await ask.refused("chat.appendStream", **plain, **both) == "streaming_mode_mismatch"
    await ask.ok("chat.stopStream", **plain, chunks=[])
    await ask.ok("chat.stopStream", **chunky, blocks=[FEEDBACK])
    assert slack.texts("C1") == ["a\n[Good] [Bad]", "a"]


async def test_lengths_of_a_chunk_and_of_the_whole(slack: FakeSlack, ask: Asking, place: dict[str, str]) -> None:
    stream = await begun(ask, place)
    assert await ask.refused("chat.appendStream", **stream) == "no_text"
    assert await ask.refused("chat.appendStream", **stream, chunks=words("字" * 12_001)) == "msg_too_long"
    assert await ask.refused("chat.appendStream", **stream, markdown_text="字" * 12_001) == "msg_too_long"
    await ask.ok("chat.appendStream", **stream, chunks=words("字" * 11_999))
    assert await ask.refused("chat.appendStream", **stream, chunks=words("ab")) == "msg_too_long"
    await ask.ok("chat.appendStream", **stream, chunks=words("a"))
    assert await ask.refused("chat.stopStream", **stream, chunks=words("b")) == "msg_too_long"
    section = {"type": "section", "text": {"type": "plain_text", "text": "a" * 1_300}}
    assert await ask.refused("chat.stopStream", **stream, blocks=[section]) == "msg_too_long"
    await ask.ok("chat.stopStream", **stream)
    assert slack.texts("C1") == ["字" * 11_999 + "a"]


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param({"type": "poem"}, id="unknown"),
        pytest.param({"type": "markdown_text", "text": ""}, id="empty"),
        pytest.param({"type": "task_update", "id": "1", "title": "t", "status": "done"}, id="status"),
        pytest.param({"type": "task_update", "id": "1", "title": "t" * 257, "status": "complete"}, id="title"),
        pytest.param({"type": "blocks", "blocks": []}, id="no blocks"),
    ],
)
async def test_chunks_are_checked_and_taken_whole_or_not(
    slack: FakeSlack, ask: Asking, place: dict[str, str], chunk: Any
) -> None:
    stream = await begun(ask, place)
    assert await ask.refused("chat.appendStream", **stream, chunks=[*words("a"), chunk]) == "invalid_chunks"
    assert slack.texts("C1") == [""]


async def test_tasks_are_merged(slack: FakeSlack, ask: Asking, place: dict[str, str]) -> None:
    task = {"type": "task_update", "id": "1", "title": "Looking", "status": "in_progress", "details": "a"}
    stream = await begun(ask, place, chunks=[task])
    await ask.ok("chat.appendStream", **stream, chunks=[task | {"title": "Found", "status": "complete"}])
    held = slack.state.channels["C1"].messages[stream["ts"]].stream
    assert held is not None
    assert held.tasks == {"1": {"title": "Found", "status": "complete", "details": "aa"}}


async def test_the_life_of_a_stream(slack: FakeSlack, ask: Asking, place: dict[str, str]) -> None:
    stream = await begun(ask, place, chunks=words("one"))
    slack.clock.advance(299)
    await ask.ok("chat.appendStream", **stream, chunks=words(" two"))
    assert await ask.refused("chat.update", **stream, text="x") == "streaming_state_conflict"
    assert await ask.refused("chat.delete", **stream) == "cant_delete_message"
    slack.clock.advance(1)
    assert await ask.refused("chat.appendStream", **stream, chunks=words("x")) == "message_not_in_streaming_state"
    assert await ask.refused("chat.stopStream", **stream) == "message_not_in_streaming_state"
    assert slack.texts("C1") == ["one two"]
    await ask.ok("chat.update", **stream, markdown_text="one two three")
    assert slack.texts("C1") == ["one two three"]


async def test_it_may_die_on_order(slack: FakeSlack, ask: Asking, place: dict[str, str]) -> None:
    stream = await begun(ask, place, chunks=words("a"))
    slack.faults.add(Fault(kind="stream_dies", method="chat.appendStream", skip=1, times=1))
    await ask.ok("chat.appendStream", **stream, chunks=words("b"))
    assert await ask.refused("chat.appendStream", **stream, chunks=words("c")) == "message_not_in_streaming_state"
    assert slack.texts("C1") == ["ab"]
    again = await begun(ask, place)
    slack.streams.dies("C1")
    assert await ask.refused("chat.stopStream", **again) == "message_not_in_streaming_state"


async def test_somebody_presses_stop(slack: FakeSlack, ask: Asking, place: dict[str, str], root: str) -> None:
    stream = await begun(ask, place, chunks=words("a"))
    pressed = slack.people.stops("C1", root, user="U5")
    assert pressed["streams"] == [stream["ts"]]
    event = slack.feed.deliveries[pressed["event_ids"][0]].payload["event"]
    assert (event["type"], event["streaming_message_ts"]) == ("agent_session_stopped", [stream["ts"]])
    assert await ask.refused("chat.appendStream", **stream, chunks=words("b")) == "stopped_by_user"
    assert await ask.refused("chat.stopStream", **stream) == "message_not_in_streaming_state"
    with pytest.raises(LookupError, match="no Stop"):
        slack.people.stops("C1", root)
    await ask.ok("agents.sessions.setStatus", channel_id="C1", thread_ts=root, status="processing")
    assert slack.people.stops("C1", root)["streams"] == []


async def test_only_own_streams(slack: FakeSlack, ask: Asking, root: str) -> None:
    assert await ask.refused("chat.appendStream", channel="C1", ts=root, chunks=words("x")) == (
        "message_not_in_streaming_state"
    )
    mine = (await ask.ok("chat.postMessage", channel="C1", text="a"))["ts"]
    assert await ask.refused("chat.stopStream", channel="C1", ts=mine) == "message_not_in_streaming_state"
    assert await ask.refused("chat.stopStream", channel="C1", ts="1.000001") == "message_not_found"


async def test_the_rates_of_streams(slack: FakeSlack, ask: Asking, place: dict[str, str]) -> None:
    slack.rates.on = True
    headers = {"Authorization": f"Bearer {slack.bot_token}"}
    stream = await begun(ask, place)
    body = {**stream, "markdown_text": "."}
    for _ in range(100):
        await ask.ok("chat.appendStream", **body)
    async with ask.http.post(f"{slack.api_url}chat.appendStream", json=body, headers=headers) as response:
        assert response.status == 429
        assert 1 <= int(response.headers["Retry-After"]) <= 60
    for _ in range(19):
        await begun(ask, place)
    async with ask.http.post(f"{slack.api_url}chat.startStream", json=place, headers=headers) as response:
        assert (response.status, (await response.json())["error"]) == (429, "ratelimited")
    assert slack.messages("C1")[0].text == "." * 100


async def test_the_library_streams(slack: FakeSlack, place: dict[str, str]) -> None:
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url)
    stream = await client.chat_stream(**place, buffer_size=4)
    for part in ("He", "llo ", "world"):
        await stream.append(markdown_text=part)
    await stream.stop(blocks=[FEEDBACK])
    empty = await client.chat_stream(**place)
    await empty.stop()
    assert slack.texts("C1") == ["Hello world\n[Good] [Bad]", ""]
