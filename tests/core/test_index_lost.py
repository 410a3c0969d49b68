"""F29 over the whole product: the index is deleted and damaged under the bot and between two starts."""

from __future__ import annotations

import asyncio
import shutil
from functools import partial
from pathlib import Path

import pytest

from bot import answering
from bot.app import App
from tests.core.test_app import ask, running
from tests.core.test_turns import until
from tests.fakes.channel import MemoryChannel


async def knowledge_of(app: App) -> str:
    (part,) = [part for part in await app.health() if part.name == "knowledge"]
    assert part.up, "it answers all the while"
    return part.detail


async def until_whole(app: App) -> None:
    async with asyncio.timeout(60):
        while await knowledge_of(app):
            await asyncio.sleep(0.05)


async def test_a_bot_whose_index_is_deleted_answers_throughout_and_makes_it_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "open_knowledge", partial(answering.open_knowledge, look_seconds=0.3))
    channel, index = MemoryChannel(), tmp_path / "data" / "knowledge"
    async with running(tmp_path, channel) as app:
        assert "验证码" in await ask(app, channel, "密码忘了怎么办", 1)
        await asyncio.to_thread(shutil.rmtree, index)
        assert "发货" in await ask(app, channel, "订单多久发货？", 2)
        await until(lambda: (index / "passages.lance").is_dir(), 30)
        await until_whole(app)
        assert "退" in await ask(app, channel, "怎么退货？", 3)
        assert await no_turn_failed(app)
        await asyncio.to_thread(_zero, index)
    channel = MemoryChannel()
    async with running(tmp_path, channel) as app:
        # By its words alone, until the third look has found it damaged; a refusal is an answer, an error is none.
        assert "words alone" in await knowledge_of(app)
        assert await ask(app, channel, "订单多久发货？", 4)
        await until_whole(app)
        assert "验证码" in await ask(app, channel, "密码忘了怎么办", 5)
        assert await no_turn_failed(app)


async def no_turn_failed(app: App) -> bool:
    figures = (await asyncio.to_thread(app.surroundings.metrics.exposition)).decode()
    assert "kefu_knowledge_index_whole" in figures
    return 'outcome="error"' not in figures


def _zero(index: Path) -> None:
    for file in (index / "passages.lance").rglob("*"):
        if file.is_file():
            file.write_bytes(b"\0" * file.stat().st_size)
