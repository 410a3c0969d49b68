"""F6 on the real engine: all of its processes stop (SIGSTOP); some go on in time (SIGCONT), some do not."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from bot.engine.vllm import Patience
from tests.engine_real.bots import engine_bot, send, until_gone
from tests.faults import seeds
from tests.faults.bot import ANSWER, QUESTION

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

TIMEOUT = 20.0
"""`model.timeout_seconds`: a third of the usual, so that the test need not wait a minute."""
SLACK = 5.0


async def test_a_frozen_engine_is_noticed_used_again_and_in_the_end_replaced(
    tiny_model: Path, knowledge: Path, tmp_path: Path
) -> None:
    _, report = seeds.begin("F6 real engine")
    patience = Patience.within(TIMEOUT)
    async with engine_bot(tmp_path, knowledge, tiny_model, timeout_seconds=TIMEOUT) as bot:
        await bot.start()
        await bot.until_engine()

        asking = [asyncio.create_task(bot.site.ask(f"a-person-before-{number}", QUESTION)) for number in range(6)]
        await bot.until_running(3)
        frozen = await bot.engine_processes()
        send(signal.SIGSTOP, frozen)
        stopped = time.monotonic()
        late = asyncio.create_task(bot.site.ask("a-person-just-after", QUESTION))
        for status, reply in await asyncio.gather(*asking, late):
            assert status == 200
            assert reply["response"], "everybody gets an answer"
        told = time.monotonic() - stopped
        assert ANSWER in late.result()[1]["response"], "by the fallback"
        assert told <= patience.first_token + SLACK
        await bot.until_engine(False, seconds=SLACK)
        noticed = time.monotonic() - stopped
        assert noticed <= patience.first_token + patience.canary + SLACK
        status, detail = await bot.engine_state()
        assert status == 200 and "extractive answers" in detail
        began = time.monotonic()
        _, reply = await bot.site.ask("a-person-who-need-not-wait", QUESTION)
        assert ANSWER in reply["response"] and time.monotonic() - began < SLACK, "nobody waits for it any more"

        send(signal.SIGCONT, frozen)
        back = await bot.until_engine(seconds=SLACK)
        assert await bot.figure("kefu_engine_reloads_total") == 0
        assert await bot.engine_processes() == frozen

        send(signal.SIGSTOP, frozen)
        stopped = time.monotonic()
        gone = await until_gone(frozen, seconds=patience.hang + patience.idle + SLACK)
        replaced = await bot.until_engine()
        assert await bot.figure("kefu_engine_reloads_total") == 1
        fresh = await bot.engine_processes()
        assert fresh and not fresh & frozen
        assert (await bot.site.ask("a-person-afterwards", QUESTION))[0] == 200
        report.counts |= {
            "last_answer_after": f"{told:.1f}s", "not_ready_after": f"{noticed:.1f}s", "back_after": f"{back:.1f}s",
            "given_up_after": f"{gone:.1f}s", "replaced_after": f"{replaced:.0f}s",
        }  # fmt: skip
        report.print()
