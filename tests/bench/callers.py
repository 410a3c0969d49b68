"""Callers side by side, each asking again as soon as it was answered; how long the answers took from then on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

Search = Callable[[int], Awaitable[object]]
"""Asks the question of that number."""

CALLERS = (1, 8, 32)
REST_SECONDS = 5.0


async def asked_for(
    search: Search, numbers: Iterator[int], callers: int, *, seconds: float = REST_SECONDS
) -> list[float]:
    """The milliseconds of every answer, for so many seconds."""
    until = time.perf_counter() + seconds
    return await _asked(search, numbers, callers, lambda: time.perf_counter() < until)


async def asked_during(
    search: Search, numbers: Iterator[int], callers: int, work: Awaitable[object]
) -> tuple[list[float], float]:
    """The same for as long as the work takes, and the seconds that it took."""
    started = time.perf_counter()
    task = asyncio.ensure_future(work)
    times = await _asked(search, numbers, callers, lambda: not task.done())
    await task
    return times, time.perf_counter() - started


async def _asked(search: Search, numbers: Iterator[int], callers: int, more: Callable[[], bool]) -> list[float]:
    times: list[float] = []

    async def ask() -> None:
        while more():
            number = next(numbers)
            # From here: a search that holds up the loop is waited for before it is begun, too.
            started = time.perf_counter()
            # Behind whoever asked before: a search that never waits would let nobody else ask.
            await asyncio.sleep(0)
            await search(number)
            times.append((time.perf_counter() - started) * 1000)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(ask())
    return times


def figures(times: list[float]) -> dict[str, float]:
    """p50, p99 and the longest in milliseconds, and how many."""
    ranked = sorted(times)
    return {
        "p50": ranked[len(ranked) // 2],
        "p99": ranked[min(len(ranked) - 1, int(len(ranked) * 0.99))],
        "max": ranked[-1],
        "count": len(ranked),
    }


def bytes_in(*paths: Path) -> int:
    """What files and folders take on the disk."""
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    return sum(file.stat().st_size for file in files)


def resident_bytes() -> int:
    """What this process holds in memory."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
