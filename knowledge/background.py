"""The threads of the knowledge: one for searches that take long, one for work that gives way to searches."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from knowledge.process import NICENESS, rest_after

T = TypeVar("T")

Pause = Callable[[], None]
"""Called by the work between two steps of some milliseconds: rests while there are searches, and raises when the work
is not wanted any more."""


def no_pause() -> None:
    """A `Pause` for work that is waited for."""


class Searching:
    """One thread, started when it is first needed. Several would not be quicker: what takes long reads every vector,
    and the memory has one bandwidth."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="knowledge-search")

    async def run(self, search: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, search)

    async def close(self) -> None:
        """Waits for the search that is under way: milliseconds."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)


class _UnwantedError(Exception):
    """Ends the work; nobody waits for it."""


class Background:
    """One thread of low priority, started when it is first needed. Work that computes in numpy, without the
    interpreter's lock, takes nothing from anybody there."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="knowledge-background", initializer=_give_way)
        self._unwanted: set[threading.Event] = set()

    async def run(self, work: Callable[[Pause], T]) -> T:
        """Runs it after what is there already. Cancelling ends it at its next pause."""
        unwanted = threading.Event()

        def begun() -> T:
            since = time.thread_time()

            def pause() -> None:
                nonlocal since
                rest_after(time.thread_time() - since)
                if unwanted.is_set():
                    raise _UnwantedError
                since = time.thread_time()

            return work(pause)

        self._unwanted.add(unwanted)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, begun)
        except asyncio.CancelledError:
            unwanted.set()
            raise
        finally:
            self._unwanted.discard(unwanted)

    async def close(self) -> None:
        """Waits for the next pause, when something is under way."""
        for unwanted in self._unwanted:
            unwanted.set()
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)


def _give_way() -> None:
    # Elsewhere a thread has no niceness of its own, and the process is to keep its.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
