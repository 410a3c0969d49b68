"""F5 on the real engine: a process of it is killed while answers grow."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.engine_real.bots import EngineBot, engine_bot, send
from tests.faults import oracle, seeds
from tests.faults.bot import ANSWER, QUESTION

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

PEOPLE = 8
FALLBACK_SECONDS = 5.0
DETECTED_SECONDS = 5.0
"""Twice the promise for what takes a fraction of a second: other tests may want the processor too."""


async def ask_all(bot: EngineBot, when: str) -> list[tuple[float, dict[str, Any]]]:
    """Everybody asks at once. (When the answer was there, on the monotonic clock; the reply), a person."""

    async def one(person: int) -> tuple[float, dict[str, Any]]:
        status, reply = await bot.site.ask(f"person-{person}-{when}-of-the-test", QUESTION)
        assert status == 200, reply
        return time.monotonic(), reply

    return list(await asyncio.gather(*(one(person) for person in range(PEOPLE))))


HISTORY = """
    SELECT history.conversation_id, role, CASE role WHEN 'customer' THEN text ELSE '' END AS words, state, attempts
    FROM history JOIN turns ON turns.id = history.turn_id
    WHERE role IN ('customer', 'bot')  -- at random, the model calls a function too
    ORDER BY history.conversation_id, history.id
"""


async def conversations(bot: EngineBot) -> dict[int, list[tuple[object, ...]]]:
    """What the database holds of each, but for the answers' own words: who spoke, and how the turn ended."""
    held: dict[int, list[tuple[object, ...]]] = {}
    for row in await asyncio.to_thread(oracle.query, bot.bot.database, HISTORY):
        number, *what = row.values()
        held.setdefault(number, []).append(tuple(what))
    return held


async def test_a_killed_process_costs_nobody_an_answer(tiny_model: Path, knowledge: Path, tmp_path: Path) -> None:
    _, report = seeds.begin("F5 real engine")
    async with engine_bot(tmp_path, knowledge, tiny_model) as bot:
        await bot.start()
        report["loaded_after"] = f"{await bot.until_engine():.0f}s"
        await ask_all(bot, "calm")
        calm = await conversations(bot)
        assert len(calm) == PEOPLE
        for deaths, name in enumerate(("EngineCore", "Worker"), start=1):
            asking = asyncio.create_task(ask_all(bot, name))
            await bot.until_running(PEOPLE // 2)
            victim = await bot.one(name)
            killed = time.monotonic()
            send(signal.SIGKILL, [victim])
            down = await bot.until_engine(False, seconds=DETECTED_SECONDS)
            status, detail = await bot.engine_state()
            answered = await asking
            late = max(at for at, _ in answered) - killed
            fallen_back = sum(ANSWER in reply["response"] for _, reply in answered)
            report.counts |= {
                f"{name}_running": PEOPLE, f"{name}_told_after": f"{down:.2f}s", f"{name}_last_answer": f"{late:.2f}s",
                f"{name}_answered_by_the_fallback": fallen_back,
            }  # fmt: skip
            assert status == 200, "the fallback answers"
            assert "died" in detail and "extractive answers" in detail
            assert fallen_back >= PEOPLE // 2, [reply["response"][:40] for _, reply in answered]
            assert late <= FALLBACK_SECONDS
            report[f"{name}_back_after"] = f"{await bot.until_engine():.0f}s"
            assert await bot.figure("kefu_engine_reloads_total") == deaths
            assert victim not in await bot.engine_processes()
        everything = await conversations(bot)
        assert len(everything) == 3 * PEOPLE
        assert all(rows == calm[min(calm)] for rows in everything.values()), "one question, one answer, one attempt"
        report.print()
