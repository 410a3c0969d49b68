"""F12: another process holds the database. Nothing is acknowledged meanwhile, nobody sees a 500, and it passes."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.faults import oracle, seeds
from tests.faults.processes import telegram_beside
from tests.faults.store_faults import locked
from tests.faults.workload import Crowd
from tests.faults.zygote import Driver, zygote

UNREADY_SECONDS = 5.0
READY_SECONDS = 5.0


async def _run(driver: Driver, folder: Path, seconds: float) -> None:
    chance, report = seeds.begin("F12")
    async with telegram_beside() as telegram, zygote(driver, folder, telegram, seed=report.seed) as bot:
        crowd = Crowd(telegram, chance, chats=200)
        await bot.start()
        await bot.ready()
        await crowd.write(10)
        async with locked(bot.database):
            unready = await bot.site.until_ready(False, seconds=UNREADY_SECONDS)
            before = len(await crowd.acked())
            await crowd.write(20)
            asked = (bot.site.ask(f"a-person-on-the-web-{number}", "T99999") for number in range(3))
            statuses = {status for status, _ in await asyncio.gather(*asked)}
            await asyncio.sleep(seconds)
            stored = await asyncio.to_thread(oracle.query, bot.database, "SELECT count(*) AS n FROM inbound")
            acked = len(await crowd.acked())
        ready = await bot.site.until_ready(seconds=READY_SECONDS)
        await crowd.rest(bot.database)
        verdict = await crowd.verdict(bot.database)
        assert await bot.kill(signal.SIGTERM) == 0
        report.counts |= {**verdict.counts(), "unready_after": f"{unready:.1f}s", "ready_after": f"{ready:.1f}s"}
        report["web"] = statuses
        report.print()
        assert statuses == {503}, "the web page is told to try again"
        assert acked <= max(before, stored[0]["n"]), "nothing is acknowledged that is not stored"
        assert not verdict.broken, verdict.broken


async def test_a_locked_database_loses_nothing(driver: Driver, tmp_path: Path) -> None:
    await _run(driver, tmp_path, 0.5)


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_a_database_locked_for_a_minute_loses_nothing(driver: Driver, tmp_path: Path) -> None:
    await _run(driver, tmp_path, 60.0)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_a_thousand_short_locks_lose_nothing(driver: Driver, tmp_path: Path) -> None:
    chance, report = seeds.begin("F12 short locks")
    async with telegram_beside() as telegram, zygote(driver, tmp_path, telegram, seed=report.seed) as bot:
        crowd = Crowd(telegram, chance, chats=400)
        await bot.start()
        await bot.ready()
        async with locked(bot.database, seconds=0.05, times=1000) as holder:
            while holder.returncode is None:
                await crowd.write(10)
                await asyncio.sleep(1.0)
        await crowd.rest(bot.database)
        verdict = await crowd.verdict(bot.database)
        report.counts |= verdict.counts()
        report.print()
        assert not verdict.broken, verdict.broken
