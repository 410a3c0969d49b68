"""F14: the disk fails now and then. No acknowledgement without a commit; after a restart everything is there."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from pathlib import Path

import pytest

from tests.faults import seeds
from tests.faults.processes import may_trace, strace, telegram_beside
from tests.faults.workload import Crowd
from tests.faults.zygote import Driver, zygote

ERRORS = {
    "fsync,fdatasync": "error=EIO:when=3+4",
    "pwrite64": "error=ENOSPC:when=9+23",
    "read": "error=EINTR:when=3+5",
}


async def _run(driver: Driver, folder: Path, errors: dict[str, str], rounds: int) -> None:
    if words := may_trace():
        pytest.skip(words)
    chance, report = seeds.begin("F14")
    async with telegram_beside() as telegram, zygote(driver, folder, telegram, seed=report.seed) as bot:
        crowd = Crowd(telegram, chance, chats=300)
        pid = await bot.start(go=False)
        log = bot.folder / "strace.log"
        tracer = await strace(pid, [f"{call}:{error}" for call, error in errors.items()], log=log)
        await bot.go()
        for _ in range(rounds):
            await crowd.write(8)
            await asyncio.sleep(0.4)
        assert not (await crowd.verdict(bot.database)).lost
        tracer.send(signal.SIGTERM)  # it lets go of the process
        await tracer.wait()
        traced = log.read_text(encoding="utf-8", errors="replace")
        injected = {call: len(re.findall(rf"(?:{call.replace(',', '|')})\(.*\(INJECTED\)", traced)) for call in errors}
        died = await bot.ended(0.1)
        if died is None:
            with contextlib.suppress(TimeoutError):  # what the errors stopped is the next life's
                await crowd.rest(bot.database, 10 + rounds)
            await bot.kill()
        await bot.start()
        await crowd.rest(bot.database)
        verdict = await crowd.verdict(bot.database)
        report.counts |= {"injected": injected, "died": died, **verdict.counts()}
        report.print()
        assert all(injected.values()), f"an error was not injected: {injected}"
        assert not verdict.broken, f"{verdict.broken}\n{bot.words()}"


async def test_a_failing_disk_loses_nothing(driver: Driver, tmp_path: Path) -> None:
    await _run(driver, tmp_path, ERRORS, 6)


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("call", [pytest.param(call, id=f"{call} {error}") for call, error in ERRORS.items()])
async def test_a_failing_disk_loses_nothing_long(driver: Driver, tmp_path: Path, call: str) -> None:
    await _run(driver, tmp_path, {call: ERRORS[call]}, 120)
