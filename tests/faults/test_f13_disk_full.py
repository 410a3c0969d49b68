"""F13: the disk is full. What was acknowledged is stored, the process stays, and it goes on when there is space."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.faults import oracle, seeds
from tests.faults.processes import telegram_beside
from tests.faults.store_faults import fill, may_mount, no_file_may_grow, small_disk
from tests.faults.workload import Crowd
from tests.faults.zygote import Driver, Zygote, zygote

RECOVERY_SECONDS = 30.0


async def _run(
    driver: Driver, folder: Path, full: Callable[[Zygote], AbstractContextManager[object]], seconds: float
) -> None:
    chance, report = seeds.begin("F13")
    async with telegram_beside() as telegram, zygote(driver, folder, telegram, seed=report.seed) as bot:
        crowd = Crowd(telegram, chance, chats=200)
        pid = await bot.start()
        await bot.ready()
        await crowd.write(10)
        await crowd.rest(bot.database)
        with full(bot):
            unready = False
            deadline = time.monotonic() + seconds + 20
            while not unready and time.monotonic() < deadline:
                await crowd.write(20)  # until not even the log's free pages have room
                await asyncio.sleep(0.3)
                unready = (await bot.site.readiness())[0] == 503
            assert unready, "the disk was not full enough to be noticed"
            status, _ = await bot.site.ask("a-person-on-the-web-1", "T99999")
            await asyncio.sleep(seconds)
            lost = (await crowd.verdict(bot.database)).lost
            assert not lost, f"acknowledged, but not stored: {lost}"
        returned = time.monotonic()
        await bot.site.until_ready(seconds=RECOVERY_SECONDS)
        recovered = time.monotonic() - returned
        await crowd.rest(bot.database)
        verdict = await crowd.verdict(bot.database)
        assert bot.pid == pid, "no restart was needed"
        assert await bot.kill(signal.SIGTERM) == 0
        report.counts |= {**verdict.counts(), "recovered_after": f"{recovered:.1f}s", "web": status}
        report.print()
        assert status == 503
        assert not verdict.broken, verdict.broken
        assert oracle.query(bot.database, "PRAGMA quick_check") == [{"quick_check": "ok"}]


@contextlib.contextmanager
def _ballast(bot: Zygote):  # type: ignore[no-untyped-def]
    ballast = fill(bot.database.parent)
    try:
        yield
    finally:
        ballast.unlink()


async def _on_a_small_disk(driver: Driver, folder: Path, seconds: float) -> None:
    if words := await asyncio.to_thread(may_mount, folder / "try"):
        pytest.skip(words)
    with small_disk(folder / "data", 32):
        await _run(driver, folder, _ballast, seconds)


async def test_a_full_disk_loses_nothing(driver: Driver, tmp_path: Path) -> None:
    await _on_a_small_disk(driver, tmp_path, 1.0)


async def test_files_that_may_not_grow_lose_nothing(driver: Driver, tmp_path: Path) -> None:
    """The same for who may not mount: a limit on file sizes."""
    await _run(driver, tmp_path, lambda bot: no_file_may_grow(bot.pid, bot.database), 1.0)


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_a_disk_that_is_full_for_a_minute_loses_nothing(driver: Driver, tmp_path: Path) -> None:
    await _on_a_small_disk(driver, tmp_path, 60.0)
