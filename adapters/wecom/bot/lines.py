"""One long connection to WeCom: opened, subscribed, read frame by frame, pinged, closed.

Nothing of a connection outlives it: each has an HTTP session of its own, so that there is none to find closed later.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

import aiohttp

from adapters.wecom.bot.timing import BotTiming
from adapters.wecom.wire import NoAnswer, NotReached, Refused
from bot.ports import Sleep

SUBSCRIBE, PING = "aibot_subscribe", "ping"
LAPSED = 846609
"""What WeCom says to whoever is not subscribed, or not any more."""
_CLOSE_LIMIT = 1.0
_LARGEST_FRAME = 4 * 1024 * 1024
_ENDS = frozenset(
    {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
)


class Line:
    """An open connection that is subscribed."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, session: aiohttp.ClientSession, timing: BotTiming
    ) -> None:
        self._socket = socket
        self._session = session
        self._timing = timing
        self._waiting: dict[str, _Waiting] = {}
        self._owed: dict[str, int] = {}
        """Acknowledgements that nobody waits for any more, by req_id: they may still come."""
        self._ended = False
        self.lapsed = asyncio.Event()
        """Set when WeCom says that we are not subscribed."""

    @classmethod
    async def open(cls, url: str, bot_id: str, secret: str, timing: BotTiming) -> Self:
        """
        :raises Refused: WeCom knows no bot of this id and secret.
        :raises NotReached: no connection, or one that does not answer.
        """
        session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=timing.connect),
        )
        failure: NotReached | Refused
        socket: aiohttp.ClientWebSocketResponse | None = None
        try:
            async with asyncio.timeout(timing.connect + timing.ack):
                # Signs of life are WeCom's own pings: whether its servers answer WebSocket's nobody has written down.
                socket = await session.ws_connect(
                    url, max_msg_size=_LARGEST_FRAME, timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_LIMIT)
                )
                errcode = await _subscribed(socket, bot_id, secret)
            if not errcode:
                return cls(socket, session, timing)
            failure = Refused(SUBSCRIBE, errcode)
        except TimeoutError:
            failure = NotReached(SUBSCRIBE, "no answer in time")
        except aiohttp.WSServerHandshakeError as error:
            failure = NotReached(SUBSCRIBE, f"HTTP {error.status}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = NotReached(SUBSCRIBE, type(error).__name__)
        except BaseException:  # a cancellation, too, leaves nothing behind
            await _closed(socket, session)
            raise
        await _closed(socket, session)
        # Raised here, so that nothing hangs on it as a context: the frame before it held the secret.
        raise failure

    # -- Reading --

    async def frames(self) -> AsyncIterator[Mapping[str, Any]]:
        """What WeCom says by itself, until the connection is closed or deaf (`timing.silent`)."""
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, ConnectionError):
            while True:
                frame = await self._socket.receive(timeout=self._timing.silent)
                if frame.type in _ENDS:
                    return
                said = _object(frame)
                if isinstance(said.get("cmd"), str):
                    yield said
                elif said:
                    self._acknowledged(said)

    async def keep_alive(self, sleep: Sleep) -> None:
        """Pings until cancelled. Their answers are signs of life like any other frame."""
        while True:
            await sleep(self._timing.ping)
            with contextlib.suppress(aiohttp.ClientError, ConnectionError, RuntimeError):
                await self._socket.send_str(_frame(PING, _name(PING), None))

    # -- Asking --

    async def request(self, cmd: str, body: Mapping[str, Any], *, req_id: str = "") -> None:
        """Sends a frame and waits until WeCom has taken it. One at a time under one req_id: the caller sees to it.

        :param req_id: of what the frame answers; "" for a new one.
        :raises Refused: WeCom says no.
        :raises NotReached: it was surely not sent.
        :raises NoAnswer: nobody knows what became of it.
        """
        if self._ended or self._socket.closed:
            raise NotReached(cmd, "not connected")
        name = req_id or _name(cmd)
        waiting = self._waiting[name] = _Waiting(self._owed.get(name, 0))
        try:
            errcode = await self._exchanged(cmd, name, body, waiting)
        finally:
            del self._waiting[name]
            self._owe(name, waiting)
        if errcode == LAPSED:
            self.lapsed.set()
        if errcode:
            raise Refused(cmd, errcode)

    async def _exchanged(self, cmd: str, name: str, body: Mapping[str, Any], waiting: _Waiting) -> int:
        try:
            await self._socket.send_str(_frame(cmd, name, body))
        except (aiohttp.ClientError, ConnectionError, RuntimeError, ValueError, TypeError) as error:
            waiting.sent = False
            raise NotReached(cmd, type(error).__name__) from None
        try:
            async with asyncio.timeout(self._timing.ack):
                return await waiting.errcode
        except TimeoutError:
            raise NoAnswer(cmd, "no acknowledgement in time") from None
        except ConnectionError:
            raise NoAnswer(cmd, "the connection was lost") from None

    def _acknowledged(self, said: Mapping[str, Any]) -> None:
        headers, errcode = said.get("headers"), said.get("errcode")
        name = headers.get("req_id") if isinstance(headers, dict) else None
        if not isinstance(name, str) or not isinstance(errcode, int):
            return
        waiting = self._waiting.get(name)
        if waiting is None:
            self._paid(name)
        elif waiting.owed:
            # It may be that of the frame before this one, come late. Another one tells; without one it was ours.
            waiting.owed -= 1
            self._paid(name)
            asyncio.get_running_loop().call_later(self._timing.late_ack, waiting.settle, errcode)
        else:
            waiting.settle(errcode)

    def _owe(self, name: str, waiting: _Waiting) -> None:
        if waiting.sent and not waiting.errcode.done():
            self._owed[name] = self._owed.get(name, 0) + 1
        waiting.forget()

    def _paid(self, name: str) -> None:
        left = self._owed.get(name, 0) - 1
        if left > 0:
            self._owed[name] = left
        else:
            self._owed.pop(name, None)

    # -- Ending --

    async def close(self) -> None:
        """Whoever waits for an acknowledgement gets none."""
        self._ended = True
        for waiting in self._waiting.values():
            waiting.lose()
        await _closed(self._socket, self._session)


