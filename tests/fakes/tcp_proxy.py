"""A TCP proxy that spoils connections: traffic control is not to be had everywhere, a socket is.

It stands between two real parties (the bot and a fake platform, a browser and the bot) and applies one behaviour at a
time to new connections; `behave` also reaches the ones that are open, where that makes sense (half-open, cut).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_CHUNK = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What happens to bytes. The default passes them on."""

    latency: float = 0.0
    """Seconds before each chunk, both ways."""
    trickle: float | None = None
    """Bytes a second from the server to the client; None for no limit."""
    cut_after: int | None = None
    """The connection ends after so many bytes of the server's, across all of them on one connection."""
    reset: bool = False
    """A cut (or, without one, the acceptance itself) ends in RST instead of FIN."""
    refuse: bool = False
    """New connections end at once."""
    half_open: bool = False
    """Nothing is passed on any more and nothing is closed."""


CLEAN = Behaviour()


class TcpProxy:
    """Listens on a free port of 127.0.0.1 and passes on to `host:port`."""

    def __init__(self, port: int, host: str = "127.0.0.1", *, listen: int = 0) -> None:
        self._target = (host, port)
        self._listen = listen
        self._behaviour = CLEAN
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self.connections = 0
        """Accepted so far."""
        self.spoiled = 0
        """How often a behaviour really did something: refused, cut, reset, held back or slowed."""

    @property
    def port(self) -> int:
        return self._listen

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listen}"

    @property
    def open(self) -> int:
        """Connections that are passed on now."""
        return len(self._links)

    def behave(self, behaviour: Behaviour) -> None:
        """From now on. Held-back bytes go on when the half-open state ends."""
        self._behaviour = behaviour
        self._changed.set()
        self._changed = asyncio.Event()

    def drop_all(self, *, reset: bool = False) -> int:
        """Ends every open connection now; how many there were."""
        links = list(self._links)
        for link in links:
            link.cancel("reset" if reset else "drop")
        self.spoiled += len(links)
        return len(links)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._listen, backlog=512)
        self._listen = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for link in list(self._links):
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self.connections += 1
        self._links.add(link)
        reset = False
        try:
            reset = await self._link(reader, writer)
        except asyncio.CancelledError as ended:
            # Ended from here on purpose; the task is ours alone, so the cancellation stops with it.
            reset = ended.args == ("reset",)
        except OSError:
            self.spoiled += 0  # one side went away by itself: nothing of ours
        finally:
            self._links.discard(link)
            _end(writer, reset=reset)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Passes on until one side ends; True when the end shall be a reset."""
        await self._held()
        if self._behaviour.refuse or (self._behaviour.reset and self._behaviour.cut_after is None):
            self.spoiled += 1
            return self._behaviour.reset
        upstream_reader, upstream_writer = await asyncio.open_connection(*self._target)
        ways = [
            asyncio.create_task(self._pass_on(reader, upstream_writer, counted=False)),
            asyncio.create_task(self._pass_on(upstream_reader, writer, counted=True)),
        ]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            return any(way.result() for way in done if way.exception() is None)
        finally:
            for way in ways:
                way.cancel()
            _end(upstream_writer, reset=False)  # before any wait: who ends this link may do so twice
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> bool:
        """One way; True when it was cut by a reset."""
        passed = 0
        while chunk := await reader.read(_CHUNK):
            await self._held()
            now = self._behaviour
            if now.latency:
                self.spoiled += 1
                await asyncio.sleep(now.latency)
            if counted and now.cut_after is not None and passed + len(chunk) > now.cut_after:
                writer.write(chunk[: max(0, now.cut_after - passed)])
                self.spoiled += 1
                if not now.reset:
                    await writer.drain()
                return now.reset
            passed += len(chunk)
            if counted and now.trickle is not None:
                await self._trickle(chunk, writer)
                continue
            writer.write(chunk)
            await writer.drain()
        return False

    async def _trickle(self, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        for index in range(len(chunk)):
            rate = self._behaviour.trickle
            writer.write(chunk[index : index + 1])
            await writer.drain()
            if rate is not None:
                self.spoiled += 1
                await asyncio.sleep(1 / rate)

    async def _held(self) -> None:
        """Waits while the line is half-open."""
        counted = False
        while self._behaviour.half_open:
            if not counted:
                self.spoiled += 1
                counted = True
            await self._changed.wait()


def _end(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    with contextlib.suppress(OSError):
        if reset:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            writer.close()
