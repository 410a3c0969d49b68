"""How this process uses threads and memory, where the libraries' own habits do not suit a bot on two cores.

All of it is for the whole process and only makes it slower or larger where it cannot be had.
"""

import ctypes
import gc
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

T = TypeVar("T")

# As numpy's own wheels name it, with and without 64-bit integers.
_SETTERS = ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads")

_M_MMAP_THRESHOLD = -3  # malloc.h
_MMAP_BYTES = 128 * 1024
_M_TRIM_THRESHOLD = -1
_KEPT_BYTES = 2 * 1024 * 1024

_SWITCH_SECONDS = 0.0001

NICENESS = 5
"""Of a thread that gives way. Where others want the processor, it has a third of what each of them has. Not less: what
it does is waited for too, and it holds the interpreter's lock for moments."""

_LANCE_THREADS = "lance"

# Collections of the youngest objects before older ones are looked at, too.
_NEVER = 1_000_000

# Items between two looks at the clock; how long is worked before a rest, how many times as long the rest is, and at
# most; and how long a search counts as there.
_LOOKED_AT_ONCE = 32
_WORKED_SECONDS = 0.001
_RESTS = 3
_RESTED_SECONDS = 0.01
_RESTED_AT_MOST = 0.1
_SEARCHED_SECONDS = 0.1


def use_one_blas_thread() -> bool:
    """Numpy's matrix products on one thread, whatever OPENBLAS_NUM_THREADS says.

    OpenBLAS spreads even a product of .3 ms over every core, and its threads spin while they wait: on two
    cores that also run everything else, a search then takes 18 ms of a core instead of 5 (at load 8).
    False where numpy brings another library than OpenBLAS, which then stays as it is.
    """
    # The `threadpoolctl` package does this for every library there is; this is the one that we ship with.
    for path in Path(np.__file__).parents[1].glob("numpy.libs/libscipy_openblas*"):
        library = ctypes.CDLL(str(path))
        for name in _SETTERS:
            setter = getattr(library, name, None)
            if setter is not None:
                setter(1)
                return True
    return False


def return_large_blocks() -> bool:
    """Blocks of 128 KB and more go back to the system when they are freed.

    The C library begins like that, and raises the limit to 32 MB as soon as large blocks are freed; LanceDB's
    reading threads then keep what they ever needed. Ten reloads of 10,000 passages grow the process from 280 to
    490 MB without this, to 265 with it. False where the C library has no such switch.
    """
    switch = getattr(ctypes.CDLL(None), "mallopt", None)
    if switch is None:
        return False
    # Of small blocks some are kept: the same ones are wanted by the next search.
    limits = ((_M_MMAP_THRESHOLD, _MMAP_BYTES), (_M_TRIM_THRESHOLD, _KEPT_BYTES))
    return all(switch(*limit) == 1 for limit in limits)


def hand_over_soon() -> None:
    """A thread that computes in Python gives the interpreter to one that waits for it after a tenth of a millisecond.

    Python's own 5 ms pass each time that a search comes back from numpy while a sync looks through 100,000 rows, which
    is twenty times a search.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)


def keep_arrow_in_the_systems_memory() -> None:
    """Arrow's own pool keeps what it once needed: after 100,000 passages were loaded, 240 of 570 MB."""
    pa.set_memory_pool(pa.system_memory_pool())


def return_freed_memory() -> None:
    """What is free now goes back to the system: 30 MB after 10,000 passages were loaded. Takes milliseconds."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def let_go(tables: list[Any]) -> None:
    """Frees the memory of Arrow tables that nobody else holds, batch by batch. Of 100,000 passages at once it takes
    60 ms, in which no other thread can do anything."""
    while tables:
        batches = tables.pop().to_batches()
        while batches:
            batches.pop()


def lower_lance_threads() -> None:
    """LanceDB's threads give way to those that answer: what they do is for the next version. Those that it starts
    later are as those that start them."""
    tasks = Path("/proc/self/task")
    # Elsewhere a thread has no niceness of its own, and the process is to keep its.
    if sys.platform != "linux" or not tasks.exists():
        return
    for thread in tasks.iterdir():
        with suppress(OSError):  # one that has just ended
            if (thread / "comm").read_text(encoding="utf-8", errors="replace").startswith(_LANCE_THREADS):
                os.setpriority(os.PRIO_PROCESS, int(thread.name), NICENESS)


class _Searches:
    """When one was made last in this process, as time.perf_counter() counts."""

    last = -float("inf")


def note_search() -> None:
    """Has the threads of this process that compute in Python rest now and then, for a moment (`giving_way`)."""
    _Searches.last = time.perf_counter()


def giving_way(items: Iterable[T]) -> Iterator[T]:
    """Hands on the many items of a thread that computes in Python. After every millisecond of work it rests three
    times as long, while there are searches: they then have nearly all of the interpreter."""
    # Its own work, not what it waits for the interpreter: among many searches it would hardly ever come to its end.
    since = time.thread_time()
    for count, item in enumerate(items, start=1):
        yield item
        if count % _LOOKED_AT_ONCE == 0 and (worked := time.thread_time() - since) > _WORKED_SECONDS:
            if _is_searched():
                time.sleep(min(_RESTS * worked, _RESTED_SECONDS))
            since = time.thread_time()


def rest_after(worked: float) -> None:
    """A rest as long as the step before it took, in seconds, while there are searches: for threads that compute outside
    of the interpreter, and take nothing from searches but the memory's bandwidth. Blocks."""
    if _is_searched():
        time.sleep(min(worked, _RESTED_AT_MOST))


def _is_searched() -> bool:
    return time.perf_counter() - _Searches.last < _SEARCHED_SECONDS


class _Collecting:
    """How many want the collector to look at little, and what is set again after the last of them."""

    lock = threading.Lock()
    wanted = 0
    before = (0, 0, 0)


@contextmanager
def collected_rarely() -> Iterator[None]:
    """For work of seconds that makes very many small objects, few of them in circles, in whatever threads.

    Python would look through all of them again and again for circles, with every thread standing still meanwhile: 50 ms
    and more each time for 100,000 documents. New objects are still looked at, some hundreds at a time: most are tuples
    of texts, which Python then leaves alone for good. With no look at all they would be looked at together afterwards.
    """
    with _Collecting.lock:
        _Collecting.wanted += 1
        if _Collecting.wanted == 1:
            _Collecting.before = gc.get_threshold()
            gc.set_threshold(_Collecting.before[0], _NEVER, _NEVER)
    try:
        yield
    finally:
        with _Collecting.lock:
            _Collecting.wanted -= 1
            if not _Collecting.wanted:
                gc.set_threshold(*_Collecting.before)
