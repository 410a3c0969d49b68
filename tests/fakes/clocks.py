"""Time that a test owns: a loop whose sleeping costs nothing, and the product's clock upon it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
_LOOK_SECONDS = 0.02
_T = TypeVar("_T")


class _Selector(selectors.DefaultSelector):
    """Instead of waiting, moves the loop's time on; but waits in earnest while threads are at work."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: VirtualLoop | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or self.loop is None or (timeout is not None and timeout <= 0):
            return ready
        if self.loop.threads_at_work:
            return super().select(_LOOK_SECONDS)
        if timeout is None:
            return super().select(_LOOK_SECONDS)  # nothing scheduled at all: only the outside can wake us
        self.loop.skipped += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which an hour of sleeping takes no time. Work in threads takes as long as it takes."""

    def __init__(self) -> None:
        selector = _Selector()
        super().__init__(selector)
        self.skipped = 0.0
        self.threads_at_work = 0
        selector.loop = self

    def time(self) -> float:
        return self.skipped

    def run_in_executor(  # type: ignore[override]  # its real signature has a type of its own for the arguments
        self, executor: Executor | None, func: Callable[..., _T], *args: Any
    ) -> asyncio.Future[_T]:
        future: asyncio.Future[_T] = super().run_in_executor(executor, func, *args)
        self.threads_at_work += 1
        future.add_done_callback(self._thread_ended)
        return future

    def ticks(self, number: int) -> None:
        """Runs the loop for some rounds: a place to stop in the middle of everything."""
        for _ in range(number):
            self.call_soon(self.stop)
            self.run_forever()

    def _thread_ended(self, future: asyncio.Future[Any]) -> None:
        self.threads_at_work -= 1


class VirtualClock:
    """`bot.ports.Clock` on a loop's time. The wall clock can be moved by itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.offset = timedelta()
        """What the wall clock is off by, for clock faults."""

    def now(self) -> datetime:
        return START + timedelta(seconds=self._loop.time()) + self.offset

    def monotonic(self) -> float:
        return self._loop.time()
