"""F29: a knowledge index whose writers are killed while it is searched, and one that changes all day."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from knowledge.config import KnowledgeConfig
from knowledge.documents import SourceContents
from knowledge.index import KnowledgeIndex
from knowledge.service import Knowledge, open_knowledge
from knowledge.sync import Read
from knowledge.values import Document
from tests.faults.seeds import begin
from tests.knowledge.crashing import assert_nothing_left_behind, kill_syncs, two_states
from tests.knowledge.hashing import HashingEmbedder

pytestmark = pytest.mark.faults

QUERIES = 10_000
SEARCHERS = 8
UPDATES = 1_000
DOCUMENTS = 40
CHANGES = 50
"""At least so many, while they are asked."""
COLLECTIONS = ("ours", "theirs")


@pytest.mark.timeout(600)
async def test_twenty_kills_never_leave_a_mixture(tmp_path: Path) -> None:
    config = KnowledgeConfig(uri=str(tmp_path / "index"), embedder="hashing")
    await kill_syncs(config, two_states(tmp_path), tmp_path / "kefu.db", 20)


@dataclass(slots=True)
class _Shop:
    """Two collections that are changed, and by version what stood in each."""

    knowledge: Knowledge
    chance: random.Random
    stands: dict[str, dict[str, str]] = field(default_factory=lambda: {name: {} for name in COLLECTIONS})
    versions: dict[int, dict[str, frozenset[str]]] = field(default_factory=dict)
    newest: int = 0

    async def change(self, revision: int) -> None:
        """Makes one collection another: some documents new, some changed, some gone; now and then one for good."""
        collection = self.chance.choice(COLLECTIONS)
        documents = self.stands[collection]
        for number in self.chance.sample(range(DOCUMENTS), 5):
            documents[f"{number}.txt"] = f"question {number} answer of {collection} in revision {revision}"
        for name in self.chance.sample(sorted(documents), len(documents) // 8):
            del documents[name]
        report = await self.knowledge.sync_from(self.read(collection), collection=collection)
        self._note(report.version)
        if revision % 10 == 0:
            name = self.chance.choice(sorted(documents))
            del documents[name]
            self._note((await self.knowledge.forget(name, collection=collection)).version)

    def read(self, collection: str) -> Read:
        """What stands in it now, as a source."""
        texts = dict(self.stands[collection])

        async def read() -> SourceContents:
            documents = tuple(
                Document(id=name, title=name, text=text, format="text") for name, text in sorted(texts.items())
            )
            return SourceContents(documents=documents, problems=())

        return read

    def _note(self, version: int) -> None:
        self.versions[version] = {name: frozenset(texts.values()) for name, texts in self.stands.items()}
        self.newest = max(self.newest, version)


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is searched is too large for memory, and so has LanceDB's indexes."""
    monkeypatch.setattr("knowledge.table_indexes.MAX_PASSAGES_IN_MEMORY", 1)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("most_in_memory", [1, 200_000], ids=["on the disk", "in memory"])
async def test_what_is_gone_or_foreign_is_never_found_while_the_index_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_in_memory: int
) -> None:
    """P22: 10,000 queries beside syncs, deletions and their cleaning-up."""
    monkeypatch.setattr("knowledge.table_indexes.MAX_PASSAGES_IN_MEMORY", most_in_memory)
    chance, report = begin("F29 queries")
    config = KnowledgeConfig(uri=str(tmp_path / "index"), embedder="hashing")
    async with open_knowledge(config, embedder=HashingEmbedder()) as knowledge:
        shop = _Shop(knowledge, chance)
        await shop.change(1)
        found: list[tuple[int, str, str]] = []
        numbers = itertools.count()
        changes = 1

        async def search() -> None:
            # In memory 10,000 are answered before there were many changes.
            while (number := next(numbers)) < QUERIES or changes <= CHANGES:
                collection = COLLECTIONS[number % 2]
                since = shop.newest
                text = f"question {number % DOCUMENTS} revision {number}"
                hits = await knowledge.retriever.search(text, collections=(collection,))
                for hit in hits:
                    assert hit.collection == collection
                    assert hit.version >= since, "what a sync has removed is found after it"
                    found.append((hit.version, collection, hit.text))

        searching = asyncio.gather(*(search() for _ in range(SEARCHERS)))
        while not searching.done():
            changes += 1
            await shop.change(changes)
        await searching
        for version, collection, text in found:
            assert text in shop.versions[version][collection], "not of this version"
        report["queries"], report["hits"], report["changes"] = next(numbers), len(found), changes
    report.print()
    assert len(found) > QUERIES
    assert changes > CHANGES


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("on_disk")
async def test_a_thousand_updates_leave_nothing_behind(tmp_path: Path) -> None:
    """P22: no more than three times what a new index of the same content takes, and all of it is indexed."""
    chance, report = begin("F29 updates")
    config = KnowledgeConfig(uri=str(tmp_path / "index"), embedder="hashing")
    largest = 0
    async with open_knowledge(config, embedder=HashingEmbedder()) as knowledge:
        shop = _Shop(knowledge, chance)
        for revision in range(1, UPDATES + 1):
            await shop.change(revision)
            if revision % 50 == 0:
                largest = max(largest, await asyncio.to_thread(_bytes, Path(config.uri) / "passages.lance"))
    unindexed = await _unindexed(config)
    fresh = KnowledgeConfig(uri=str(tmp_path / "fresh"), embedder="hashing")
    async with open_knowledge(fresh, embedder=HashingEmbedder()) as knowledge:
        for collection in COLLECTIONS:
            await knowledge.sync_from(shop.read(collection), collection=collection)
    report["largest"] = largest
    report["fresh"] = await asyncio.to_thread(_bytes, Path(fresh.uri) / "passages.lance")
    report.print()
    assert largest <= 3 * report.counts["fresh"]
    assert unindexed
    assert not any(unindexed)
    await assert_nothing_left_behind(config, indexes=1)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def _unindexed(config: KnowledgeConfig) -> list[int]:
    """Rows that are in no index, for each index."""
    index = await KnowledgeIndex.connect(config.uri)
    live = await index.open_live()
    assert live is not None
    counts = []
    for made in await live.table.list_indices():
        stats = await live.table.index_stats(made.name)
        assert stats is not None
        counts.append(stats.num_unindexed_rows)
    index.close()
    return counts
