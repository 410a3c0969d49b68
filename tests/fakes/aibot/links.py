"""The connections: one a bot, the newest wins; and what can be done to them on order."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from tests.fakes.aibot import checks
from tests.fakes.aibot.answering import Answering
from tests.fakes.aibot.errors import BAD_SECRET, NOT_SUBSCRIBED, Refused, errmsg
from tests.fakes.aibot.faults import Fault, Faults
from tests.fakes.aibot.rates import Rates
from tests.fakes.aibot.state import Heard, Json, State

IDLE_SECONDS = 100.0
"""Of a connection on which no frame comes: three pings were missed."""


@dataclass(slots=True, kw_only=True, eq=False)
class Link:
    """One open connection."""

    number: int
    ws: web.WebSocketResponse
    request: web.Request
    subscribed: bool = False
    known: bool = False
    """It was subscribed once."""
    silent: bool = False
    pings: int = 0
    waiting: set[str] = field(default_factory=set)
    """req_ids whose acknowledgement is held back."""
    outbox: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)

    def put(self, frame: Json) -> None:
        """Sends it after everything that was put before it."""
        self.outbox.put_nowait(json.dumps(frame, ensure_ascii=False))


class Links:
    """The WebSocket end."""

    def __init__(self, state: State, rates: Rates, faults: Faults, answering: Answering) -> None:
        self._state = state
        self._rates = rates
        self._faults = faults
        self._answering = answering
        self.links: dict[int, Link] = {}
        self.opened = 0
        """How many connections there ever were."""
        self.subscribed = 0
        """How many of them were taken for the bot's."""
        self.kicked = 0
        """How many were ended because another one subscribed."""
        self.refusing = False
        """New connections are answered with HTTP 503."""
        self.ends_kicked = True
        """Whether a connection that lost its place is closed after it was told so. Bots in the field have seen it stay
        open, pings and all, with nothing coming in any more."""
        self.mute = False
        """New connections open, and nothing comes through them."""
        self.idle_seconds = IDLE_SECONDS

    @property
    def live(self) -> Link | None:
        """The bot's connection."""
        return next((link for link in self.links.values() if link.subscribed), None)

    # -- A connection's life --

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """GET /: the WebSocket itself."""
        if self.refusing:
            return web.Response(status=503, text="<html>503 Service Unavailable</html>", content_type="text/html")
        ws = web.WebSocketResponse(autoping=False, timeout=1.0, max_msg_size=4 * 1024 * 1024)
        await ws.prepare(request)
        self.opened += 1
        link = Link(number=self.opened, ws=ws, request=request, silent=self.mute)
        self.links[link.number] = link
        writing = asyncio.ensure_future(self._write(link))
        self._state.touch()
        try:
            await self._listen(link)
        finally:
            writing.cancel()
            self.links.pop(link.number, None)
            self._state.touch()
        return ws

    async def _listen(self, link: Link) -> None:
        while not link.ws.closed:
            try:
                message = await link.ws.receive(timeout=self.idle_seconds)
            except TimeoutError:
                self._state.breach(f"no frame, and no ping, for {self.idle_seconds:.0f} s")
                return self.kill(link.number)
            if message.type in {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}:
                return None
            if link.silent:
                continue
            if message.type is WSMsgType.PING:
                with contextlib.suppress(ConnectionError):
                    await link.ws.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                self._hear(link, message.data)
                self._state.touch()
            else:
                self._state.breach("a frame that is no text")
        return None

    async def _write(self, link: Link) -> None:
        """Frames leave in the order they were put; None ends the connection properly."""
        with contextlib.suppress(ConnectionError):
            while (frame := await link.outbox.get()) is not None:
                if not link.silent:
                    await link.ws.send_str(frame)
            await link.ws.close()

    # -- Frames --

    def _hear(self, link: Link, text: str) -> None:
        try:
            frame = json.loads(text)
            cmd, req_id = str(frame["cmd"]), frame["headers"]["req_id"]
            body = frame.get("body") or {}
            if not (isinstance(req_id, str) and 0 < len(req_id.encode()) <= checks.ID_BYTES and isinstance(body, dict)):
                raise ValueError("no frame of this protocol")
        except (ValueError, KeyError, TypeError):
            self._state.breach("a frame that nobody understands")
            return
        if req_id in link.waiting:
            self._state.breach("a second frame under a req_id whose first one waits for its acknowledgement")
        now = self._state.clock.now()
        heard = Heard(
            number=len(self._state.heard) + 1, at=now, link=link.number, cmd=cmd, req_id=req_id, body=body
        )  # fmt: skip
        self._state.heard.append(heard)
        fault = self._faults.pick(heard)
        if fault is None or fault.kind in {"slow", "twice"} or fault.apply:
            self._apply(link, heard)
        if fault is None:
            self._acknowledge(link, heard)
        else:
            heard.fault = fault.kind
            self._go_wrong(link, heard, fault)

    def _apply(self, link: Link, heard: Heard) -> None:
        try:
            if heard.cmd == "aibot_subscribe":
                self._subscribe(link, heard.body)
            elif heard.cmd == "ping":
                self._ping(link)
            else:
                self._answering.apply(heard, subscribed=link.subscribed)
            heard.errcode = 0
        except Refused as refusal:
            heard.errcode, heard.why = refusal.code, refusal.why

    def _acknowledge(self, link: Link, heard: Heard) -> None:
        code = heard.errcode or 0
        link.waiting.discard(heard.req_id)
        link.put({"headers": {"req_id": heard.req_id}, "errcode": code, "errmsg": errmsg(code)})
        if heard.cmd == "aibot_subscribe" and not code:
            self._kick_others(link)

    def _go_wrong(self, link: Link, heard: Heard, fault: Fault) -> None:
        match fault.kind:
            case "error":
                heard.errcode, heard.why = fault.errcode, "on order"
                self._acknowledge(link, heard)
            case "slow":
                link.waiting.add(heard.req_id)
                asyncio.get_running_loop().call_later(fault.seconds, self._acknowledge, link, heard)
            case "twice":
                self._acknowledge(link, heard)
                self._acknowledge(link, heard)
            case "garbage":
                link.outbox.put_nowait('{"headers": {"req_id"')
            case "no_ack":
                pass
            case "silence":
                link.silent = True
            case "close":
                self.kill(link.number)
            case "kick":
                self.steal()
            case other:
                raise ValueError(f"no fault is called {other!r}")

    def _subscribe(self, link: Link, body: Json) -> None:
        self._rates.check_subscribe()
        if link.subscribed:
            self._state.breach("subscribed twice on one connection")
        bot_id, secret = str(body.get("bot_id")), str(body.get("secret"))
        right = hmac.compare_digest(secret.encode(), self._state.secret.encode())
        if bot_id != self._state.bot_id or not right:
            raise Refused(BAD_SECRET, "no bot has this id and secret")
        link.subscribed = link.known = True
        self.subscribed += 1

    def _ping(self, link: Link) -> None:
        """Answered also when the subscription lapsed: that is why pings prove so little."""
        if not link.known:
            raise Refused(NOT_SUBSCRIBED, "ping before aibot_subscribe")
        link.pings += 1

    def _kick_others(self, newest: Link | None) -> None:
        """The newest connection wins, and the others are told before they end."""
        for link in [one for one in self.links.values() if one.subscribed and one is not newest]:
            link.subscribed = False
            self.kicked += 1
            link.put(self._event({"eventtype": "disconnected_event"}))
            if self.ends_kicked:
                link.outbox.put_nowait(None)
        self._state.touch()

    def _event(self, event: Json) -> Json:
        body = {
            "msgid": self._state.new_id("ev"), "create_time": int(self._state.clock.now()),
            "aibotid": self._state.bot_id, "msgtype": "event", "event": event,
        }  # fmt: skip
        return {"cmd": "aibot_event_callback", "headers": {"req_id": self._state.new_id("rq")}, "body": body}

    # -- On order --

    def steal(self) -> None:
        """Somebody else subscribes as this bot: its connection is told so, and ends."""
        self._kick_others(None)

    def lapse(self) -> None:
        """WeCom forgets the subscription: what is sent is refused with 846609, and nothing comes in; pings work."""
        if (link := self.live) is not None:
            link.subscribed = False

    def silence(self, number: int = 0) -> None:
        """From now on nothing comes through, acknowledgements and pongs neither; the connection stays open."""
        for link in self._chosen(number):
            link.silent = True

    def close(self, number: int = 0) -> None:
        """Ends it properly, as a server that restarts."""
        for link in self._chosen(number):
            link.outbox.put_nowait(None)

    def kill(self, number: int = 0) -> None:
        """The connection is gone, without a word."""
        for link in self._chosen(number):
            link.subscribed = False
            if link.request.transport is not None:
                link.request.transport.abort()

    def say(self, text: str) -> None:
        """Sends the bot these very bytes, for what no server should send."""
        for link in self._chosen(0):
            link.outbox.put_nowait(text)

    def _chosen(self, number: int) -> list[Link]:
        return [link for link in self.links.values() if number in {0, link.number}]
