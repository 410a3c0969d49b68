"""How the fake Slack tells a bot: signed HTTP, Socket Mode, what people press, OAuth, and control from outside."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack_api import FakeSlack, Fault
from tests.fakes.slackapi.asking import Asking
from tests.fakes.slackapi.remote import RemoteSlack
from tests.fakes.slackapi.signing import signature

DOCUMENTED_BODY = (
    "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    "&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    "&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
    "%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "hello"}}


def test_the_documented_signature() -> None:
    secret = "8f742231b10e8888abcd99yyyzzz85a5"
    made = signature(secret, "1531420618", DOCUMENTED_BODY.encode())
    assert made == "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


# -- Over HTTP --

Answer = Callable[[web.Request, bytes], Awaitable[web.Response]]


class Bot:
    """A request URL that remembers what it was sent; `answer` says what it says."""

    def __init__(self) -> None:
        self.seen: list[tuple[dict[str, str], bytes]] = []
        self.answer: Answer = self._fine
        self.url = ""

    @staticmethod
    async def _fine(request: web.Request, body: bytes) -> web.Response:
        return web.Response()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.seen.append((dict(request.headers), body))
        return await self.answer(request, body)


@pytest.fixture
async def bot(slack: FakeSlack) -> AsyncIterator[Bot]:
    made = Bot()
    app = web.Application()
    app.router.add_post("/slack/events", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    slack.feed.transport, slack.feed.request_url = "http", made.url
    try:
        yield made
    finally:
        await slack.feed.close()
        await runner.cleanup()


async def test_requests_are_signed_as_the_library_wants_it(slack: FakeSlack, bot: Bot) -> None:
    said = slack.people.says("D5", "密码", user="U5")
    await slack.until(lambda: not slack.feed.unacknowledged())
    headers, body = bot.seen[0]
    verifier = SignatureVerifier(slack.signing_secret)
    assert verifier.is_valid_request(body, headers)
    assert not verifier.is_valid_request(body + b" ", headers)
    event = json.loads(body)
    assert event["event_id"] == said["event_ids"][0]
    assert event["event"]["channel_type"] == "im"
    assert event["authorizations"][0]["team_id"] == "T0KEFU"
    again, again_headers = slack.feed.signed(said["event_ids"][0])
    assert again == body
    assert verifier.is_valid_request(again, again_headers)
    slack.feed.skew = -301
    slack.people.says("D5", "stale")
    await slack.until(lambda: len(bot.seen) == 2)
    assert not verifier.is_valid_request(bot.seen[1][1], bot.seen[1][0])


async def test_a_request_url_is_verified(slack: FakeSlack, bot: Bot) -> None:
    async def challenge(request: web.Request, body: bytes) -> web.Response:
        return web.json_response({"challenge": json.loads(body)["challenge"]})

    assert not await slack.feed.verify(bot.url)
    bot.answer = challenge
    assert await slack.feed.verify(bot.url)


async def test_retries_come_at_once_after_a_minute_and_after_five(slack: FakeSlack, bot: Bot) -> None:
    async def fails(request: web.Request, body: bytes) -> web.Response:
        return web.Response(status=500)

    bot.answer = fails
    said = slack.people.says("D5", "x")
    delivery = slack.feed.deliveries[said["event_ids"][0]]
    for attempts, pause in ((2, 60), (3, 300)):
        await slack.until(lambda so_far=attempts: len(delivery.attempts) == so_far)
        await asyncio.sleep(0.01)
        slack.clock.advance(pause - 1)
        await asyncio.sleep(0.01)
        assert len(bot.seen) == attempts
        slack.clock.advance(1)
    await slack.until(lambda: delivery.fate)
    assert delivery.fate == "gave_up"
    numbers = [headers.get("X-Slack-Retry-Num") for headers, _ in bot.seen]
    assert numbers == [None, "1", "2", "3"]
    assert bot.seen[1][0]["X-Slack-Retry-Reason"] == "http_error"
    assert len({body for _, body in bot.seen}) == 1
    bot.answer = bot._fine
    assert await slack.feed.again(delivery.id, copies=3) == [True, True, True]
    assert delivery.fate == "acknowledged"


async def test_slow_answers_and_refused_connections_are_retried(slack: FakeSlack, bot: Bot) -> None:
    async def slow(request: web.Request, body: bytes) -> web.Response:
        await asyncio.sleep(0.2)
        return web.Response()

    slack.feed.ack_seconds, slack.feed.schedule = 0.05, (0.0,)
    bot.answer = slow
    slow_one = slack.feed.deliveries[slack.people.says("D5", "x")["event_ids"][0]]
    await slack.until(lambda: slow_one.fate)
    assert [attempt.reason for attempt in slow_one.attempts] == ["timeout", "timeout"]
    assert bot.seen[1][0]["X-Slack-Retry-Reason"] == "http_timeout"
    slack.feed.request_url = "http://127.0.0.1:1/"
    gone = slack.feed.deliveries[slack.people.says("D5", "x")["event_ids"][0]]
    await slack.until(lambda: gone.fate)
    assert [attempt.reason for attempt in gone.attempts] == ["failed", "failed"]


async def test_a_bot_may_ask_for_no_retry(slack: FakeSlack, bot: Bot) -> None:
    async def fails(request: web.Request, body: bytes) -> web.Response:
        return web.Response(status=401, headers={"X-Slack-No-Retry": "1"})

    bot.answer = fails
    delivery = slack.feed.deliveries[slack.people.says("D5", "x")["event_ids"][0]]
    await slack.until(lambda: delivery.fate)
    assert len(delivery.attempts) == 1


def inner(slack: FakeSlack, sent: dict[str, Any], number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = slack.feed.deliveries[sent["event_ids"][number]].payload["event"]
    return found


async def test_twins_have_different_ids_and_one_ts(slack: FakeSlack) -> None:
    said = slack.people.mentions("C1", "hello", user="U5")
    first, second = inner(slack, said), inner(slack, said, 1)
    assert (first["type"], second["type"]) == ("message", "app_mention")
    assert first["ts"] == second["ts"] == said["ts"]
    assert said["event_ids"][0] != said["event_ids"][1]
    slack.state.subscribed = {"app_mention"}
    assert len(slack.people.mentions("C1", "hello", user="U5")["event_ids"]) == 1


async def test_the_bot_hears_only_where_it_is(slack: FakeSlack) -> None:
    slack.people.opens_channel("C1", member=False)
    assert slack.people.mentions("C1", "hello", user="U5")["event_ids"] == []
    slack.people.opens_channel("G1", kind="mpim")
    assert inner(slack, slack.people.says("G1", "hello", user="U5"))["channel_type"] == "mpim"
    slack.state.subscribed = {"message.groups"}
    assert slack.people.says("G1", "hello", user="U5")["event_ids"] == []


async def test_the_shapes_of_events(slack: FakeSlack) -> None:
    people = slack.people
    root = people.says("C1", "q", user="U5")["ts"]
    reply = people.says("C1", "more", user="U6", thread=root)
    assert inner(slack, reply)["parent_user_id"] == "U5"
    edited = inner(slack, people.edits("C1", root, "q2"))
    assert (edited["subtype"], edited["previous_message"]["text"]) == ("message_changed", "q")
    assert "edited" in edited["message"]
    assert "edited" not in inner(slack, people.unfurls("C1", reply["ts"]))["message"]
    assert inner(slack, people.deletes("C1", reply["ts"]))["deleted_ts"] == reply["ts"]
    shared = inner(slack, people.says("C1", "see", files=[{"name": "a.pdf"}]))
    assert (shared["subtype"], shared["files"][0]["name"]) == ("file_share", "a.pdf")
    broadcast = people.says("C1", "all", thread=root, subtype="thread_broadcast")
    assert inner(slack, broadcast)["root"]["ts"] == root
    assert inner(slack, people.joins("C1", "U8"))["subtype"] == "channel_join"
    other = inner(slack, people.bot_says("C1", "beep"))
    assert (other["subtype"], other["bot_id"], "user" in other) == ("bot_message", "BOTHER", False)
    assert inner(slack, people.opens_home("U5", tab="messages"))["tab"] == "messages"
    gone = people.uninstalls()
    assert [inner(slack, gone, number)["type"] for number in (0, 1)] == ["app_uninstalled", "tokens_revoked"]
    assert "authorizations" not in slack.feed.deliveries[gone["event_ids"][0]].payload


async def test_other_workspaces_and_enterprises(slack: FakeSlack, ask: Asking) -> None:
    slack.state.team("T2", enterprise="E2", org_wide=True)
    slack.tokens.bot("T2", value="xoxb-two")
    slack.people.opens_channel("C2", team="T2")
    said = slack.people.says("C2", "hi", user="U2")
    outer = slack.feed.deliveries[said["event_ids"][0]].payload
    authorization = outer["authorizations"][0]
    assert (outer["team_id"], authorization["team_id"], authorization["enterprise_id"]) == ("T2", None, "E2")
    assert authorization["is_enterprise_install"] is True
    slack.state.team("T9")
    slack.people.knows("U9", team="T9", is_stranger=True)
    slack.people.opens_channel("C1", shared_with=["T9"])
    connected = slack.people.says("C1", "hi", user="U9")
    outer = slack.feed.deliveries[connected["event_ids"][0]].payload
    assert (outer["team_id"], outer["event"]["team"], outer["event"]["user_team"]) == ("T0KEFU", "T9", "T9")
    assert outer["is_ext_shared_channel"] is True
    ask.token = slack.app_token
    listed = await ask.ok("apps.event.authorizations.list", event_context=outer["event_context"])
    assert [one["team_id"] for one in listed["authorizations"]] == ["T0KEFU"]
    ask.token = "xoxb-two"
    assert await ask.refused("chat.postMessage", channel="C1", text="x") == "channel_not_found"


async def test_the_bot_hears_itself(slack: FakeSlack, ask: Asking) -> None:
    slack.people.opens_channel("C1")
    ts = (await ask.ok("chat.postMessage", channel="C1", text="a"))["ts"]
    await ask.ok("chat.update", channel="C1", ts=ts, text="b")
    events = [one.payload["event"] for one in slack.feed.deliveries.values()]
    assert [event.get("subtype") for event in events] == [None, "message_changed"]
    assert (events[0]["bot_id"], events[0]["user"]) == ("B0KEFU", slack.bot_user)
    slack.events.echoes = False
    await ask.ok("chat.postMessage", channel="C1", text="a")
    assert len(slack.feed.deliveries) == 2


# -- Socket Mode --


@contextlib.asynccontextmanager
async def socket(slack: FakeSlack, http: aiohttp.ClientSession) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    headers = {"Authorization": f"Bearer {slack.app_token}"}
    async with http.post(f"{slack.api_url}apps.connections.open", headers=headers) as response:
        url = (await response.json())["url"]
    async with http.ws_connect(url) as ws:
        hello = await ws.receive_json(timeout=1)
        assert (hello["type"], hello["num_connections"]) == ("hello", len(slack.sockets.links))
        yield ws


async def acknowledge(ws: aiohttp.ClientWebSocketResponse, **answer: Any) -> dict[str, Any]:
    envelope: dict[str, Any] = await ws.receive_json(timeout=1)
    await ws.send_json({"envelope_id": envelope["envelope_id"], **answer})
    return envelope


async def test_an_address_works_once(slack: FakeSlack, ask: Asking) -> None:
    ask.token = slack.app_token
    url = (await ask.ok("apps.connections.open"))["url"]
    async with ask.http.ws_connect(url) as ws:
        await ws.receive_json(timeout=1)
    for bad in (url, f"{slack.sockets.url}/link/?ticket=guessed"):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await ask.http.ws_connect(bad)
    assert slack.sockets.refused == 2


async def test_an_event_goes_to_one_socket_and_waits_for_its_acknowledgement(slack: FakeSlack, ask: Asking) -> None:
    said = slack.people.says("D5", "before there is a socket")
    async with socket(slack, ask.http) as first, socket(slack, ask.http) as second:
        envelope = await acknowledge(first)
        assert (envelope["type"], envelope["retry_attempt"]) == ("events_api", 0)
        assert envelope["payload"]["event_id"] == said["event_ids"][0]
        slack.people.says("D5", "two")
        slack.people.says("D5", "three")
        await acknowledge(second)
        await acknowledge(first)
        await slack.until(lambda: not slack.feed.unacknowledged())
        await first.send_str("nonsense")
        await slack.until(lambda: slack.sockets.garbage == ["nonsense"])


async def test_what_is_not_acknowledged_comes_again_elsewhere(slack: FakeSlack, ask: Asking) -> None:
    async with socket(slack, ask.http) as first, socket(slack, ask.http) as second:
        slack.people.says("D5", "x")
        lost = await first.receive_json(timeout=1)
        slack.clock.advance(3)
        again = await second.receive_json(timeout=1)
        assert (again["retry_attempt"], again["retry_reason"]) == (1, "timeout")
        assert again["payload"] == lost["payload"]
        assert again["envelope_id"] != lost["envelope_id"]
        await second.send_json({"envelope_id": again["envelope_id"]})
        await first.send_json({"envelope_id": lost["envelope_id"]})
        await slack.until(lambda: slack.sockets.late == [lost["envelope_id"]])
        slack.feed.schedule = (0.0, 0.0)
        slack.people.says("D5", "y")
        await acknowledge(first)
        slack.people.says("D5", "z")
        await second.receive_json(timeout=1)
        slack.sockets.kill(2)
        assert (await acknowledge(first))["retry_attempt"] == 1
        await second.receive()
        await slack.until(lambda: not slack.feed.unacknowledged())


async def test_sockets_are_refreshed_silenced_and_counted(slack: FakeSlack, ask: Asking) -> None:
    async with socket(slack, ask.http) as first, socket(slack, ask.http) as second:
        await slack.sockets.disconnect("warning", number=1, close_after=0.05)
        assert (await first.receive_json(timeout=1))["reason"] == "warning"
        slack.people.says("D5", "x")
        await acknowledge(second)
        assert (await first.receive(timeout=1)).type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
        slack.sockets.silence(2)
        slack.people.says("D5", "nobody hears this")
        with pytest.raises(TimeoutError):
            await second.receive(timeout=0.05)
        await second.ping()
        with pytest.raises(TimeoutError):
            await second.receive(timeout=0.05)
        slack.sockets.mute = True
        ask.token = slack.app_token
        async with ask.http.ws_connect((await ask.ok("apps.connections.open"))["url"]) as deaf:
            with pytest.raises(TimeoutError):
                await deaf.receive(timeout=0.05)
        slack.sockets.mute = False
        async with socket(slack, ask.http) as third:
            slack.clock.advance(3)
            assert (await acknowledge(third))["retry_attempt"] == 1
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(socket(slack, ask.http))
        ask.token = slack.app_token
        async with ask.http.ws_connect((await ask.ok("apps.connections.open"))["url"]) as eleventh:
            assert (await eleventh.receive_json(timeout=1))["reason"] == "too_many_websockets"


async def test_bolt_works_against_it(slack: FakeSlack) -> None:
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url)
    app = AsyncApp(token=slack.bot_token, client=client)

    @app.event("message")
    async def answer(event: dict[str, Any], say: Any) -> None:
        await say(text=f"you said {event['text']}", thread_ts=event["ts"])

    @app.command("/ask")
    async def asked(ack: Any, command: dict[str, Any]) -> None:
        await ack(f"asked {command['text']}")

    @app.view("ticket")
    async def submitted(ack: Any) -> None:
        await ack(response_action="errors", errors={"what": "too short"})

    handler = AsyncSocketModeHandler(app, slack.app_token)
    try:
        await handler.connect_async()
        said = slack.people.says("D5", "hello", user="U5")
        await slack.until(lambda: slack.texts("D5", said["ts"]) == ["you said hello"])
        slack.hands.commands("C1", "/ask", "words", user="U5")
        await slack.until(lambda: [one.text for one in slack.ephemeral("C1", "U5")] == ["asked words"])
        view = {
            "type": "modal", "callback_id": "ticket", "title": {"type": "plain_text", "text": "T"},
            "submit": {"type": "plain_text", "text": "Send"},
            "blocks": [{"type": "input", "block_id": "what", "label": {"type": "plain_text", "text": "What"},
                        "element": {"type": "plain_text_input", "action_id": "words"}}],
        }  # fmt: skip
        trigger = slack.hands.commands("C1", "/ask", user="U5")["trigger_id"]
        opened = await client.views_open(trigger_id=trigger, view=view)
        slack.hands.submits(opened["view"]["id"], {"what": {"words": "x"}})
        await slack.until(lambda: slack.views()[0].get("_errors") == {"what": "too short"})
        await slack.sockets.disconnect("refresh_requested")
        await slack.until(lambda: slack.sockets.opened == 2 and len(slack.sockets.links) == 1)
        again = slack.people.says("D5", "after the refresh")
        await slack.until(lambda: slack.texts("D5", again["ts"]) == ["you said after the refresh"])
    finally:
        await handler.close_async()
    assert slack.sockets.garbage == []


# -- What people press --


async def test_buttons_shortcuts_and_answers(slack: FakeSlack, ask: Asking, bot: Bot) -> None:
    root = slack.people.says("C1", "q", user="U5")["ts"]
    button = {"type": "button", "text": {"type": "plain_text", "text": "Go"}, "action_id": "go", "value": "7"}
    blocks = [{"type": "actions", "elements": [button]}]
    ts = (await ask.ok("chat.postMessage", channel="C1", text="x", blocks=blocks, thread_ts=root))["ts"]
    with pytest.raises(LookupError, match="no button"):
        slack.hands.presses("C1", ts, "gone")
    pressed = slack.hands.presses("C1", ts, "go", user="U5")
    slack.hands.uses_shortcut("C1", root, "open_ticket", user="U5")
    await slack.until(lambda: not slack.feed.unacknowledged())
    forms = [json.loads(parse_qs(body.decode())["payload"][0]) for _, body in bot.seen if body[:8] == b"payload="]
    assert [form["type"] for form in forms] == ["block_actions", "message_action"]
    assert forms[0]["actions"][0]["value"] == "7"
    assert forms[0]["container"]["thread_ts"] == root
    assert forms[0]["trigger_id"] == pressed["trigger_id"]
    assert forms[1]["message"]["text"] == "q"
    for number in range(6):
        async with ask.http.post(forms[0]["response_url"], json={"text": f"{number}"}) as response:
            assert response.status == (404 if number == 5 else 200)
    assert [one.text for one in slack.ephemeral("C1", "U5")] == ["0", "1", "2", "3", "4"]
    slack.clock.advance(1800)
    async with ask.http.post(forms[1]["response_url"], json={"text": "late"}) as response:
        assert (response.status, await response.text()) == (404, "expired_url")


async def test_the_home_tab_and_modals_are_pressed(slack: FakeSlack, ask: Asking, bot: Bot) -> None:
    button = {"type": "button", "text": {"type": "plain_text", "text": "Go"}, "action_id": "go", "value": "7"}
    slack.people.opens_home("U5")
    home = {"type": "home", "blocks": [{"type": "actions", "elements": [button]}]}
    await ask.ok("views.publish", user_id="U5", view=home)
    trigger = slack.hands.presses_in_home("U5", "go")["trigger_id"]
    modal = {"type": "modal", "title": {"type": "plain_text", "text": "T"}, "blocks": [SECTION | {"accessory": button}]}
    opened = (await ask.ok("views.open", trigger_id=trigger, view=modal | {"notify_on_close": True}))["view"]["id"]
    slack.hands.presses_in_view(opened, "go")
    slack.hands.closes(opened)
    slack.hands.uses_global_shortcut("help", user="U5")
    await slack.until(lambda: not slack.feed.unacknowledged())
    forms = [json.loads(parse_qs(body.decode())["payload"][0]) for _, body in bot.seen if body[:8] == b"payload="]
    assert {form["type"] for form in forms} == {"block_actions", "view_closed", "shortcut"}
    assert {form["container"]["type"] for form in forms if "container" in form} == {"view"}
    with pytest.raises(LookupError):
        slack.hands.submits(opened)
    assert slack.views() == []


async def test_what_people_press_is_not_repeated(slack: FakeSlack, bot: Bot) -> None:
    async def fails(request: web.Request, body: bytes) -> web.Response:
        return web.Response(status=500)

    bot.answer = fails
    trigger = slack.hands.commands("C1", "/ask", "words", user="U5")["id"]
    await slack.until(lambda: slack.feed.deliveries[trigger].fate == "gave_up")
    assert len(bot.seen) == 1
    fields = {name: values[0] for name, values in parse_qs(bot.seen[0][1].decode()).items()}
    assert (fields["command"], fields["text"], fields["user_id"]) == ("/ask", "words", "U5")
    slack.feed.retried.add("slash_commands")
    slack.feed.schedule = (0.0,)
    trigger = slack.hands.commands("C1", "/ask", "words", user="U5")["id"]
    await slack.until(lambda: slack.feed.deliveries[trigger].fate == "gave_up")
    assert len(bot.seen) == 3


async def test_a_view_that_slack_does_not_take(slack: FakeSlack, ask: Asking, bot: Bot) -> None:
    said: dict[str, Any] = {}

    async def answers(request: web.Request, body: bytes) -> web.Response:
        return web.json_response(said) if b"view_submission" in body else web.Response()

    bot.answer = answers
    view = {"type": "modal", "title": {"type": "plain_text", "text": "T"}, "blocks": [SECTION]}
    trigger = slack.hands.commands("C1", "/ask", user="U5")["trigger_id"]
    opened = (await ask.ok("views.open", trigger_id=trigger, view=view))["view"]["id"]
    for answer, complaint in (
        ({"response_action": "dance"}, "no such answer"),
        ({"response_action": "errors", "errors": {"nowhere": "x"}}, "errors for blocks"),
        ({"response_action": "update", "view": {"type": "modal"}}, "invalid_arguments"),
    ):
        said.clear()
        said.update(answer)
        slack.hands.submits(opened)
        await slack.until(lambda: slack.responses.refused)
        assert complaint in slack.responses.refused.pop()
    said |= {"response_action": "update", "view": view | {"title": {"type": "plain_text", "text": "Done"}}}
    slack.hands.submits(opened)
    await slack.until(lambda: slack.view_text(slack.views()[0]) == "Done\nhello")
    said["response_action"] = "clear"
    slack.hands.submits(opened)
    await slack.until(lambda: not slack.views())


# -- OAuth --


@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")  # slack_sdk's own
async def test_installing_and_rotating(slack: FakeSlack) -> None:
    back = "http://127.0.0.1:1/slack/oauth_redirect"
    asked = {"client_id": slack.client_id, "redirect_uri": back, "state": "s1", "scope": "chat:write,im:history"}
    slack.state.team("T2")
    slack.oauth.team, slack.oauth.rotation = "T2", True
    async with aiohttp.ClientSession() as http:
        async with http.get(slack.authorize_url, params=asked, allow_redirects=False) as response:
            answer = parse_qs(urlsplit(response.headers["Location"]).query)
        assert answer["state"] == ["s1"]
    client = AsyncWebClient(base_url=slack.api_url)
    about = {"client_id": slack.client_id, "client_secret": slack.client_secret}
    installed = await client.oauth_v2_access(**about, code=answer["code"][0], redirect_uri=back)
    assert (installed["team"]["id"], installed["expires_in"]) == ("T2", 43_200)
    assert (await client.auth_test(token=installed["access_token"]))["team_id"] == "T2"

    async def refused(**more: Any) -> str:
        with pytest.raises(SlackApiError) as caught:
            await client.oauth_v2_access(**{**about, **more})
        return str(caught.value.response["error"])

    assert await refused(code=answer["code"][0], redirect_uri=back) == "code_already_used"
    assert await refused(code="made up") == "invalid_code"
    assert await refused(code=slack.oauth.agree(redirect_uri=back)) == "bad_redirect_uri"
    assert await refused(code="x", client_secret="wrong") == "bad_client_secret"
    slack.clock.advance(43_200)
    with pytest.raises(SlackApiError, match="token_expired"):
        await client.auth_test(token=installed["access_token"])
    refresh = {"grant_type": "refresh_token", "refresh_token": installed["refresh_token"]}
    fresh = await client.oauth_v2_access(**about, **refresh)
    await client.auth_test(token=fresh["access_token"])
    assert await refused(**refresh) == "invalid_refresh_token"


# -- From another process --


async def test_the_same_deeds_from_outside(slack: FakeSlack, ask: Asking, bot: Bot) -> None:
    remote = RemoteSlack(slack.url, ask.http)
    assert remote.api_url == slack.api_url
    said = await remote.do("says", channel="D5", text="hi", user="U5")
    await remote.fault(Fault(kind="ratelimited", method="chat.postMessage", times=1))
    async with ask.http.post(f"{slack.api_url}chat.postMessage", json={}) as response:
        assert response.status == 429
    assert (await remote.faults(clear=True))[0].fired == 1
    await ask.ok("chat.postMessage", channel="D5", text="answer", thread_ts=said["ts"])
    assert [one.text for one in await remote.messages("D5", said["ts"])] == ["answer"]
    assert [call.error for call in await remote.calls("chat.postMessage")] == ["ratelimited", ""]
    await slack.until(lambda: not slack.feed.unacknowledged())
    assert await remote.unacknowledged() == 0
    assert await remote.again(said["event_ids"][0], copies=2) == [True, True]
    assert [one["fate"] for one in await remote.deliveries()] == ["acknowledged"] * 2
    assert await remote.tokens("ends", error="token_revoked") == ""
    assert await ask.refused("auth.test") == "token_revoked"
    before = slack.clock.now()
    await remote.settings(advance=100, schedule=[0.1], ack_seconds=1, life=60, subscribed=["message.im"])
    assert slack.clock.now() - before >= 100
    assert await remote.look("session", channel="D5", thread=said["ts"]) == ""
    assert await remote.sockets("kill") == 0
