"""What every fake platform stands on: a clock that a test moves, waiting for what happens, and a port on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager

from aiohttp import web


class MovableClock:
    """The machine's clock, moved on by a test. Whatever has a time on a platform asks it."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._moved = asyncio.Event()

    def now(self) -> float:
        """Seconds since 1970, as the platform's servers see them."""
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        """So much time passes at once; whoever sleeps long enough wakes up."""
        self._offset += seconds
        self._moved.set()
        self._moved = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Until that much has passed here."""
        await self.sleep_until(self.now() + seconds)

    async def sleep_until(self, deadline: float) -> None:
        """Until that time is reached here; not at all if it is over."""
        while (left := deadline - self.now()) > 0:
            moved = self._moved
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await moved.wait()


class Changes:
    """Wakes whoever waits for something to happen."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()

    def touch(self) -> None:
        """Something happened: deliveries and tests look again."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Until the event or the time, whichever is first.

        Not `asyncio.wait_for`: in 3.11 it swallows a cancellation that arrives together with the event.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()

    async def until(self, condition: Callable[[], object], timeout: float = 5.0) -> None:
        """Waits until the condition holds; it is asked again whenever something happened.

        :raises TimeoutError: it did not in time.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the fake platform did not see what the test waits for")
            await self.wait(self.changed, min(left, 0.25))


class Port:
    """A server on loopback; 0 takes a free port."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.number}"

    async def open(self, routes: Iterable[web.RouteDef]) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.add_routes(list(routes))
        # Handlers end by themselves when the fake closes; a bot that keeps its connections must not hold us up.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.number, backlog=1024)
        await site.start()
        self.number = self._runner.addresses[0][1]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()


async def until_told(fake: AbstractAsyncContextManager[object]) -> None:
    """Serves until SIGTERM or SIGINT: for a fake that is a process of its own."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with fake:
        await ended.wait()
