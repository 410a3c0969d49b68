"""F16: the wall clock jumps. Answers come all the same, in order, and nothing waits for an hour that does not pass."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bot.messages import ReceiptStatus
from tests.fakes.telegram_api import FakeTelegram, Fault
from tests.faults import oracle, seeds
from tests.faults.memory import message, open_hall
from tests.faults.processes import telegram_beside
from tests.faults.rig import ShiftedClock, new_rig
from tests.faults.test_f34_flood import LIMITS
from tests.faults.workload import Crowd
from tests.faults.zygote import Driver, zygote

LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
)
STEPS = (timedelta(), timedelta(hours=-1), timedelta(hours=23), timedelta(hours=22))


@pytest.fixture
def faked_time(tmp_path: Path) -> Iterator[tuple[Driver, Path]]:
    """A driver whose wall clock is what the file says; its monotonic clock is the machine's."""
    library = next((path for path in LIBRARIES if os.path.exists(path)), None)
    if library is None:
        pytest.skip("not on this machine: libfaketime (Debian's package faketime)")
    step = tmp_path / "clock"
    step.write_text("+0s\n", encoding="ascii")
    environment = {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(step),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # Else it shifts the deadlines of condition variables that count monotonic time: threads would spin.
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }
    with Driver(tmp_path / "driver.err", environment) as driver:
        yield driver, step


async def test_clock_steps_stop_nothing(faked_time: tuple[Driver, Path], tmp_path: Path) -> None:
    driver, clock = faked_time
    chance, report = seeds.begin("F16")
    async with telegram_beside() as telegram, zygote(driver, tmp_path, telegram, seed=report.seed) as bot:
        crowd = Crowd(telegram, chance, chats=300)
        await bot.start()
        await bot.ready()
        slowest = 0.0
        for step in STEPS:
            clock.write_text(f"{int(step.total_seconds()):+d}s\n", encoding="ascii")
            await crowd.write(15)
            started = time.monotonic()
            await crowd.rest(bot.database, 20)
            slowest = max(slowest, time.monotonic() - started)
            assert (await bot.site.readiness())[0] == 200
        verdict = await crowd.verdict(bot.database)
        stored = await asyncio.to_thread(oracle.query, bot.database, "SELECT received_at FROM inbound ORDER BY id")
        times = [datetime.fromisoformat(row["received_at"]) for row in stored]
        jumps = [after - before for before, after in itertools.pairwise(times)]
        assert await bot.kill(signal.SIGTERM) == 0
        report.counts |= {**verdict.counts(), "back": f"{min(jumps)}", "forth": f"{max(jumps)}"}
        report["slowest"] = f"{slowest:.1f}s"
        report.print()
        assert min(jumps) < timedelta(minutes=-50), "the clock did not jump back"
        assert max(jumps) > timedelta(hours=20), "the clock did not jump forth"
        assert not verdict.broken, verdict.broken
        assert verdict.extra == 0


@pytest.mark.parametrize(
    "jump", [pytest.param(timedelta(hours=-1), id="an hour back"), pytest.param(timedelta(days=1), id="a day forth")]
)
async def test_a_reply_that_waits_goes_out_in_its_own_time(tmp_path: Path, jump: timedelta) -> None:
    """Telegram asked for patience; the wall clock jumps meanwhile: neither at once nor an hour later."""
    async with FakeTelegram(version=(10, 0)) as telegram:
        fault = telegram.faults.add(Fault(kind="flood", method="sendMessage", chat=5, times=1, retry_after=2))
        rig = await new_rig(telegram, tmp_path)
        async with rig.life():
            telegram.people.says(5, "T1")
            await telegram.until(lambda: fault.fired)
            started = time.monotonic()
            rig.clock.offset = jump
            await telegram.until(lambda: telegram.texts(5), timeout=15)
            assert time.monotonic() - started >= 1.5
            await rig.rest()
        assert telegram.texts(5) == ["T1 完"]


async def test_rates_are_counted_in_time_that_passes(tmp_path: Path) -> None:
    """A jump of a day gives nobody a second minute's worth of messages."""
    clock = ShiftedClock()
    async with open_hall(tmp_path, clock=clock, limits=LIMITS) as hall:
        _, first = await hall.deliver([message("c", number, f"T{number}") for number in range(1, 21)])
        clock.offset = timedelta(days=1)
        _, then = await hall.deliver([message("c", number, f"T{number}") for number in range(21, 31)])
        await hall.rest()
    assert {receipt.status for receipt in first} == {ReceiptStatus.ACCEPTED}
    assert {receipt.status for receipt in then} == {ReceiptStatus.SHED}
