"""One WebSocket of Socket Mode: opened, greeted, read frame by frame, closed.

Nothing of a connection outlives it: each has an HTTP session of its own, so that there is none to find closed later.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

import aiohttp

from adapters.slack.timing import Timing
from adapters.slack.wire import NoAnswer, NotReached, Refused, Transport
from bot.ports import Clock, Sleep

_CLOSE_LIMIT = 1.0
_LARGEST_FRAME = 4 * 1024 * 1024
_ENDS = frozenset(
    {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
)


class Opener:
    """Asks Slack for addresses to connect to. One for all sockets: what one of them is told holds for the others."""

    def __init__(self, *, transport: Transport, token: str, clock: Clock, sleep: Sleep, timing: Timing) -> None:
        self._transport = transport
        self._token = token
        self._clock = clock
        self._sleep = sleep
        self._refused_pause = timing.refused_pause
        self._asking = asyncio.Lock()
        self._not_before = 0.0

    async def address(self) -> str:
        """A fresh one; it holds a ticket and must not be shown. After a refusal nobody asks again before its time.

        :raises Refused, NotReached, NoAnswer: as their own words say.
        """
        async with self._asking:
            while (wait := self._not_before - self._clock.monotonic()) > 0:
                await self._sleep(wait)
            try:
                answer = await self._transport.call(self._token, "apps.connections.open", {})
            except Refused as refused:
                self._not_before = self._clock.monotonic() + (refused.retry_after or self._refused_pause)
                raise
        address = answer.get("url")
        if not isinstance(address, str) or not address.startswith(("wss://", "ws://")):
            raise NoAnswer("apps.connections.open: an answer without an address")
        return address


class Line:
    """An open socket that has said hello."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session: aiohttp.ClientSession, timing: Timing) -> None:
        self._socket = socket
        self._session = session
        self._silent = timing.silent
        self._life: asyncio.Timeout | None = None
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.replacement_wanted = asyncio.Event()
        """Set when Slack is about to close it, and when it is closed."""

    @classmethod
    async def open(cls, address: str, timing: Timing) -> Self:
        """
        :raises NotReached: no connection, or one that does not say hello.
        """
        session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=timing.connect),
        )
        failure = ""
        try:
            async with asyncio.timeout(timing.connect + timing.hello):
                socket = await session.ws_connect(
                    address,
                    heartbeat=timing.ping,
                    max_msg_size=_LARGEST_FRAME,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_LIMIT),
                )
                first = _object(await socket.receive())
            if first.get("type") == "hello":
                return cls(socket, session, timing)
            failure = f"instead of hello: {_word(first.get('reason') or first.get('type'))}"
        except TimeoutError:
            failure = "no hello in time"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = type(error).__name__
        except BaseException:  # a cancellation, too, leaves nothing behind
            await session.close()
            raise
        await session.close()
        # Raised here, so that nothing hangs on it that names the address: it holds a ticket.
        raise NotReached(f"socket: {failure}")

    async def frames(self) -> AsyncIterator[dict[str, Any]]:
        """What Slack says, until it is closed, deaf (`timing.silent`) or retired. What is no object is left out."""
        # aiohttp answers a ping in here, perhaps into a connection that has just gone: an end like any other.
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, ConnectionError):
            async with asyncio.timeout(None) as life:
                self._life = life
                while True:
                    # Pings and pongs count as signs of life: aiohttp sends, answers and swallows them in here.
                    frame = await self._socket.receive(timeout=self._silent)
                    if frame.type in _ENDS:
                        return
                    if said := _object(frame):
                        yield said

    def retire(self, grace: float) -> None:
        """Another one hears in its place: what is under way may end, and then it is closed."""
        self.replacement_wanted.set()
        if self._life is not None and not self._life.expired():
            with contextlib.suppress(RuntimeError):  # its reading has ended
                self._life.reschedule(asyncio.get_running_loop().time() + grace)

    @contextlib.contextmanager
    def answering(self) -> Any:
        """Around the handling of an envelope: the line is not closed before its acknowledgement is out."""
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def acknowledge(self, envelope: str, payload: Mapping[str, Any] | None) -> None:
        """On the line it came by. One that does not get through is sent again by Slack, and recognised."""
        said: dict[str, Any] = {"envelope_id": envelope}
        if payload is not None:
            said["payload"] = payload
        with contextlib.suppress(aiohttp.ClientError, ConnectionError, RuntimeError):
            await self._socket.send_str(json.dumps(said))

    async def close(self, patience: float) -> None:
        """Waits a little for acknowledgements."""
        self.replacement_wanted.set()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._idle.wait()
            await self._socket.close()
        finally:
            await self._session.close()


def _object(frame: aiohttp.WSMessage) -> dict[str, Any]:
    """The JSON object in a frame; empty where there is none."""
    if frame.type is not aiohttp.WSMsgType.TEXT:
        return {}
    try:
        said = json.loads(frame.data)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _word(value: object) -> str:
    return value[:40] if isinstance(value, str) and value.isprintable() else "nothing"
