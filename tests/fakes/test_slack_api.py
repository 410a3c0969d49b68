"""The fake Slack's Web API: as strict as Slack, so that what passes against it has a chance out there."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack_api import FakeSlack, Fault
from tests.fakes.slackapi.asking import Asking

SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "hello"}}


def plain(text: str) -> dict[str, str]:
    return {"type": "plain_text", "text": text}


def button(text: str = "Go", **more: Any) -> dict[str, Any]:
    return {"type": "button", "text": plain(text), "action_id": "go", **more}


# -- Who may call --


async def test_every_transport_carries_the_same_call(slack: FakeSlack, ask: Asking) -> None:
    slack.people.says("D5", "hi")
    url, auth = f"{slack.api_url}chat.postMessage", {"Authorization": f"Bearer {slack.bot_token}"}
    form = {"channel": "D5", "text": "你好", "blocks": json.dumps([SECTION])}
    await ask.ok("chat.postMessage", channel="D5", text="你好", blocks=[SECTION])
    await ask.ok("chat.postMessage", channel="D5", text="你好", blocks=json.dumps([SECTION]))
    for about in ({"data": form}, {"params": form}, {"data": form | {"token": slack.bot_token}, "headers": {}}):
        async with ask.http.post(url, **{"headers": auth, **about}) as response:
            assert (await response.json())["ok"] is True
    sent = slack.messages("D5")
    assert [one.text for one in sent] == ["hello"] * 5
    assert {one.notice for one in sent} == {"你好"}


@pytest.mark.parametrize(
    ("token", "method", "error"),
    [
        pytest.param("", "auth.test", "not_authed", id="no token"),
        pytest.param("xoxb-wrong", "auth.test", "invalid_auth", id="wrong token"),
        pytest.param("xoxb-wrong", "chat.telepathy", "unknown_method", id="unknown method"),
        pytest.param("app", "chat.postMessage", "not_allowed_token_type", id="app token for a bot's method"),
        pytest.param("bot", "apps.connections.open", "not_allowed_token_type", id="bot token for a socket"),
    ],
)
async def test_tokens_are_judged(slack: FakeSlack, ask: Asking, token: str, method: str, error: str) -> None:
    ask.token = {"app": slack.app_token, "bot": slack.bot_token}.get(token, token)
    assert await ask.refused(method) == error


async def test_a_token_in_a_json_body_is_not_seen(slack: FakeSlack, ask: Asking) -> None:
    body = {"token": slack.bot_token}
    async with ask.http.post(f"{slack.api_url}auth.test", json=body) as response:
        assert (await response.json())["error"] == "not_authed"


@pytest.mark.parametrize("error", ["token_revoked", "account_inactive", "token_expired", "invalid_auth"])
async def test_tokens_end_on_order_and_work_again(slack: FakeSlack, ask: Asking, error: str) -> None:
    slack.tokens.ends(error)
    assert await ask.refused("auth.test") == error
    slack.tokens.works_again()
    assert (await ask.ok("auth.test"))["bot_id"] == "B0KEFU"


async def test_scopes_are_told_and_missed(slack: FakeSlack, ask: Asking) -> None:
    headers = {"Authorization": f"Bearer {slack.bot_token}"}
    async with ask.http.post(f"{slack.api_url}auth.test", headers=headers) as response:
        assert "chat:write" in response.headers["x-oauth-scopes"].split(",")
    slack.tokens.loses("chat:write")
    answer = await ask("chat.postMessage", channel="D5", text="x")
    assert (answer["error"], answer["needed"]) == ("missing_scope", "chat:write")
    assert "im:history" in answer["provided"].split(",")
    slack.people.says("D5", "hi")
    slack.tokens.loses("im:history")
    assert (await ask.look("conversations.history", channel="D5"))["needed"] == "im:history"


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        pytest.param(b"{", "application/json", "invalid_json", id="broken JSON"),
        pytest.param(b"[]", "application/json", "json_not_object", id="no object"),
        pytest.param(b"<a/>", "text/xml", "invalid_post_type", id="neither form nor JSON"),
    ],
)
async def test_malformed_bodies(slack: FakeSlack, ask: Asking, body: bytes, kind: str, error: str) -> None:
    headers = {"Authorization": f"Bearer {slack.bot_token}", "Content-Type": kind}
    async with ask.http.post(f"{slack.api_url}chat.postMessage", data=body, headers=headers) as response:
        assert (response.status, (await response.json())["error"]) == (200, error)


# -- Posting --


async def test_where_a_bot_may_write(slack: FakeSlack, ask: Asking) -> None:
    slack.people.opens_channel("C1", member=False)
    slack.people.opens_channel("G1", member=False)
    slack.people.opens_channel("C2", archived=True)
    slack.people.opens_channel("C9", team="T9")
    expected = {"C1": "not_in_channel", "G1": "channel_not_found", "C2": "is_archived", "C9": "channel_not_found"}
    for channel, error in (expected | {"C404": "channel_not_found"}).items():
        assert await ask.refused("chat.postMessage", channel=channel, text="x") == error, channel
    slack.people.knows("U7")
    assert (await ask.ok("chat.postMessage", channel="U7", text="x"))["channel"] == "D7"


async def test_threads_have_a_root(slack: FakeSlack, ask: Asking) -> None:
    root = slack.people.says("C1", "question")["ts"]
    reply = (await ask.ok("chat.postMessage", channel="C1", text="a", thread_ts=root))["ts"]
    post = {"channel": "C1", "text": "x"}
    assert await ask.refused("chat.postMessage", **post, thread_ts=reply) == "cannot_reply_to_message"
    assert await ask.refused("chat.postMessage", **post, thread_ts="1700000000.000001") == "thread_not_found"
    assert await ask.refused("chat.postMessage", **post, thread_ts="yesterday") == "invalid_thread_ts"
    assert slack.texts("C1", root) == ["a"]


async def test_what_a_post_may_hold(slack: FakeSlack, ask: Asking) -> None:
    slack.people.opens_channel("C1")
    assert await ask.refused("chat.postMessage", channel="C1") == "no_text"
    assert await ask.refused("chat.postMessage", channel="C1", text=" ", blocks=[]) == "no_text"
    assert await ask.refused("chat.postMessage", channel="C1", markdown_text="a", text="b") == "markdown_text_conflict"
    assert await ask.refused("chat.postMessage", channel="C1", markdown_text="字" * 12_001) == "msg_too_long"
    await ask.ok("chat.postMessage", channel="C1", markdown_text="字" * 12_000)
    await ask.ok("chat.postMessage", channel="C1", text="a" * 50_000)
    assert [len(text) for text in slack.texts("C1")] == [12_000, 40_000]


@pytest.mark.parametrize(
    "block",
    [
        pytest.param({"type": "poem"}, id="unknown type"),
        pytest.param({"type": "section"}, id="section without text"),
        pytest.param({"type": "section", "text": {"type": "mrkdwn", "text": ""}}, id="empty text"),
        pytest.param({"type": "section", "text": {"type": "mrkdwn", "text": "a" * 3_001}}, id="section"),
        pytest.param({"type": "header", "text": plain("a" * 151)}, id="header"),
        pytest.param({"type": "header", "text": {"type": "mrkdwn", "text": "a"}}, id="header in mrkdwn"),
        pytest.param({"type": "markdown", "text": "a" * 12_001}, id="markdown"),
        pytest.param({"type": "context", "elements": [plain("a")] * 11}, id="context elements"),
        pytest.param({"type": "context", "elements": [button()]}, id="button in a context"),
        pytest.param({"type": "actions", "elements": []}, id="no actions"),
        pytest.param({"type": "actions", "elements": [button(action_id=str(n)) for n in range(26)]}, id="actions"),
        pytest.param({"type": "actions", "elements": [button(), button()]}, id="action_id twice"),
        pytest.param({"type": "actions", "elements": [button("a" * 76)]}, id="button text"),
        pytest.param({"type": "actions", "elements": [button(value="a" * 2_001)]}, id="button value"),
        pytest.param({"type": "actions", "elements": [button(action_id="a" * 256)]}, id="action_id"),
        pytest.param({"type": "actions", "elements": [button(style="loud")]}, id="style"),
        pytest.param({"type": "context_actions", "elements": [button()]}, id="button among feedback"),
        pytest.param({"type": "divider", "block_id": "a" * 256}, id="block_id"),
        pytest.param({"type": "input", "label": plain("a"), "element": {"type": "plain_text_input"}}, id="input"),
    ],
)
async def test_blocks_are_checked(slack: FakeSlack, ask: Asking, block: Any) -> None:
    slack.people.opens_channel("C1")
    answer = await ask("chat.postMessage", channel="C1", text="x", blocks=[block])
    assert answer["error"] == "invalid_blocks"
    assert "[json-pointer:/blocks/0" in answer["response_metadata"]["messages"][0]


async def test_blocks_together(slack: FakeSlack, ask: Asking) -> None:
    slack.people.opens_channel("C1")
    post = {"channel": "C1", "text": "x"}
    assert await ask.refused("chat.postMessage", **post, blocks=[{"type": "divider"}] * 51) == "invalid_blocks"
    assert await ask.refused("chat.postMessage", **post, blocks="[{") == "invalid_blocks_format"
    sections = [{"type": "section", "text": plain("a" * 2_700)} for _ in range(5)]
    assert await ask.refused("chat.postMessage", **post, blocks=sections) == "msg_blocks_too_long"
    two = [{"type": "markdown", "text": "a" * 6_001}, {"type": "markdown", "text": "a" * 6_000}]
    assert await ask.refused("chat.postMessage", **post, blocks=two) == "msg_blocks_too_long"
    twins = [{"type": "divider", "block_id": "one"}] * 2
    assert await ask.refused("chat.postMessage", **post, blocks=twins) == "invalid_blocks"


async def test_a_reader_sees_blocks_before_text(slack: FakeSlack, ask: Asking) -> None:
    slack.people.opens_channel("C1")
    blocks = [
        {"type": "markdown", "text": "# Answer\n<!channel>"},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "a &lt;b&gt;"}, plain("c")]},
        {"type": "actions", "elements": [button("Open")]},
    ]
    await ask.ok("chat.postMessage", channel="C1", text="fallback", blocks=blocks)
    assert slack.texts("C1") == ["# Answer\n<!channel>\na <b> c\n[Open]"]
    assert slack.pings("C1") == ["<!channel>"]
    slack.once("C1", "Answer", "[Open]")
    with pytest.raises(AssertionError, match="'fallback': 0"):
        slack.once("C1", "fallback")


async def test_metadata_is_kept_and_read_back_on_demand(slack: FakeSlack, ask: Asking) -> None:
    root = slack.people.says("D5", "q")["ts"]
    post = {"channel": "D5", "text": "a", "thread_ts": root}
    assert await ask.refused("chat.postMessage", **post, metadata="{") == "invalid_metadata_format"
    assert await ask.refused("chat.postMessage", **post, metadata={"event_type": "k"}) == "invalid_metadata_schema"
    large = {"event_type": "k", "event_payload": {"a": "a" * 9_000}}
    assert await ask.refused("chat.postMessage", **post, metadata=large) == "metadata_too_large"
    kept = {"event_type": "kefu_delivery", "event_payload": {"delivery_id": 7}}
    await ask.ok("chat.postMessage", **post, metadata=kept)
    bare = await ask.look("conversations.replies", channel="D5", ts=root)
    whole = await ask.look("conversations.replies", channel="D5", ts=root, include_all_metadata=True)
    assert "metadata" not in bare["messages"][1]
    assert whole["messages"][1]["metadata"] == kept
    assert whole["messages"][0]["reply_count"] == 1


async def test_updates_and_deletions(slack: FakeSlack, ask: Asking) -> None:
    theirs = slack.people.says("C1", "mine")["ts"]
    mine = (await ask.ok("chat.postMessage", channel="C1", text="one", blocks=[SECTION]))["ts"]
    assert await ask.refused("chat.update", channel="C1", ts=theirs, text="x") == "cant_update_message"
    assert await ask.refused("chat.delete", channel="C1", ts=theirs) == "cant_delete_message"
    assert await ask.refused("chat.update", channel="C1", ts="1.000001", text="x") == "message_not_found"
    assert await ask.refused("chat.update", channel="C1", ts=mine, text="a" * 4_001) == "msg_too_long"
    await ask.ok("chat.update", channel="C1", ts=mine, text="two")
    assert slack.texts("C1") == ["hello"], "blocks that an update does not name stay"
    await ask.ok("chat.update", channel="C1", ts=mine, text="two", blocks=[])
    assert (slack.texts("C1"), slack.messages("C1")[0].edited) == (["two"], True)
    await ask.ok("chat.delete", channel="C1", ts=mine)
    assert slack.texts("C1") == []
    assert await ask.refused("chat.update", channel="C1", ts=mine, text="x") == "message_not_found"


async def test_ephemeral_words_are_for_one(slack: FakeSlack, ask: Asking) -> None:
    slack.people.says("C1", "hi", user="U5")
    await ask.ok("chat.postEphemeral", channel="C1", user="U5", text="only you")
    assert [one.text for one in slack.ephemeral("C1", "U5")] == ["only you"]
    assert slack.texts("C1") == []
    assert await ask.refused("chat.postEphemeral", channel="C1", user="U404", text="x") == "user_not_in_channel"


async def test_replies_come_in_pages(slack: FakeSlack, ask: Asking) -> None:
    root = slack.people.says("C1", "q")["ts"]
    for number in range(4):
        await ask.ok("chat.postMessage", channel="C1", text=str(number), thread_ts=root)
    found, cursor = [], ""
    while True:
        page = await ask.look("conversations.replies", channel="C1", ts=root, limit=2, cursor=cursor)
        found += [one["text"] for one in page["messages"]]
        if not (cursor := page["response_metadata"]["next_cursor"]):
            break
    assert found == ["q", "0", "1", "2", "3"]
    assert (await ask.look("conversations.replies", channel="C1", ts="1.000001"))["error"] == "thread_not_found"
    answer = await ask("conversations.replies", channel="C1", ts=root)
    assert answer["error"] == "invalid_arguments", "a JSON body is not read there"
    history = await ask.look("conversations.history", channel="C1")
    assert [one["text"] for one in history["messages"]] == ["q"]


async def test_looking_things_up(slack: FakeSlack, ask: Asking) -> None:
    slack.people.says("D5", "hi", user="U5", files=[{"id": "F1", "name": "a.png"}])
    assert (await ask.look("users.info", user="U5", include_locale=True))["user"]["locale"] == "zh-CN"
    assert (await ask.look("users.info", user="U404"))["error"] == "user_not_found"
    assert (await ask.look("conversations.info", channel="D5"))["channel"]["user"] == "U5"
    assert (await ask.look("files.info", file="F1"))["file"]["name"] == "a.png"
    assert (await ask.look("team.info"))["team"]["id"] == "T0KEFU"
    assert (await ask.ok("conversations.open", users="U5"))["channel"]["id"] == "D5"
    ts = slack.messages("D5", bot=None)[0].ts
    await ask.ok("reactions.add", channel="D5", timestamp=ts, name="eyes")
    assert await ask.refused("reactions.add", channel="D5", timestamp=ts, name="eyes") == "already_reacted"


# -- Views, status, sessions --


def modal(**about: Any) -> dict[str, Any]:
    return {"type": "modal", "title": plain("Ticket"), "blocks": [SECTION], **about}


async def test_a_trigger_lives_three_seconds_and_once(slack: FakeSlack, ask: Asking) -> None:
    trigger = slack.hands.commands("C1", "/ask", "x", user="U5")["trigger_id"]
    opened = await ask.ok("views.open", trigger_id=trigger, view=modal(callback_id="t"))
    assert [slack.view_text(view) for view in slack.views("U5")] == ["Ticket\nhello"]
    assert await ask.refused("views.open", trigger_id=trigger, view=modal()) == "exchanged_trigger_id"
    late = slack.hands.commands("C1", "/ask", "x", user="U5")["trigger_id"]
    slack.clock.advance(3)
    assert await ask.refused("views.open", trigger_id=late, view=modal()) == "expired_trigger_id"
    assert await ask.refused("views.open", trigger_id="made.up", view=modal()) == "invalid_trigger_id"
    old = opened["view"]["hash"]
    await ask.ok("views.update", view_id=opened["view"]["id"], view=modal(title=plain("Two")), hash=old)
    assert await ask.refused("views.update", view_id=opened["view"]["id"], view=modal(), hash=old) == "hash_conflict"


@pytest.mark.parametrize(
    "about",
    [
        pytest.param({"title": plain("a" * 25)}, id="title"),
        pytest.param({"submit": plain("a" * 25)}, id="submit"),
        pytest.param({"private_metadata": "a" * 3_001}, id="private_metadata"),
        pytest.param({"blocks": [{"type": "divider"}] * 101}, id="blocks"),
        pytest.param({"blocks": [{"type": "markdown", "text": "a"}]}, id="markdown block"),
        pytest.param({"type": "home"}, id="not a modal"),
        pytest.param(
            {"blocks": [{"type": "input", "label": plain("a"), "element": {"type": "plain_text_input"}}]},
            id="input without submit",
        ),
    ],
)
async def test_views_are_checked(slack: FakeSlack, ask: Asking, about: Any) -> None:
    trigger = slack.hands.commands("C1", "/ask", user="U5")["trigger_id"]
    assert await ask.refused("views.open", trigger_id=trigger, view=modal(**about)) == "invalid_arguments"


async def test_the_home_tab(slack: FakeSlack, ask: Asking) -> None:
    slack.people.opens_home("U5")
    home = {"type": "home", "blocks": [SECTION]}
    await ask.ok("views.publish", user_id="U5", view=home)
    assert slack.home("U5") == "hello"
    assert await ask.refused("views.publish", user_id="U404", view=home) == "user_not_found"


async def test_status_and_sessions(slack: FakeSlack, ask: Asking) -> None:
    root = slack.people.says("D5", "q")["ts"]
    place = {"channel_id": "D5", "thread_ts": root}
    await ask.ok("assistant.threads.setStatus", **place, status="Thinking…")
    assert slack.status("D5", root) == "Thinking…"
    slack.clock.advance(120)
    assert slack.status("D5", root) == "", "Slack takes it away by itself"
    await ask.ok("assistant.threads.setStatus", **place, status="Thinking…")
    assert slack.status("D5", root) == "Thinking…"
    await ask.ok("chat.postMessage", channel="D5", text="a", thread_ts=root)
    assert slack.status("D5", root) == "", "a post clears it"
    lines = ["a"] * 11
    refused = await ask.refused("assistant.threads.setStatus", **place, status="x", loading_messages=lines)
    assert refused == "invalid_arguments"
    await ask.ok("agents.sessions.setStatus", **place, status="processing", title="t")
    assert slack.session("D5", root) == "processing"
    assert await ask.refused("agents.sessions.setStatus", **place, status="busy") == "invalid_arguments"
    await ask.ok("agents.sessions.rename", **place, title="other")
    slack.state.subscribed = {"message.im"}
    answer = await ask.ok("agents.sessions.setStatus", **place, status="active")
    assert answer["warning"] == "missing_agent_session_stopped_event_subscription"


# -- Rates and faults --


async def test_rates_are_counted_by_method_and_channel(slack: FakeSlack, ask: Asking) -> None:
    slack.rates.on = True
    root = slack.people.says("D5", "q")["ts"]
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url)
    for _ in range(4):
        await client.chat_postMessage(channel="D5", text="x", thread_ts=root)
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel="D5", text="x", thread_ts=root)
    assert caught.value.response.status_code == 429
    assert caught.value.response["error"] == "ratelimited"
    assert caught.value.response.headers["Retry-After"] == "1"
    slack.clock.advance(1)
    ts = (await client.chat_postMessage(channel="D5", text="x", thread_ts=root))["ts"]
    for _ in range(50):
        await client.chat_update(channel="D5", ts=ts, text="y")
    with pytest.raises(SlackApiError) as caught:
        await client.chat_update(channel="D5", ts=ts, text="y")
    assert 55 <= int(caught.value.response.headers["Retry-After"]) <= 60
    slack.clock.advance(60)
    await client.chat_update(channel="D5", ts=ts, text="z")


async def test_limits_belong_to_a_workspace(slack: FakeSlack, ask: Asking) -> None:
    slack.rates.on = True
    slack.rates.limits["auth.test"] = 1
    slack.state.team("T2")
    other = slack.tokens.bot("T2").value
    await ask.ok("auth.test")
    ask.token = other
    assert (await ask.ok("auth.test"))["team_id"] == "T2"


@pytest.mark.parametrize("apply", [False, True])
@pytest.mark.parametrize("kind", ["close", "reset", "cut"])
async def test_connections_break(slack: FakeSlack, ask: Asking, kind: Any, apply: bool) -> None:
    slack.people.opens_channel("C1")
    slack.faults.add(Fault(kind=kind, method="chat.postMessage", times=1, apply=apply))
    with pytest.raises(aiohttp.ClientError):
        await ask("chat.postMessage", channel="C1", text="x")
    assert slack.texts("C1") == (["x"] if apply else [])
    call = slack.calls("chat.postMessage")[0]
    assert (call.fault, call.applied, call.status) == (kind, apply, 0)
    await ask.ok("chat.postMessage", channel="C1", text="y")


async def test_wrong_answers_on_order(slack: FakeSlack, ask: Asking) -> None:
    slack.people.opens_channel("C1")
    for kind in ("html", "truncated", "empty", "shape", "error"):
        slack.faults.add(Fault(kind=kind, times=1, code=502))
    url, auth = f"{slack.api_url}chat.postMessage", {"Authorization": f"Bearer {slack.bot_token}"}
    seen = []
    for _ in range(5):
        async with ask.http.post(url, data={"channel": "C1", "text": "x"}, headers=auth) as response:
            seen.append((response.status, response.content_type, await response.text()))
    assert seen[0][:2] == (502, "text/html")
    assert [body for _, _, body in seen[1:4]] == ['{"ok"', "", '{"ok": true}']
    assert json.loads(seen[4][2]) == {"ok": False, "error": "fatal_error"}
    assert slack.texts("C1") == []


async def test_an_order_may_be_for_every_third(slack: FakeSlack, ask: Asking) -> None:
    slack.people.opens_channel("C1")
    slack.faults.add(Fault(kind="ratelimited", method="chat.*", every=3, skip=2, retry_after=2))
    url, auth = f"{slack.api_url}chat.postMessage", {"Authorization": f"Bearer {slack.bot_token}"}
    seen = []
    for _ in range(6):
        async with ask.http.post(url, data={"channel": "C1", "text": "x"}, headers=auth) as response:
            seen.append(response.status)
            assert response.headers.get("Retry-After") == ("2" if response.status == 429 else None)
    assert seen == [200, 200, 429, 200, 200, 429]


async def test_hanging_ends_with_the_fake(ask: Asking, slack: FakeSlack) -> None:
    slack.faults.add(Fault(kind="hang", method="auth.test", times=1))
    slack.faults.add(Fault(kind="slow", method="auth.test", seconds=0.2, times=1))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await ask("auth.test")
    started = time.monotonic()
    await ask.ok("auth.test")
    assert time.monotonic() - started >= 0.2
