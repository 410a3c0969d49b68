"""F1: the process is killed anywhere, again and again. Nothing acknowledged is lost, nothing is said three times."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import pytest

from bot.failpoints import NAMES
from tests.fakes.botapi.remote import RemoteTelegram
from tests.faults import seeds
from tests.faults.processes import may_trace, strace, telegram_beside
from tests.faults.workload import Crowd
from tests.faults.zygote import Driver, Zygote, zygote

SYSCALLS = {"fsync,fdatasync": 4, "pwrite64": 20, "write": 5, "sendto": 10, "epoll_wait": 60}
"""With how many calls of one thread a life surely gets to."""
MESSAGES_A_LIFE = 12
LIFE_SECONDS = 20.0
READY_SECONDS = 5.0


@dataclass(slots=True)
class Kills:
    """How the lives of a run ended."""

    fired: Counter[str] = field(default_factory=Counter)
    unfired: Counter[str] = field(default_factory=Counter)
    starts: list[tuple[float, float]] = field(default_factory=list)
    """(start, end) of every life, wall clock."""


async def _dies_at_work(bot: Zygote, crowd: Crowd) -> bool:
    """Waits for the life's death. False: it has done all there was to do, and lives."""
    idle = 0
    deadline = time.monotonic() + LIFE_SECONDS
    while idle < 2 and time.monotonic() < deadline:
        if await bot.ended(0.1) is not None:
            return True
        idle = idle + 1 if await crowd.is_idle(bot.database) else 0
    await bot.kill()
    return False


async def _at_failpoint(bot: Zygote, crowd: Crowd, name: str, chance: random.Random, kills: Kills) -> None:
    # One batch of updates is one passage of the inbox, and most lives get one batch.
    passage = chance.choice([1, 1, 1, 2]) if name.startswith("inbox.") else chance.randint(1, 6)
    await bot.start(f"{name}:{passage}")
    fired = await _dies_at_work(bot, crowd)
    (kills.fired if fired else kills.unfired)[name] += 1


async def _at_syscall(bot: Zygote, crowd: Crowd, call: str, chance: random.Random, kills: Kills) -> None:
    """Kills at the n-th call of one thread, without the product's cooperation."""
    pid = await bot.start(go=False)
    when = chance.randint(1, SYSCALLS[call])
    inject = f"{call}:signal=SIGKILL:when={when}"
    tracer = await strace(pid, [inject], log=bot.folder / "strace.log")
    await bot.go()
    fired = await _dies_at_work(bot, crowd)
    (kills.fired if fired else kills.unfired)[call] += 1
    await tracer.end()


async def _at_random(bot: Zygote, telegram: RemoteTelegram, chance: random.Random, kills: Kills) -> None:
    """Mostly in the middle of the work, now and then while it starts."""
    polls = len(await telegram.calls("getUpdates"))
    await bot.start()
    deadline = time.monotonic() + LIFE_SECONDS
    while chance.random() < 0.97 and len(await telegram.calls("getUpdates")) == polls and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    await asyncio.sleep(chance.uniform(0.0, 0.6))
    await bot.kill()
    kills.fired["random"] += 1


async def kill_often(
    bot: Zygote, telegram: RemoteTelegram, crowd: Crowd, count: int, chance: random.Random
) -> tuple[Kills, float]:
    """Kills so many lives in their work, then lets one finish; the wall seconds of the worst restart."""
    kills = Kills()
    points = cycle(chance.sample(sorted(NAMES), len(NAMES)))
    calls = cycle(chance.sample(sorted(SYSCALLS), len(SYSCALLS)))
    ways = cycle(["point", "call", "random"] if not may_trace() else ["point", "random"])
    for _ in range(count):
        await crowd.write(MESSAGES_A_LIFE - 4)
        more = asyncio.create_task(crowd.write_later(4, chance.uniform(0.1, 0.6)))
        started = time.time()
        match next(ways):
            case "point":
                await _at_failpoint(bot, crowd, next(points), chance, kills)
            case "call":
                await _at_syscall(bot, crowd, next(calls), chance, kills)
            case _:
                await _at_random(bot, telegram, chance, kills)
        kills.starts.append((started, time.time()))
        await more
    started = time.time()
    await bot.start()
    await crowd.rest(bot.database)
    kills.starts.append((started, time.time()))
    assert await bot.kill(number=signal.SIGTERM) == 0
    return kills, await _slowest_start(telegram, kills)


async def _slowest_start(telegram: RemoteTelegram, kills: Kills) -> float:
    """Seconds from a start to the first poll of that life."""
    polls = [call.at for call in await telegram.calls("getUpdates")]
    waits = []
    for start, end in kills.starts:
        first = next((at for at in polls if start <= at <= end), None)
        if first is not None:
            waits.append(first - start)
    assert len(waits) > len(kills.starts) / 2, "most lives have to get as far as accepting"
    return max(waits)


async def _run(driver: Driver, folder: Path, count: int) -> None:
    chance, report = seeds.begin("F1")
    async with telegram_beside() as telegram, zygote(driver, folder, telegram, seed=report.seed) as bot:
        crowd = Crowd(telegram, chance, chats=300)
        kills, slowest = await kill_often(bot, telegram, crowd, count, chance)
        verdict = await crowd.verdict(bot.database)
        report["kills"] = kills.fired.total()
        report["unfired"] = kills.unfired.total()
        report.counts |= verdict.counts()
        report["repeated"] = crowd.repeated
        report["slowest_start"] = f"{slowest:.2f}s"
        report.print()
        print(f"   fired: {dict(kills.fired)} unfired: {dict(kills.unfired)}")
        assert not verdict.broken, f"{verdict.broken}\n{report}\n{bot.words()}"
        assert kills.fired.total() >= count / 2, "most kills have to hit"
        assert verdict.tickets > 0
        assert slowest <= READY_SECONDS


async def test_kills_lose_nothing(driver: Driver, tmp_path: Path) -> None:
    """The quick form: three at named points, three at system calls, three at any time."""
    await _run(driver, tmp_path, 9)


@pytest.mark.faults
@pytest.mark.timeout(1800)
async def test_five_hundred_kills_lose_nothing(driver: Driver, tmp_path: Path) -> None:
    await _run(driver, tmp_path, 500)
