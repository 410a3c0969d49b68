"""kefu's side of `make bench-knowledge`: `python -m tests.bench.knowledge_kefu MATERIAL WORK` prints a JSON object.

Everything goes through the product's front door. Only the embedder is a stand-in that knows every passage's vector, and
a question's is at hand when it is asked, as it is on the other side. Every question is another, with its number at
its end, so that none is answered from a cache.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from knowledge.config import KnowledgeConfig
from knowledge.documents import SourceContents
from knowledge.embedders.base import Kind, Vector
from knowledge.encoder import QueryEncoder
from knowledge.memory_snapshot import MemorySnapshot
from knowledge.process import giving_way
from knowledge.schema import embedded_texts
from knowledge.scope import Scope
from knowledge.service import Knowledge, open_knowledge
from knowledge.values import DEFAULT_COLLECTION, Chunk, Document, Hit
from tests.bench.callers import CALLERS, Search, asked_during, asked_for, bytes_in, figures, resident_bytes
from tests.bench.passages import SYNCS, TOP, Passages, read_passages, recall


class LookedUp:
    """Implements `knowledge.embedders.base.Embedder` with vectors that are there already."""

    name = "looked-up"
    questions_at_once = 8
    window = 512

    def __init__(self, passages: Sequence[Passages]) -> None:
        self.dimension = passages[0].vectors.shape[1]
        self._passages: dict[str, Vector] = {}
        for part in passages:
            for title, text, vector in zip(part.titles, part.texts, part.vectors, strict=True):
                chunk = Chunk(id="", document="", title=title, text=text)
                # Title and whole have one vector here, so their mean is it too.
                self._passages.update(dict.fromkeys(embedded_texts(chunk), vector))

    def embed(self, texts: Sequence[str], kind: Kind) -> Vector:
        return np.stack([self._passages[text] for text in texts])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Rows are never cut: nobody asks."""
        return [0 for _ in texts]

    def close(self) -> None:
        """There is nothing to let go of."""


class Side:
    """One run: what is searched, and where its questions come from."""

    def __init__(self, knowledge: Knowledge, questions: Passages) -> None:
        self._knowledge = knowledge
        self._texts = [" ".join(text.split()) for text in questions.texts]
        self._vectors = questions.vectors
        self.numbers = itertools.count()

    async def hybrid(self, number: int) -> tuple[Hit, ...]:
        """What the product does for a question whose vector it knows."""
        place = number % len(self._texts)
        question = QueryEncoder.prepare(f"{self._texts[place]} {number}")
        retriever = self._knowledge.retriever
        retriever._encoder._vectors.put(question, self._vectors[place])
        return await retriever.search(question, top_k=TOP)

    async def dense(self, number: int) -> tuple[Hit, ...]:
        """By meaning alone, as where the full-text index is damaged: what Chroma does."""
        place = number % len(self._texts)

        async def vector() -> Vector:
            return self._vectors[place]

        snapshot = await self._knowledge.retriever._newest()
        return await snapshot.search(
            self._texts[place], vector, scope=Scope.of([DEFAULT_COLLECTION]), top_k=TOP, full_text=False
        )

    def recall(self, vectors: Vector) -> float:
        """Of the index alone: a search goes on to leave out passages that repeat a better one."""
        return recall([self._nearest(vector) for vector in self._vectors], self._vectors, vectors)

    def _nearest(self, vector: Vector) -> list[int]:
        snapshot = self._knowledge.retriever._snapshot
        assert isinstance(snapshot, MemorySnapshot)
        found = snapshot.vectors.search(vector, None, count=TOP, also=np.empty(0, dtype=np.intp))
        return [_place(name) for name in snapshot.passages.ids(found.rows.tolist())]


def _place(name: str) -> int:
    return int(name.rpartition("#")[2])


def source(parts: Sequence[Passages]) -> Callable[[], Awaitable[SourceContents]]:
    """Each part's passages stand where the former one's of the same place did."""

    def read() -> SourceContents:
        documents: dict[int, Document] = {}
        for part in parts:
            for place, title, text in giving_way(zip(itertools.count(), part.titles, part.texts)):
                documents[place] = Document(id=f"kb.jsonl#{place}", title=title, text=text, format="row")
        return SourceContents(documents=tuple(documents.values()), problems=())

    return lambda: asyncio.to_thread(read)


async def measure(material: Path, work: Path) -> dict[str, Any]:
    passages, questions = read_passages(material, "passages"), read_passages(material, "questions")
    changed = [read_passages(material, f"changed-{number}") for number in range(SYNCS)]
    embedder = LookedUp([passages, *changed])
    config = KnowledgeConfig(uri=str(work / "index"), embedder=embedder.name)
    # What the bench itself holds is not looked through for garbage.
    gc.freeze()
    before = resident_bytes()
    result: dict[str, Any] = {}
    async with open_knowledge(config, embedder=embedder) as knowledge:
        side = Side(knowledge, questions)
        started, spent = time.perf_counter(), time.process_time()
        await knowledge.sync_from(source([passages]))
        result["searchable_seconds"] = time.perf_counter() - started
        await knowledge.retriever.settled()
        result["settled_seconds"] = time.perf_counter() - started
        result["cpu_seconds"] = time.process_time() - spent
        result["passages"] = len(passages.titles)
        result["index_bytes"] = bytes_in(work / "index" / "passages.lance")
        result["disk_bytes"] = bytes_in(work)
        result["resident_bytes"] = resident_bytes() - before
        result["recall"] = side.recall(passages.vectors)
        for name, search in (("dense", side.dense), ("hybrid", side.hybrid)):
            result[name] = {"rest": await at_rest(search, side)}
        for name, search in (("dense", side.dense), ("hybrid", side.hybrid)):
            result[name]["sync"], result[name]["sync_seconds"] = await during_syncs(
                knowledge, search, side, passages, changed
            )
        vectors = passages.vectors.copy()
        vectors[: len(changed[-1].titles)] = changed[-1].vectors
        await knowledge.retriever.settled()
        result["recall_after"] = side.recall(vectors)
    return result


async def at_rest(search: Search, side: Side) -> dict[str, Any]:
    rows = {}
    for callers in CALLERS:
        spent = time.process_time()
        times = await asked_for(search, side.numbers, callers)
        spent = time.process_time() - spent
        rows[str(callers)] = figures(times) | {"cpu": spent / len(times) * 1000}
    return rows


async def during_syncs(
    knowledge: Knowledge, search: Search, side: Side, passages: Passages, changed: Sequence[Passages]
) -> tuple[dict[str, Any], float]:
    rows, longest = {}, 0.0
    for callers, part in zip(CALLERS, changed, strict=True):
        work = knowledge.sync_from(source([passages, part]))
        times, seconds = await asked_during(search, side.numbers, callers, work)
        rows[str(callers)] = figures(times)
        longest = max(longest, seconds)
    return rows, longest


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(Path(sys.argv[1]), Path(sys.argv[2])))))
