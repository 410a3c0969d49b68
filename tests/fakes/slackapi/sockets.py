"""Slack's end of Socket Mode: one-time addresses, envelopes and acknowledgements, refreshes, silence."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.fakes.slackapi.chat import Handler
from tests.fakes.slackapi.params import Params
from tests.fakes.slackapi.places import Caller
from tests.fakes.slackapi.state import APP, Json, State

MOST_SOCKETS = 10


@dataclass(slots=True, kw_only=True)
class Outcome:
    """One attempt to deliver something."""

    number: int
    """0 for the first, then 1, 2, 3."""
    at: float
    acknowledged: bool = False
    reason: str = ""
    """Why it was not: timeout, failed, status."""
    status: int = 0
    """HTTP only."""
    no_retry: bool = False
    socket: int = 0
    """Socket Mode only: which one."""
    seconds: float = 0.0
    answer: Any = None


@dataclass(slots=True, kw_only=True)
class Link:
    """One open socket."""

    number: int
    ws: web.WebSocketResponse
    request: web.Request
    silent: bool = False
    leaving: bool = False
    """It was told to go: it gets no new events."""
    waiting: dict[str, asyncio.Future[Any]] = field(default_factory=dict)
    used: int = 0
    """The turn it had last."""


class Sockets:
    """The sockets the bot has open. Events go to one of them each, in turn."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.links: dict[int, Link] = {}
        self.url = ""
        """ws://host:port of the fake; set when it listens."""
        self.opened = 0
        """How many were ever opened."""
        self.refused = 0
        """How often an address was used that Slack had not given out, or a second time."""
        self.garbage: list[str] = []
        """What the bot sent that is no acknowledgement of anything."""
        self.late: list[str] = []
        """Acknowledgements that came after Slack had stopped waiting."""
        self.ping_seconds = 10.0
        self.mute = False
        """New sockets open and stay silent from the start, without so much as a hello."""
        self._tickets: set[str] = set()
        self._turn = 0

    def table(self) -> dict[str, Handler]:
        return {"apps.connections.open": self._open}

    def _open(self, params: Params, caller: Caller) -> Json:
        ticket = uuid.uuid4().hex
        self._tickets.add(ticket)
        return {"url": f"{self.url}/link/?ticket={ticket}&app_id={APP}"}

    # -- A socket's life --

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """GET /link/: the WebSocket itself."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            self.refused += 1
            return web.Response(status=403)
        self._tickets.discard(ticket)
        ws = web.WebSocketResponse(autoping=False)
        await ws.prepare(request)
        if len(self.links) >= MOST_SOCKETS:
            await ws.send_json({"type": "disconnect", "reason": "too_many_websockets", "debug_info": {}})
            await ws.close()
            return ws
        self.opened += 1
        link = Link(number=self.opened, ws=ws, request=request, silent=self.mute)
        self.links[link.number] = link
        pinging = asyncio.ensure_future(self._ping(link))
        try:
            with contextlib.suppress(ConnectionError):  # it went before it was greeted
                await self._greet(link)
                await self._listen(link)
        finally:
            pinging.cancel()
            self._gone(link)
        return ws

    async def _greet(self, link: Link) -> None:
        self._state.touch()
        if link.silent:
            return
        debug = {"host": "applink-fake", "build_number": 1, "approximate_connection_time": 18060}
        about = {"connection_info": {"app_id": APP}, "debug_info": debug}
        await link.ws.send_json({"type": "hello", "num_connections": len(self.links), **about})

    async def _listen(self, link: Link) -> None:
        async for message in link.ws:
            if link.silent:
                continue
            if message.type is WSMsgType.PING:
                await link.ws.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                self._hear(link, message.data)

    def _hear(self, link: Link, text: str) -> None:
        try:
            said = json.loads(text)
            envelope_id = str(said["envelope_id"])
        except (ValueError, KeyError, TypeError):
            self.garbage.append(text)
            return
        future = link.waiting.pop(envelope_id, None)
        if future is None:
            self.late.append(envelope_id)
        elif not future.done():
            future.set_result(said.get("payload") or None)

    async def _ping(self, link: Link) -> None:
        while True:
            await asyncio.sleep(self.ping_seconds)
            if not link.silent:
                with contextlib.suppress(ConnectionError):
                    await link.ws.ping(b"Ping from applink-fake")

    def _gone(self, link: Link) -> None:
        self.links.pop(link.number, None)
        for future in link.waiting.values():
            if not future.done():
                future.set_exception(ConnectionResetError())
        self._state.touch()

    # -- Sending --

    async def send(self, envelope: Json, number: int, ack_seconds: float) -> Outcome:
        """Sends it over one socket, as soon as there is one, and waits for the acknowledgement."""
        link = await self._free()
        self._turn += 1
        link.used = self._turn
        envelope_id = str(uuid.uuid4())
        outcome = Outcome(number=number, at=self._state.clock.now(), socket=link.number)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        link.waiting[envelope_id] = future
        if not link.silent:
            with contextlib.suppress(ConnectionError):
                await link.ws.send_str(json.dumps({**envelope, "envelope_id": envelope_id}, ensure_ascii=False))
        limit = asyncio.ensure_future(self._state.clock.sleep_until(outcome.at + ack_seconds))
        try:
            await asyncio.wait({future, limit}, return_when=asyncio.FIRST_COMPLETED)
            if future.done() and future.exception() is None:
                outcome.acknowledged, outcome.answer = True, future.result()
            else:
                outcome.reason = "failed" if future.done() else "timeout"
        finally:
            link.waiting.pop(envelope_id, None)
            limit.cancel()
        outcome.seconds = self._state.clock.now() - outcome.at
        return outcome

    async def _free(self) -> Link:
        while True:
            changed = self._state.changed
            found = [link for link in self.links.values() if not link.leaving]
            if found:
                return min(found, key=lambda link: (link.used, link.number))
            await changed.wait()

    # -- On order --

    async def disconnect(self, reason: str = "refresh_requested", *, number: int = 0, close_after: float = 0.1) -> None:
        """Tells a socket (all of them without `number`) to go, and ends it a little later.

        :param reason: refresh_requested, warning, link_disabled, too_many_websockets.
        """
        for link in self._chosen(number):
            link.leaving = True
            with contextlib.suppress(ConnectionError):
                await link.ws.send_json({"type": "disconnect", "reason": reason, "debug_info": {}})
            asyncio.get_running_loop().call_later(close_after, self.kill, link.number)

    def silence(self, number: int = 0) -> None:
        """From now on nothing comes through, neither events nor pongs; the connection stays open."""
        for link in self._chosen(number):
            link.silent = True

    def kill(self, number: int = 0) -> None:
        """The connection is gone, without a word."""
        for link in self._chosen(number):
            if link.request.transport is not None:
                link.request.transport.abort()

    def _chosen(self, number: int) -> list[Link]:
        return [link for link in self.links.values() if number in {0, link.number}]
