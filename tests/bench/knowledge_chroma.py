"""Chroma's side of `make bench-knowledge`: `python -m tests.bench.knowledge_chroma MATERIAL WORK` prints a JSON object.

Runs in an environment of its own, with Chroma and without kefu. Passages go in by as many at once as Chroma takes, with
its own settings for the graph but for the distance; searching is `collection.query` in threads, one a caller, as
a product on asyncio has to.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import chromadb
from chromadb.config import Settings

from tests.bench.callers import CALLERS, asked_during, asked_for, bytes_in, figures, resident_bytes
from tests.bench.passages import SYNCS, TOP, Passages, read_passages, recall

_UPSERT = 100
"""Changed passages at once: as a sync hands them on while it embeds."""


class Side:
    """One collection on the disk, and where its questions come from."""

    def __init__(self, folder: Path, questions: Passages) -> None:
        self._client = chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))
        self._collection = self._client.create_collection(
            "default", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
        )
        self._questions = questions.vectors
        self._pool = ThreadPoolExecutor(max(CALLERS) + 1)
        self.numbers = itertools.count()

    def add(self, passages: Passages) -> None:
        step = self._client.get_max_batch_size()
        for start in range(0, len(passages.titles), step):
            places = range(start, min(start + step, len(passages.titles)))
            self._collection.add(**_rows(passages, places))

    def change(self, passages: Passages) -> None:
        for start in range(0, len(passages.titles), _UPSERT):
            self._collection.upsert(**_rows(passages, range(start, start + _UPSERT)))

    def query(self, number: int) -> Any:
        return self._collection.query(
            query_embeddings=[self._questions[number % len(self._questions)]],
            n_results=TOP,
            include=["documents", "metadatas", "distances"],
        )

    async def search(self, number: int) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.query, number)

    async def work(self, passages: Passages) -> None:
        await asyncio.get_running_loop().run_in_executor(self._pool, self.change, passages)

    def recall(self, vectors: Any) -> float:
        found = [[int(name) for name in self.query(number)["ids"][0]] for number in range(len(self._questions))]
        return recall(found, self._questions, vectors)


def _rows(passages: Passages, places: range) -> dict[str, Any]:
    return {
        "ids": [str(place) for place in places],
        "embeddings": passages.vectors[places.start : places.stop],
        "documents": [passages.texts[place] for place in places],
        "metadatas": [{"title": passages.titles[place], "collection": "default"} for place in places],
    }


async def measure(material: Path, work: Path) -> dict[str, Any]:
    passages, questions = read_passages(material, "passages"), read_passages(material, "questions")
    changed = [read_passages(material, f"changed-{number}") for number in range(SYNCS)]
    gc.freeze()
    before = resident_bytes()
    side = Side(work, questions)
    result: dict[str, Any] = {"version": chromadb.__version__, "passages": len(passages.titles)}
    started, spent = time.perf_counter(), time.process_time()
    side.add(passages)
    side.query(0)
    result["searchable_seconds"] = result["settled_seconds"] = time.perf_counter() - started
    result["cpu_seconds"] = time.process_time() - spent
    result["index_bytes"] = result["disk_bytes"] = bytes_in(work)
    result["resident_bytes"] = resident_bytes() - before
    result["recall"] = side.recall(passages.vectors)
    rest, sync, longest = {}, {}, 0.0
    for callers in CALLERS:
        spent = time.process_time()
        times = await asked_for(side.search, side.numbers, callers)
        rest[str(callers)] = figures(times) | {"cpu": (time.process_time() - spent) / len(times) * 1000}
    for callers, part in zip(CALLERS, changed, strict=True):
        times, seconds = await asked_during(side.search, side.numbers, callers, side.work(part))
        sync[str(callers)] = figures(times)
        longest = max(longest, seconds)
    result["dense"] = {"rest": rest, "sync": sync, "sync_seconds": longest}
    vectors = passages.vectors.copy()
    vectors[: len(changed[-1].titles)] = changed[-1].vectors
    result["recall_after"] = side.recall(vectors)
    return result


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(Path(sys.argv[1]), Path(sys.argv[2])))))
