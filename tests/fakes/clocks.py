"""Time that a test owns: a loop whose sleeping costs nothing, and the product's clock upon it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
_T = TypeVar("_T")


class _Selector(selectors.DefaultSelector):
    """Instead of waiting, moves the loop's time on."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: VirtualLoop | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or self.loop is None or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            raise RuntimeError("everything waits, and nothing is scheduled: this would take for ever")
        self.loop.skipped += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which an hour of sleeping takes no time and every run is the same.

    What is given to a thread is done `WORK` virtual seconds after it was asked for, and its result is known
    `WORK` later: between the two a test may look in, or end the process.
    """

    WORK = 0.0005

    def __init__(self) -> None:
        selector = _Selector()
        super().__init__(selector)
        self.skipped = 0.0
        selector.loop = self

    def time(self) -> float:
        return self.skipped

    def run_in_executor(  # type: ignore[override]  # its real signature has a type of its own for the arguments
        self, executor: Executor | None, func: Callable[..., _T], *args: Any
    ) -> asyncio.Future[_T]:
        future: asyncio.Future[_T] = self.create_future()
        self.call_later(self.WORK, self._work, future, func, args)
        return future

    def ticks(self, number: int) -> None:
        """Runs the loop for some rounds: a place to stop in the middle of everything."""
        for _ in range(number):
            self.call_later(self.WORK / 2, self.stop)
            self.run_forever()

    def _work(self, future: asyncio.Future[_T], func: Callable[..., _T], args: tuple[Any, ...]) -> None:
        if future.cancelled():
            return
        asyncio._set_running_loop(None)  # as in a thread
        try:
            result = func(*args)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
            self.call_later(self.WORK, _settle, future, None, error)
        else:
            self.call_later(self.WORK, _settle, future, result, None)
        finally:
            asyncio._set_running_loop(self)


def _settle(future: asyncio.Future[_T], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


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


class HandClock:
    """A clock that moves when it is told to; its `sleep` moves it too."""

    def __init__(self, day: datetime = START) -> None:
        self.day = day
        self.at = 1000.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.day

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds


def on_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs an async test on a loop whose sleeping costs nothing. It must end every task that it began."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*arguments, **named))
            left = asyncio.all_tasks(runner.get_loop())
            assert not left, f"still running: {left}"

    # pytest-asyncio would look through the wrapper and put the test on a loop of its own.
    del run.__wrapped__  # type: ignore[attr-defined]
    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    return run