class _Waiting:
    """A frame whose acknowledgement is waited for."""

    __slots__ = ("errcode", "owed", "sent")

    def __init__(self, owed: int) -> None:
        self.errcode: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.owed = owed
        self.sent = True

    def settle(self, errcode: int) -> None:
        if not self.errcode.done():
            self.errcode.set_result(errcode)

    def lose(self) -> None:
        if not self.errcode.done():
            self.errcode.set_exception(ConnectionError())

    def forget(self) -> None:
        """Nobody looks at it any more."""
        if not self.errcode.cancel() and not self.errcode.cancelled():
            self.errcode.exception()


async def _closed(socket: aiohttp.ClientWebSocketResponse | None, session: aiohttp.ClientSession) -> None:
    try:
        if socket is not None:
            async with asyncio.timeout(2 * _CLOSE_LIMIT):
                await socket.close()
    except TimeoutError:
        pass
    finally:
        await session.close()


async def _subscribed(socket: aiohttp.ClientWebSocketResponse, bot_id: str, secret: str) -> int:
    """WeCom's errcode: 0 when we are."""
    name = _name(SUBSCRIBE)
    await socket.send_str(_frame(SUBSCRIBE, name, {"bot_id": bot_id, "secret": secret}))
    while True:
        frame = await socket.receive()
        if frame.type in _ENDS:
            raise ConnectionResetError
        said = _object(frame)
        headers = said.get("headers")
        if isinstance(headers, dict) and headers.get("req_id") == name and isinstance(said.get("errcode"), int):
            return int(said["errcode"])


def _frame(cmd: str, req_id: str, body: Mapping[str, Any] | None) -> str:
    said: dict[str, Any] = {"cmd": cmd, "headers": {"req_id": req_id}}
    if body is not None:
        said["body"] = body
    return json.dumps(said, ensure_ascii=False)


def _name(cmd: str) -> str:
    return f"{cmd}_{secrets.token_hex(12)}"


def _object(frame: aiohttp.WSMessage) -> Mapping[str, Any]:
    """The JSON object in a frame; empty where there is none."""
    if frame.type is not aiohttp.WSMsgType.TEXT:
        return {}
    try:
        said = json.loads(frame.data)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
