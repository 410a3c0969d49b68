"""Stopping in the middle: the engine forgets what nobody waits for, and does not mind the others (P12)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from bot.engine import processes
from bot.errors import EngineTimeout, EngineUnavailable
from bot.messages import Answered, Delta
from tests.engine_real.engines import ENGINE_ARGUMENTS, PATIENCE, Real, passage, prompt, running, settings
from tests.faults import seeds

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

CANCELS = 100
AT_ONCE = ENGINE_ARGUMENTS["max_num_seqs"]
PASSAGE = passage("付款后 48 小时内发货。")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Real]:
    """An engine that says the same to the same prompt every time."""
    async with running(settings(tiny_model, temperature=0.0), tmp_path_factory.mktemp("data")) as opened:
        yield opened


async def said(real: Real, number: int) -> str:
    """What the model says to a question that no other asks."""
    end = await real.end_of(prompt(f"第 {number} 个问题：订单多久发货？", passages=(PASSAGE,), max_answer_chars=60))
    assert isinstance(end, Answered)
    return end.text


async def test_cancels_at_random_leave_nothing_and_do_not_disturb_the_others(real: Real) -> None:
    chance, report = seeds.begin("P12 real engine")
    others = range(8)
    alone = [await said(real, number) for number in others]
    asked_before = real.model.load().prompt_tokens

    async def cancelled(number: int) -> str:
        """Asks, and gives up after some moments: while it is being handed over, or in the middle of the answer."""
        task = asyncio.create_task(said(real, 1000 + number))
        if number % 4 == 0:
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(chance.random())
        task.cancel()
        [outcome] = await asyncio.gather(task, return_exceptions=True)
        return type(outcome).__name__

    async def stopped(number: int) -> str:
        """Presses Stop once the first words are there."""
        async with aclosing(real.engine.generate(prompt(f"第 {2000 + number} 个问题", max_answer_chars=60))) as outputs:
            async for output in outputs:
                if isinstance(output, Delta) and chance.random() < 0.3:
                    return "stopped"
        return "ended"

    outcomes: list[str] = []
    among: list[str] = []
    left = CANCELS
    while left > 0:
        batch = min(AT_ONCE - 4, left)
        left -= batch
        together = [cancelled(left + at) if at % 2 else stopped(left + at) for at in range(batch)]
        number = len(among) % len(others)
        first, *rest = await asyncio.gather(said(real, number), *together)
        among.append(first)
        outcomes += rest
    await real.idle()
    report.counts |= {kind: outcomes.count(kind) for kind in sorted(set(outcomes))} | {"others": len(among)}
    report["prompt_tokens"] = real.model.load().prompt_tokens - asked_before
    report.print()
    assert len(outcomes) == CANCELS
    assert outcomes.count("CancelledError") + outcomes.count("stopped") > CANCELS * 0.6, "most were stopped in time"
    assert among == [alone[at % len(others)] for at in range(len(among))]
    assert [await said(real, number) for number in others] == alone
    assert real.figure("kefu_engine_reloads_total") == 0


async def test_a_turn_that_is_out_of_time_ends_in_the_engine_as_well(real: Real) -> None:
    long = prompt("请写得很长", max_answer_chars=300)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await real.ask(long)
    await real.idle()


async def test_more_than_it_takes_at_once_waits_and_is_answered(real: Real) -> None:
    ends = await asyncio.gather(*(said(real, 3000 + number) for number in range(2 * AT_ONCE)))
    assert len(ends) == 2 * AT_ONCE
    await real.idle()


async def test_its_own_limits_end_an_output_in_the_engine_as_well(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    hasty = type(PATIENCE)(first_token=0.001, next_token=0.001, idle=60.0, canary=10.0, hang=60.0, output=60.0)
    monkeypatch.setattr(real.engine, "_patience", hasty)
    with pytest.raises(EngineTimeout):
        await real.ask(prompt("请写得很长", max_answer_chars=300))
    monkeypatch.undo()
    await real.idle()
    assert await said(real, 1)


async def test_closing_ends_what_runs_and_leaves_no_process(real: Real) -> None:
    # The last test of this module: the engine is of no use afterwards.
    held = real.model._record.processes
    asking = [asyncio.create_task(said(real, 4000 + number)) for number in range(6)]
    while real.model.open_requests < 4:
        await asyncio.sleep(0.01)
    await real.engine.close()
    for outcome in await asyncio.gather(*asking, return_exceptions=True):
        assert isinstance(outcome, EngineUnavailable)
    assert len(held) >= 2
    assert await asyncio.to_thread(processes.alive, held) == frozenset()
    assert not real.engine.health().ready
