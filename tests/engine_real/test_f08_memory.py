"""F8 on the real engine: a prompt needs more memory than there is. (F7 kills the bot itself, as for want of memory.)"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bot.engine.processes import Process
from bot.errors import BadOutput, EngineUnavailable
from bot.messages import Answered
from tests.engine_real.bots import title
from tests.engine_real.engines import LOAD_SECONDS, Real, prompt, running, settings, until
from tests.faults import seeds

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

POISON = "一个很长的问题，" * 150
TOLD_SECONDS = 5.0


def allow_no_more_memory(worker: Process) -> None:
    """Every allocation of this process fails from now on, as with a card that is full."""
    lines = Path(f"/proc/{worker.pid}/status").read_text().splitlines()
    size = next(int(line.split()[1]) for line in lines if line.startswith("VmSize:")) * 1024
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (size // 2, size // 2))


async def die_of_poison(real: Real) -> float:
    """Seconds until those who asked were told."""
    [worker] = [process for process in real.model._record.processes if "Worker" in title(process)]
    allow_no_more_memory(worker)
    began = time.monotonic()
    outcomes = await asyncio.gather(*(real.ask(prompt(POISON)) for _ in range(4)), return_exceptions=True)
    told = time.monotonic() - began
    assert [type(outcome) for outcome in outcomes] == [EngineUnavailable] * 4, "the fault has fired"
    assert told <= TOLD_SECONDS
    await until(lambda: not real.engine.health().ready, TOLD_SECONDS)
    return told


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Real]:
    """An engine to be broken."""
    async with running(settings(tiny_model), tmp_path_factory.mktemp("data")) as opened:
        yield opened


async def test_a_prompt_that_takes_too_much_memory_kills_twice_at_most(real: Real) -> None:
    _, report = seeds.begin("F8 real engine")
    assert isinstance(await real.end_of(prompt(POISON)), Answered), "with memory enough there is nothing to it"
    for death in (1, 2):
        report[f"told_after_{death}"] = f"{await die_of_poison(real):.2f}s"
        report[f"back_after_{death}"] = f"{await until(lambda: real.engine.health().ready, LOAD_SECONDS):.0f}s"
        assert real.figure("kefu_engine_reloads_total") == death
        assert isinstance(await real.end_of(prompt(f"第 {death} 个别的问题")), Answered)
    with pytest.raises(BadOutput, match="died of this question"):
        await real.ask(prompt(POISON))
    assert real.engine.health().ready and not real.model.dead
    report.print()
