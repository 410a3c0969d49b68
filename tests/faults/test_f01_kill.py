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
from tests.core.house import FILE
from tests.fakes.botapi.remote import RemoteTelegram
from tests.faults import seeds
from tests.faults.processes import may_trace, strace, telegram_process
from tests.faults.workload import Crowd
from tests.faults.zygote import Zygote, zygote

SYSCALLS = {"fdatasync": 8, "pwrite64": 30, "write": 12, "sendto": 12, "epoll_wait": 80}
"""With how many calls of one thread a life surely gets to."""
MESSAGES_A_LIFE = 12
FAILPOINT_SECONDS = 1.5
"""A point that is not passed so long will not be: the life had nothing to do there."""
READY_SECONDS = 5.0


@dataclass(slots=True)
class Kills:
    """How the lives of a run ended."""

    fired: Counter[str] = field(default_factory=Counter)
    unfired: Counter[str] = field(default_factory=Counter)
    starts: list[tuple[float, float]] = field(default_factory=list)
    """(start, end) of every life, wall clock."""


async def _at_failpoint(bot: Zygote, name: str, chance: random.Random, kills: Kills) -> None:
    passages = 2 if name.startswith("inbox.") else 6  # one batch of updates is one passage of the inbox
    await bot.start(f"{name}:{chance.randint(1, passages)}")
    if await bot.ended(FAILPOINT_SECONDS) is None:
        kills.unfired[name] += 1
        await bot.kill()
    else:
        kills.fired[name] += 1


async def _at_syscall(bot: Zygote, call: str, chance: random.Random, kills: Kills) -> None:
    """Kills at the n-th call of one thread, without the product's cooperation."""
    pid = await bot.start(go=False)
    when = chance.randint(1, SYSCALLS[call])
    tracer = await strace(
        pid, trace=call, inject=f"{call}:signal=SIGKILL:when={when}", log=bot.folder / "strace.log"
    )  # fmt: skip
    await bot.go()
    if await bot.ended(2 * FAILPOINT_SECONDS) is None:
        kills.unfired[call] += 1
        await bot.kill()
    else:
        kills.fired[call] += 1
    await tracer.end()


async def _at_random(bot: Zygote, chance: random.Random, kills: Kills) -> None:
    await bot.start()
    await asyncio.sleep(chance.uniform(0.05, 0.8))
    await bot.kill()
    kills.fired["random"] += 1


async def kill_often(
    bot: Zygote, telegram: RemoteTelegram, crowd: Crowd, count: int, chance: random.Random
) -> tuple[Kills, float]:
    """Kills so many lives in their work, then lets one finish; the wall seconds of the worst restart."""
    kills = Kills()
    points, calls = cycle(sorted(NAMES)), cycle(SYSCALLS)
    ways = cycle(["point", "call", "random"] if not may_trace() else ["point", "random"])
    for _ in range(count):
        await crowd.write(MESSAGES_A_LIFE)
        started = time.time()
        match next(ways):
            case "point":
                await _at_failpoint(bot, next(points), chance, kills)
            case "call":
                await _at_syscall(bot, next(calls), chance, kills)
            case _:
                await _at_random(bot, chance, kills)
        kills.starts.append((started, time.time()))
    started = time.time()
    await bot.start()
    await crowd.rest(bot.folder / FILE)
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


async def _run(folder: Path, count: int) -> None:
    chance, report = seeds.begin("F1")
    async with telegram_process(folder) as telegram, zygote(folder, telegram, seed=report.seed) as bot:
        crowd = Crowd(telegram, chance, chats=300)
        kills, slowest = await kill_often(bot, telegram, crowd, count, chance)
        verdict = await crowd.verdict(folder / FILE)
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


async def test_kills_lose_nothing(tmp_path: Path) -> None:
    """The quick form: every named point once would be ten; chance and system calls take turns with them."""
    await _run(tmp_path, 12)


@pytest.mark.faults
@pytest.mark.timeout(1800)
async def test_five_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    await _run(tmp_path, 500)
