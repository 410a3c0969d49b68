"""After a sync, what was asked in vain is asked again by the running bot; nothing of that is kept or carried out."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path

import pytest

from bot import app as app_module
from bot.app import App
from bot.replaying import REPLAYED_FILE, Replayed, Replayer, read_replayed, write_replayed
from tests.core.test_app import LIN, ask, running
from tests.core.test_cache import sync, write_faq
from tests.fakes.channel import MemoryChannel

QUESTION = "你们卖自行车吗"
ANSWER = "自行车在门店有售，网上暂不销售。"


async def replayed(folder: Path, version: int) -> Replayed:
    """Waits for what was asked of this version."""
    async with asyncio.timeout(30):
        while True:
            found = await asyncio.to_thread(read_replayed, folder / "data")
            if found.version == version:
                return found
            await asyncio.sleep(0.05)


async def test_the_running_bot_asks_again_after_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "Replayer", partial(Replayer, look_seconds=0.05, pause_seconds=0.05))
    channel = MemoryChannel()
    async with running(tmp_path, channel) as app:
        await sync(app, write_faq(tmp_path, "三"))
        assert "抱歉" in await ask(app, channel, QUESTION, 1)
        assert "TICKET-" in await ask(app, channel, "转人工", 2)
        tickets = len(await app.desk.list())
        await sync(app, write_faq(tmp_path, "五"))
        before = await replayed(tmp_path, await version_of(app))
        assert list(before.solved.values()).count(False) == 1 and True not in before.solved.values()
        path = write_faq(tmp_path, "五")
        row = {"id": "bike", "question": "你们卖自行车吗？", "answer": ANSWER}
        path.write_text(path.read_text("utf-8") + json.dumps(row, ensure_ascii=False) + "\n", "utf-8")
        await sync(app, path)
        after = await replayed(tmp_path, await version_of(app))
        assert True in after.solved.values()
        assert after.counts(list(after.solved)) == (1, 1)
        assert len(await app.desk.list()) == tickets, "what it would have opened was not opened"
        assert len(channel.texts(LIN)) == 2, "nobody was told anything"
    assert "自行车" not in (tmp_path / "data" / REPLAYED_FILE).read_text("utf-8")


async def version_of(app: App) -> int:
    return (await app._answering.knowledge()).retriever.version


def test_what_was_found_is_read_again_and_nothing_from_what_is_damaged(tmp_path: Path) -> None:
    kept = Replayed(version=3, solved={"a": True, "b": False, "c": None})
    write_replayed(tmp_path, kept)
    assert read_replayed(tmp_path) == kept
    assert kept.counts(["a", "b", "c", "unknown"]) == (1, 2)
    for damage in ("", "[]", '{"version": 1}', '{"version": "x", "solved": {}}'):
        (tmp_path / REPLAYED_FILE).write_text(damage)
        assert read_replayed(tmp_path) == Replayed()
