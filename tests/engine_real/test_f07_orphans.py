"""F7 on the real engine: the bot is killed, or told to stop at a bad moment, and nothing of its engine stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from bot.engine import processes
from tests.engine_real.bots import EngineBot, engine_bot, until_gone
from tests.faults import oracle, seeds
from tests.faults.bot import QUESTION
from tests.faults.processes import telegram_beside

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

GONE_SECONDS = 10.0
STOP_SECONDS = 30.0
PEOPLE = range(1, 7)


def child_of(bot: EngineBot) -> int:
    """The bot's own number, where a supervisor was started."""
    return int(Path(f"/proc/{bot.process.pid}/task/{bot.process.pid}/children").read_text().split()[0])


def files_of(bot: EngineBot) -> set[Path]:
    """The shared memory and the sockets that its engine has now."""
    found = {Path(name) for name in bot.written_down()["files"] if Path(name).exists()}
    assert found, "without any there would be nothing to show"
    return found


async def until_loading(bot: EngineBot) -> frozenset[processes.Process]:
    """The engine's processes, as soon as its worker is there and long before it answers."""
    async with asyncio.timeout(120):
        while len(found := await bot.engine_processes()) < 3:
            await asyncio.sleep(0.1)
    return found


async def stop(bot: EngineBot) -> float:
    """Seconds until SIGTERM has ended it, with status 0."""
    began = time.monotonic()
    bot.process.send(signal.SIGTERM)
    assert await bot.process.wait(STOP_SECONDS) == 0, bot.bot.words()
    return time.monotonic() - began


async def test_supervised_it_takes_its_engine_with_it_and_nobody_is_forgotten(
    tiny_model: Path, knowledge: Path, tmp_path: Path
) -> None:
    _, report = seeds.begin("F7 supervised")
    async with telegram_beside() as telegram, engine_bot(tmp_path, knowledge, tiny_model, telegram) as bot:
        await bot.start(supervised=True)
        await bot.until_engine()
        engine, files = await bot.engine_processes(), files_of(bot)
        assert len(engine) >= 2
        for chat in PEOPLE:
            await telegram.do("says", chat=chat, text=QUESTION)
        await bot.until_running(2)
        # As the out-of-memory killer does: the bot itself, in the middle of everything (F8).
        os.kill(child_of(bot), signal.SIGKILL)
        gone = await until_gone(engine, seconds=GONE_SECONDS)
        again = await bot.site.until_ready(seconds=60)
        async with asyncio.timeout(120):
            while await telegram.unconfirmed() or await asyncio.to_thread(oracle.open_work, bot.bot.database):
                await asyncio.sleep(0.1)
        answers = {chat: [item["text"] for item in await telegram.messages(chat)] for chat in PEOPLE}
        assert all(1 <= len(texts) <= 2 for texts in answers.values()), answers

        loading = await until_loading(bot)
        files |= files_of(bot)
        assert await bot.figure("kefu_engine_up") == 0, "it is still being loaded"
        stopped = await stop(bot)
        assert await asyncio.to_thread(processes.alive, loading) == frozenset()
        assert await asyncio.to_thread(processes.alive, engine) == frozenset()
        assert "Traceback" not in bot.bot.words(100_000), bot.bot.words(100_000)
        report.counts |= {
            "engine_gone_after": f"{gone:.1f}s", "ready_again_after": f"{again:.1f}s", "people": len(answers),
            "extra_copies": sum(len(texts) - 1 for texts in answers.values()),
            "stopped_while_loading_after": f"{stopped:.1f}s",
        }  # fmt: skip
    left = [file for file in files if file.exists()]
    report["files_left"] = f"{len(left)} of {len(files)}"
    report.print()
    assert left == []


async def test_unsupervised_the_next_start_ends_what_is_left(tiny_model: Path, knowledge: Path, tmp_path: Path) -> None:
    _, report = seeds.begin("F7 unsupervised")
    async with engine_bot(tmp_path, knowledge, tiny_model, answer_chars=150) as bot:
        await bot.start()
        await bot.until_engine()
        engine, files = await bot.engine_processes(), files_of(bot)
        bot.process.send(signal.SIGKILL)
        await bot.process.wait()
        await asyncio.sleep(2)
        orphans = await asyncio.to_thread(processes.alive, engine)
        assert len(orphans) >= 2, "vLLM 0.32 does not notice: without this there would be nothing to show"

        await bot.start()
        gone = await until_gone(engine, seconds=60)
        await bot.until_engine()
        engine, files = await bot.engine_processes(), files | files_of(bot)
        assert "an earlier engine was still running" in bot.bot.words(100_000)

        asking = asyncio.create_task(bot.site.ask("a-person-who-waits", QUESTION))
        await bot.until_running(1)
        stopped = await stop(bot)
        status, reply = await asking
        assert (status, bool(reply.get("response"))) == (200, True), "what was begun was finished"
        assert await asyncio.to_thread(processes.alive, engine) == frozenset()
        assert await bot.engine_processes() == frozenset()
        assert "Traceback" not in bot.bot.words(100_000), bot.bot.words(100_000)

        await bot.start()
        loading = await until_loading(bot)
        files |= files_of(bot)
        bot.process.send(signal.SIGKILL)  # in the middle of loading
        await bot.process.wait()
        await bot.start()
        await until_gone(loading, seconds=60)
        early = await stop(bot)
        report.counts |= {
            "orphans": len(orphans), "gone_after_start": f"{gone:.1f}s",
            "stopped_while_answering_after": f"{stopped:.1f}s", "stopped_early_after": f"{early:.1f}s",
        }  # fmt: skip
    left = [file for file in files if file.exists()]
    report["files_left"] = f"{len(left)} of {len(files)}"
    report.print()
    assert left == []
