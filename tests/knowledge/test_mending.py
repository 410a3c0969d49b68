"""F29, P19: an index that is lost, damaged or old is made anew in the background; questions are answered meanwhile."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from knowledge import schema
from knowledge.config import KnowledgeConfig
from knowledge.embedders.base import Kind, Vector
from knowledge.errors import IndexMismatchError, IndexUnreadableError, SyncBusyError
from knowledge.index import KnowledgeIndex
from knowledge.ledger import Ledger
from knowledge.service import Knowledge, open_knowledge
from tests.knowledge.hashing import HashingEmbedder
from tests.knowledge.ledgers import assert_index_is_the_head, open_product_ledger

Write = Callable[..., Path]

ROWS = [
    {"id": "refund", "question": "退款怎么办？", "answer": "三天到账。"},
    {"id": "invoice", "question": "怎么开发票？", "answer": "点开订单。"},
    {"id": "vpn", "question": "VPN 连不上怎么办？", "answer": "重启客户端。"},
]


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with open_product_ledger(tmp_path / "kefu.db") as opened:
        yield opened


@pytest.fixture
async def indexed(config: KnowledgeConfig, ledger: Ledger, write: Write) -> Path:
    """An index of three rows, and nothing but the ledger to make it from; its folder."""
    source = write("faq.jsonl", ROWS)
    async with open_knowledge(config, embedder=HashingEmbedder(), ledger=ledger) as knowledge:
        await knowledge.sync([source])
    source.unlink()
    return Path(config.uri)


@asynccontextmanager
async def started(
    config: KnowledgeConfig, ledger: Ledger, embedder: HashingEmbedder | None = None, *, mending: bool = True
) -> AsyncIterator[Knowledge]:
    """As `kefu run` has it."""
    own = embedder or HashingEmbedder()
    async with open_knowledge(config, embedder=own, ledger=ledger, look_seconds=0.02) as knowledge:
        await knowledge.begin()
        running = asyncio.create_task(knowledge.mender.run()) if mending else None
        try:
            yield knowledge
        finally:
            if running is not None:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)


async def answered(knowledge: Knowledge, question: str, answer: str) -> float:
    """Fails unless it is; the cosine that it was found with."""
    hit, *_ = await knowledge.retriever.search(question)
    assert hit.answer == answer
    return hit.dense


async def whole(knowledge: Knowledge, config: KnowledgeConfig, ledger: Ledger) -> None:
    """Waits until it is, asking all the while."""
    async with asyncio.timeout(20):
        while knowledge.mender.standing:
            await answered(knowledge, "VPN 连不上", "重启客户端。")
            await asyncio.sleep(0.005)
    assert await answered(knowledge, "VPN 连不上", "重启客户端。") > 0
    await assert_index_is_the_head(config.uri, ledger)


def zero(files: Sequence[Path]) -> None:
    for file in files:
        file.write_bytes(b"\0" * file.stat().st_size)


def forget_the_folder(index: Path) -> None:
    shutil.rmtree(index)


def damage_everything(index: Path) -> None:
    zero([file for file in (index / "passages.lance").rglob("*") if file.is_file()])


def damage_one_data_file(index: Path) -> None:
    (file,) = (index / "passages.lance" / "data").iterdir()
    zero([file])


@pytest.mark.parametrize("harm", [forget_the_folder, damage_everything, damage_one_data_file])
async def test_a_start_does_not_wait_for_an_index_that_is_made_anew(
    config: KnowledgeConfig,
    ledger: Ledger,
    indexed: Path,
    harm: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = await rows_of(config)
    harm(indexed)
    embedder = HashingEmbedder()
    async with started(config, ledger, embedder, mending=False) as knowledge:
        assert embedder.passages == []
        assert await answered(knowledge, "VPN 连不上", "重启客户端。") == 0.0
        assert "answers come by words alone" in knowledge.mender.standing
        assert [summary.documents for summary in knowledge.retriever.collections] == [3]
    caplog.set_level("INFO", logger="knowledge.mending")
    async with started(config, ledger) as knowledge:
        await whole(knowledge, config, ledger)
    assert await rows_of(config) == before, "the same ids and hashes"
    messages = [record.message for record in caplog.records]
    assert messages.count("the knowledge index is made anew from the ledger") == 2
    assert messages.count("the knowledge index is whole again") == 1


async def rows_of(config: KnowledgeConfig) -> list[dict[str, Any]]:
    index = await KnowledgeIndex.connect(config.uri)
    live = await index.open_live()
    assert live is not None
    found = (await live.table.query().select(["id", "hash", "vector_key", "vector"]).to_arrow()).to_pylist()
    index.close()
    return sorted(found, key=lambda row: str(row["id"]))


@pytest.mark.parametrize("harm", [forget_the_folder, damage_everything])
async def test_an_index_that_is_lost_under_the_running_bot_is_made_anew(
    config: KnowledgeConfig, ledger: Ledger, indexed: Path, harm: Callable[[Path], None]
) -> None:
    async with started(config, ledger) as knowledge:
        knowledge.retriever._interval = 0.0
        await answered(knowledge, "退款", "三天到账。")
        harm(indexed)
        seen = False
        async with asyncio.timeout(20):
            for number in range(10_000):
                # Another question each time: from the cache it would always be answered.
                await answered(knowledge, f"VPN 连不上 {number}", "重启客户端。")
                seen = seen or bool(knowledge.mender.standing)
                if seen and not knowledge.mender.standing:
                    break
                await asyncio.sleep(0.005)
        await whole(knowledge, config, ledger)
        hit, *_ = await knowledge.retriever.search("VPN please")
        assert hit.lexical == 1.0, "the full text works again"


async def test_a_file_that_only_a_sync_reads_again_is_mended_after_it_failed(
    config: KnowledgeConfig, ledger: Ledger, indexed: Path, write: Write
) -> None:
    more = write("faq.jsonl", [*ROWS, {"id": "more", "question": "more", "answer": "more"}])
    async with started(config, ledger) as knowledge:
        damage_one_data_file(indexed)
        assert await answered(knowledge, "退款", "三天到账。") > 0, "from memory"
        with pytest.raises(IndexUnreadableError):
            await knowledge.sync([more])
        async with asyncio.timeout(20):
            while True:
                try:
                    assert (await knowledge.sync([more])).added == 1
                    break
                except (IndexUnreadableError, SyncBusyError):
                    await asyncio.sleep(0.01)
        await whole(knowledge, config, ledger)
        await answered(knowledge, "more", "more")


async def test_an_index_of_an_older_format_is_made_anew_without_embedding_anything_again(
    config: KnowledgeConfig, ledger: Ledger, indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "FORMAT", schema.FORMAT + 1)
    embedder = HashingEmbedder()
    async with started(config, ledger, embedder) as knowledge:
        await whole(knowledge, config, ledger)
    assert embedder.passages == []


async def test_a_sync_takes_an_older_format_along(
    config: KnowledgeConfig, ledger: Ledger, indexed: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "FORMAT", schema.FORMAT + 1)
    embedder = HashingEmbedder()
    async with open_knowledge(config, embedder=embedder, ledger=ledger) as knowledge:
        report = await knowledge.sync([write("faq.jsonl", [*ROWS, {"id": "x", "question": "new", "answer": "new"}])])
        assert (report.added, report.embedded) == (1, 1)
        assert await answered(knowledge, "VPN 连不上", "重启客户端。") > 0
    await assert_index_is_the_head(config.uri, ledger)


async def test_a_command_waits_for_an_index_of_an_older_format(
    config: KnowledgeConfig, ledger: Ledger, indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "FORMAT", schema.FORMAT + 1)
    async with open_knowledge(config, embedder=HashingEmbedder(), ledger=ledger) as knowledge:
        await knowledge.ensure_samples()
        assert await answered(knowledge, "VPN 连不上", "重启客户端。") > 0


@pytest.mark.parametrize("older", [False, True], ids=["this format", "an older one"])
async def test_an_index_of_another_embedder_stays_as_it_is_and_is_never_searched(
    config: KnowledgeConfig, ledger: Ledger, indexed: Path, write: Write, monkeypatch: pytest.MonkeyPatch, older: bool
) -> None:
    if older:
        monkeypatch.setattr(schema, "FORMAT", schema.FORMAT + 1)
    other = HashingEmbedder("other", 32)
    async with open_knowledge(config, embedder=other, ledger=ledger) as knowledge:
        with pytest.raises(IndexMismatchError, match="was made with embedder 'hashing'"):
            await knowledge.begin()
        with pytest.raises(IndexMismatchError):
            await knowledge.retriever.search("退款")
        with pytest.raises(IndexMismatchError):
            await knowledge.sync([write("faq.jsonl", ROWS)])
    assert other.passages == []


async def test_an_index_behind_the_ledger_is_searched_and_catches_up(
    config: KnowledgeConfig, ledger: Ledger, indexed: Path, write: Write, tmp_path: Path
) -> None:
    shutil.copytree(indexed, tmp_path / "copy")
    async with open_knowledge(config, embedder=HashingEmbedder(), ledger=ledger) as knowledge:
        await knowledge.sync([write("faq.jsonl", [*ROWS[1:], {"id": "new", "question": "新的", "answer": "新的。"}])])
    shutil.rmtree(indexed)
    shutil.copytree(tmp_path / "copy", indexed)
    embedder = HashingEmbedder()
    async with started(config, ledger, embedder, mending=False) as knowledge:
        assert await answered(knowledge, "退款", "三天到账。") > 0
        assert "answers come from the version in memory" in knowledge.mender.standing
    async with started(config, ledger, embedder) as knowledge:
        await whole(knowledge, config, ledger)
        await answered(knowledge, "新的", "新的。")
    assert len(embedder.passages) == 2, "the new row alone: its title, and all of it"


class _FailingEmbedder(HashingEmbedder):
    broken = True

    def embed(self, texts: Sequence[str], kind: Kind) -> Vector:
        if self.broken and kind == "passage":
            raise RuntimeError("out of memory")
        return super().embed(texts, kind)


async def test_a_rebuild_that_fails_is_tried_again(config: KnowledgeConfig, ledger: Ledger, indexed: Path) -> None:
    shutil.rmtree(indexed)
    embedder = _FailingEmbedder()
    async with started(config, ledger, embedder) as knowledge:
        for _ in range(20):
            await answered(knowledge, "VPN 连不上", "重启客户端。")
            await asyncio.sleep(0.01)
        assert knowledge.mender.standing
        embedder.broken = False
        await whole(knowledge, config, ledger)


async def test_words_keep_collections_apart(config: KnowledgeConfig, ledger: Ledger, write: Write) -> None:
    async with open_knowledge(config, embedder=HashingEmbedder(), ledger=ledger) as knowledge:
        await knowledge.sync([write("hr.jsonl", [{"id": 1, "question": "salary", "answer": "x"}])], collection="hr")
        await knowledge.sync([write("faq.jsonl", ROWS)])
    shutil.rmtree(config.uri)
    async with started(config, ledger, mending=False) as knowledge:
        assert await knowledge.retriever.search("salary") == ()
        assert await knowledge.retriever.search("salary", collections=["a' OR '1'='1"]) == ()
        assert len(await knowledge.retriever.search("salary", collections=["hr", "default"])) == 1
        assert await knowledge.retriever.search('怎么办？ AND ( "', collections=["default"]) != ()
