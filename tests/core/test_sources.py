"""The sources of kefu.toml, kept in sync by the running bot."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.clock import SystemClock
from bot.sections import KnowledgeSettings
from bot.source_settings import SourceSettings
from bot.sources import SourceKeeper, make_source
from bot.telemetry import Metrics
from knowledge.errors import SourceError, SyncBusyError
from knowledge.sources.base import Source, read_all
from knowledge.values import SyncReport
from tests.core.test_app import ask, running
from tests.core.test_turns import until
from tests.fakes.channel import MemoryChannel


class Recorded:
    """Reads the sources as the knowledge does, and fails when it is told to."""

    def __init__(self) -> None:
        self.synced: list[tuple[str, tuple[str, ...]]] = []
        self.failures: list[Exception] = []
        self.at_once = 0

    async def sync(self, sources: Sequence[Path | str | Source], *, collection: str) -> SyncReport:
        self.at_once += 1
        assert self.at_once == 1, "two syncs at once"
        try:
            kept = [source for source in sources if not isinstance(source, Path | str)]
            self.synced.append((collection, tuple(source.name for source in kept)))
            contents = await read_all(kept)
            if self.failures:
                raise self.failures.pop(0)
            return SyncReport(
                collection=collection,
                added=len(contents.documents),
                changed=0,
                removed=0,
                unchanged=0,
                embedded=0,
                version=1,
                problems=contents.problems,
            )
        finally:
            self.at_once -= 1


def _make(settings: SourceSettings) -> Source:
    return make_source(settings, keep=Path("nowhere"), allow_private=False)


def _figure(metrics: Metrics, name: str, source: str) -> float | None:
    return metrics.registry.get_sample_value(name, {"source": source})


async def test_sources_of_one_collection_are_read_together_and_counted_apart(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "a.md").write_text("# A\n\ntext")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "b.txt").write_bytes(b"\xff\xfe")
    sources = [
        SourceSettings(name="good", path=str(tmp_path / "good"), every="1s"),
        SourceSettings(name="bad", path=str(tmp_path / "bad"), every="1d"),
        SourceSettings(name="other", path=str(tmp_path / "good"), collection="shop", every="1d"),
    ]
    metrics, knowledge = Metrics(), Recorded()
    keeper = SourceKeeper(sources, make=_make, metrics=metrics, clock=SystemClock(), jitter=lambda: 0.0)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(keeper.run(knowledge))
        await until(lambda: len(knowledge.synced) >= 3)
        task.cancel()
    assert knowledge.synced[:2] == [
        ("default", (str(tmp_path / "good"), str(tmp_path / "bad"))),
        ("shop", (str(tmp_path / "good"),)),
    ]
    assert knowledge.synced[2][0] == "default"
    now = SystemClock().now().timestamp()
    for source, problems in (("good", 0), ("bad", 1), ("other", 0)):
        success = _figure(metrics, "kefu_source_last_success_timestamp_seconds", source)
        assert success is not None
        assert now - 20 < success <= now
        assert _figure(metrics, "kefu_source_problems", source) == problems


@pytest.mark.parametrize("failure", [SourceError("x: gone"), SyncBusyError("busy"), RuntimeError("a defect")])
async def test_a_sync_that_fails_is_tried_again_and_is_no_success(tmp_path: Path, failure: Exception) -> None:
    (tmp_path / "a.md").write_text("# A\n\ntext")
    metrics, knowledge = Metrics(), Recorded()
    knowledge.failures.append(failure)
    source = SourceSettings(name="kb", path=str(tmp_path), every="1s")
    keeper = SourceKeeper([source], make=_make, metrics=metrics, clock=SystemClock(), jitter=lambda: 0.0)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(keeper.run(knowledge))
        await until(lambda: len(knowledge.synced) == 1 and not knowledge.failures)
        assert _figure(metrics, "kefu_source_last_success_timestamp_seconds", "kb") is None
        await until(lambda: _figure(metrics, "kefu_source_last_success_timestamp_seconds", "kb") is not None)
        task.cancel()


async def test_without_sources_there_is_nothing_to_keep() -> None:
    await SourceKeeper([], make=_make, metrics=Metrics(), clock=SystemClock()).run(Recorded())


async def test_a_changed_row_of_a_configured_source_is_the_answer_soon_after(tmp_path: Path) -> None:
    path = tmp_path / "crm.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE faq (id, question, answer)")
        connection.execute("INSERT INTO faq VALUES (1, '会员积分什么时候过期？', '会员积分每年年底过期。')")
    connection.close()
    source = SourceSettings(
        name="crm", database=f"sqlite:///{path}", query="SELECT id, question, answer FROM faq", every="1s"
    )
    section = KnowledgeSettings(uri=str(tmp_path / "data" / "knowledge"), sources=(source,))
    channel = MemoryChannel()
    async with running(tmp_path, channel, knowledge=section) as app:

        async def says(words: str, number: int) -> bool:
            return words in await ask(app, channel, "会员积分什么时候过期？", number)

        async def soon(words: str, first: int) -> None:
            async with asyncio.timeout(40):
                number = first
                while not await says(words, number):
                    number += 1
                    await asyncio.sleep(0.5)

        await soon("每年年底过期", 1)
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE faq SET answer = '会员积分满两年过期。'")
        connection.close()
        await soon("满两年过期", 100)
