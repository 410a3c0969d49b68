"""F14: the disk fails now and then. No acknowledgement without a commit; after a restart everything is there."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import pytest

from tests.faults import seeds
from tests.faults.processes import may_trace, strace, telegram_beside
from tests.faults.workload import Crowd
from tests.faults.zygote import Driver, zygote

ERRORS = (
    pytest.param("fsync,fdatasync", "fsync,fdatasync:error=EIO:when=3+4", id="EIO at fsync"),
    pytest.param("pwrite64", "pwrite64:error=ENOSPC:when=9+23", id="ENOSPC at pwrite64"),
    pytest.param("read", "read:error=EINTR:when=3+5", id="EINTR at read"),
)


async def _run(driver: Driver, folder: Path, call: str, inject: str, rounds: int) -> None:
    if words := may_trace():
        pytest.skip(words)
    chance, report = seeds.begin(f"F14 {inject}")
    async with telegram_beside() as telegram, zygote(driver, folder, telegram, seed=report.seed) as bot:
        crowd = Crowd(telegram, chance, chats=300)
        pid = await bot.start(go=False)
        log = bot.folder / "strace.log"
        tracer = await strace(pid, trace=call, inject=inject, log=log)
        await bot.go()
        for _ in range(rounds):
            await crowd.write(8)
            await asyncio.sleep(0.4)
        assert not (await crowd.verdict(bot.database)).lost
        tracer.send(signal.SIGTERM)  # it lets go of the process
        await tracer.wait()
        injected = log.read_text(encoding="utf-8", errors="replace").count("(INJECTED)")
        died = await bot.ended(0.1)
        if died is None:
            with contextlib.suppress(TimeoutError):  # what the errors stopped is the next life's
                await crowd.rest(bot.database, 10)
            await bot.kill()
        await bot.start()
        await crowd.rest(bot.database)
        verdict = await crowd.verdict(bot.database)
        report.counts |= {"injected": injected, "died": died, **verdict.counts()}
        report.print()
        assert injected > 0, "no error was injected"
        assert not verdict.broken, f"{verdict.broken}\n{bot.words()}"


@pytest.mark.parametrize(("call", "inject"), ERRORS)
async def test_a_failing_disk_loses_nothing(driver: Driver, tmp_path: Path, call: str, inject: str) -> None:
    await _run(driver, tmp_path, call, inject, 5)


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("call", "inject"), ERRORS)
async def test_a_failing_disk_loses_nothing_long(driver: Driver, tmp_path: Path, call: str, inject: str) -> None:
    await _run(driver, tmp_path, call, inject, 120)
