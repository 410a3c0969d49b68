"""F28: SIGTERM in the middle of the work, again and again. Nothing is lost, nothing is said twice, every exit is 0."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from tests.faults import seeds
from tests.faults.processes import telegram_beside
from tests.faults.workload import Crowd
from tests.faults.zygote import Driver, zygote

EXIT_SECONDS = 30.0
SECOND_SIGNAL_SECONDS = 2.0


async def _roll(driver: Driver, folder: Path, restarts: int, messages: int) -> None:
    chance, report = seeds.begin("F28")
    async with (
        telegram_beside() as telegram,
        zygote(driver, folder, telegram, seed=report.seed, latency=(0.0, 0.5)) as bot,
    ):
        crowd = Crowd(telegram, chance, chats=300)
        exits: list[float] = []
        for _ in range(restarts):
            await crowd.write(messages)
            more = asyncio.create_task(crowd.write_later(messages // 2, chance.uniform(0.2, 1.0)))
            await bot.start()
            await bot.ready()
            await asyncio.sleep(chance.uniform(0.0, 0.8))
            started = time.monotonic()
            assert await bot.kill(signal.SIGTERM) == 0, bot.words()
            exits.append(time.monotonic() - started)
            await more
        await bot.start()
        await bot.ready()
        await crowd.rest(bot.database)
        assert await bot.kill(signal.SIGTERM) == 0
        verdict = await crowd.verdict(bot.database)
        report.counts |= {"restarts": restarts, **verdict.counts(), "slowest_exit": f"{max(exits):.2f}s"}
        report.print()
        assert not verdict.broken, verdict.broken
        assert verdict.extra == 0, "a graceful end leaves no send unfinished"
        assert verdict.operators == 0
        assert max(exits) < EXIT_SECONDS


async def test_rolling_restarts_are_invisible(driver: Driver, tmp_path: Path) -> None:
    await _roll(driver, tmp_path, 4, 12)


@pytest.mark.faults
@pytest.mark.timeout(1200)
async def test_fifty_rolling_restarts_are_invisible(driver: Driver, tmp_path: Path) -> None:
    await _roll(driver, tmp_path, 50, 60)


async def test_an_unfinished_answer_is_taken_up_by_the_next_start(driver: Driver, tmp_path: Path) -> None:
    """An answer that takes longer than a drain may: a second signal ends the process at once, the message stays."""
    async with telegram_beside() as telegram, zygote(driver, tmp_path, telegram) as bot:
        await bot.start()
        await bot.ready()
        await telegram.do("says", chat=5, text="slow 4 T1")
        while not await telegram.calls("sendMessageDraft"):
            await asyncio.sleep(0.05)
        started = time.monotonic()
        for _ in range(2):
            bot.send(signal.SIGTERM)
            await asyncio.sleep(0.2)
        assert await bot.ended(SECOND_SIGNAL_SECONDS) == 128 + signal.SIGTERM
        assert time.monotonic() - started < SECOND_SIGNAL_SECONDS
        assert await telegram.messages(5) == []
        await bot.start()
        while not await telegram.messages(5):
            await asyncio.sleep(0.1)
        assert [message["text"] for message in await telegram.messages(5)] == ["T1 完"]
