"""The whole product over each cache: what a sync changed is the answer, however often the old one was asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bot.app import App
from bot.sections import CacheSettings
from knowledge import redis_hits
from tests.core.test_app import ask, running
from tests.core.test_turns import until
from tests.fakes.channel import MemoryChannel
from tests.redis_server import redis_server

QUESTION = "退款多久到账？"


def write_faq(folder: Path, days: str) -> Path:
    path = folder / "faq.jsonl"
    rows = [
        {"id": "refund", "question": QUESTION, "answer": f"退款在{days}个工作日内到账。"},
        {"id": "invoice", "question": "怎么开发票？", "answer": "在订单页点「申请发票」。"},
        {"id": "shipping", "question": "运费多少钱？", "answer": "满九十九元包邮。"},
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


async def sync(app: App, path: Path) -> None:
    knowledge = await app._answering.knowledge()
    await knowledge.sync([path])


@pytest.fixture(params=["memory", "redis"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CacheSettings]:
    if request.param == "memory":
        yield CacheSettings()
        return
    with redis_server(tmp_path / "redis", password="s3cret-of-the-house") as server:
        yield CacheSettings(url=server.url)


async def test_a_changed_sentence_is_the_answer_within_one_sync_although_the_old_one_was_cached(
    tmp_path: Path, cache: CacheSettings
) -> None:
    channel = MemoryChannel()
    async with running(tmp_path, channel, cache=cache) as app:
        await sync(app, write_faq(tmp_path, "三"))
        for number in (1, 2):
            assert "三个工作日" in await ask(app, channel, QUESTION, number)
        figures = await _figures(app)
        assert 'kefu_cache_hits_total{layer="memory"}' in figures and "kefu_cache_up 1.0" in figures
        await sync(app, write_faq(tmp_path, "五"))
        assert "五个工作日" in await ask(app, channel, QUESTION, 3)


async def test_a_redis_that_hangs_and_dies_costs_time_and_no_answer(tmp_path: Path) -> None:
    channel = MemoryChannel()
    with redis_server(tmp_path / "redis") as server:
        async with running(tmp_path, channel, cache=CacheSettings(url=server.url)) as app:
            await sync(app, write_faq(tmp_path, "三"))
            assert "三个工作日" in await ask(app, channel, QUESTION, 1)
            await until(lambda: bool(server.names()))
            server.hang()
            assert "发票" in await ask(app, channel, "怎么开发票？", 2)
            await _until_the_cache_is(app, up=False)
            assert all(part.up for part in await app.health() if part.needed), "it is not needed"
            server.go_on()
            server.kill()
            await sync(app, write_faq(tmp_path, "五"))
            assert "五个工作日" in await ask(app, channel, QUESTION, 3)
            assert "包邮" in await ask(app, channel, "运费多少钱？", 4)


async def test_a_second_start_finds_what_the_first_one_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a machine that is busy with other tests it may take longer than a customer should wait.
    monkeypatch.setattr(redis_hits, "open_redis_hits", partial(redis_hits.open_redis_hits, limit_seconds=5.0))
    with redis_server(tmp_path / "redis") as server:
        cache = CacheSettings(url=server.url)
        for number in (1, 2):
            channel = MemoryChannel()
            async with running(tmp_path, channel, cache=cache) as app:
                if number == 1:
                    await sync(app, write_faq(tmp_path, "三"))
                await _until_the_cache_is(app, up=True)
                assert "三个工作日" in await ask(app, channel, QUESTION, number)
                await until(lambda: bool(server.names()))
                assert ('kefu_cache_hits_total{layer="redis"}' in await _figures(app)) == (number == 2)


async def _figures(app: App) -> str:
    return (await asyncio.to_thread(app.surroundings.metrics.exposition)).decode()


async def _until_the_cache_is(app: App, *, up: bool) -> None:
    async with asyncio.timeout(10):
        while [part.up for part in await app.health() if part.name == "cache"] != [up]:
            await asyncio.sleep(0.02)
