"""Retrieval figures, on our own questions and on sets that none of us wrote: one table for both embedded embedders.

    python -m tests.bench.retrieval ../shared/data --keep /tmp/vectors

Each set is synced into an index of its own through the front door and every question is searched; a row of the table is
the search or one of its halves alone. Embedding takes half an hour on two cores the first time; `--keep DIR` keeps the
vectors for the next.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

from tqdm import tqdm

from knowledge.config import KnowledgeConfig
from knowledge.embedders import create_embedder
from knowledge.embedders.base import Embedder
from knowledge.encoder import QueryEncoder
from knowledge.evaluation import Figures, HalvesFigures, figures
from knowledge.memory_snapshot import MemorySnapshot
from knowledge.scope import Scope
from knowledge.service import Knowledge, open_knowledge
from knowledge.values import Hit, Stamp
from knowledge.words import WordSnapshot
from tests.bench.kept_vectors import KeptVectors
from tests.bench.retrieval_sets import Asked, Dataset, datasets

EMBEDDERS = ("multilingual-e5-small", "use-multilingual")
_RANKED = 10
# Of one document several passages may stand before the tenth document.
_DEPTH = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    dataset: str
    embedder: str
    questions: int
    passages: int
    found: HalvesFigures


async def measure(sets: Sequence[Dataset], embedder: Embedder, *, limit: int | None) -> list[Measured]:
    """Syncs what the sets have in common, and asks."""
    with tempfile.TemporaryDirectory() as folder:
        config = KnowledgeConfig(uri=str(Path(folder) / "index"), embedder=embedder.name)
        async with open_knowledge(config, embedder=embedder) as knowledge:
            await _sync(knowledge, sets[0])
            passages = await knowledge.check()
            return [
                Measured(
                    dataset=dataset.name,
                    embedder=embedder.name,
                    questions=len(dataset.questions[:limit]),
                    passages=passages,
                    found=await _ask(knowledge, dataset, dataset.questions[:limit]),
                )
                for dataset in sets
            ]


async def _sync(knowledge: Knowledge, dataset: Dataset) -> None:
    with tqdm(desc=f"{dataset.name}: embedding", leave=False, disable=not sys.stderr.isatty()) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        started, embedded = time.monotonic(), 0
        for collection, paths in dataset.sources.items():
            report = await knowledge.sync(paths, collection=collection, progress=show)
            embedded += report.embedded
            for problem in report.problems:
                print(problem, file=sys.stderr)
    print(f"{dataset.name}: {embedded} passages in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


async def _ask(knowledge: Knowledge, dataset: Dataset, questions: Sequence[Asked]) -> HalvesFigures:
    """The search and each of its halves, on its own."""
    places: list[tuple[int | None, int | None, int | None]] = []
    snapshot = knowledge.retriever._snapshot
    assert isinstance(snapshot, MemorySnapshot)
    words = WordSnapshot(snapshot.passages, Stamp(number=snapshot.number, key=snapshot.key), snapshot.identity)
    for asked in tqdm(questions, desc=f"{dataset.name}: asking", leave=False, disable=not sys.stderr.isatty()):
        hits = await knowledge.retriever.search(asked.text, collections=asked.collections, top_k=_DEPTH)
        question, scope = QueryEncoder.prepare(asked.text), Scope.of(asked.collections)
        vector = partial(knowledge.retriever.embed_query, asked.text)
        by_meaning = await snapshot.search(question, vector, scope=scope, top_k=_DEPTH, full_text=False)
        by_words = await words.search(question, vector, scope=scope, top_k=_DEPTH)
        places.append(
            (
                _place(by_meaning, asked, dataset),
                _place(by_words, asked, dataset),
                _place(hits, asked, dataset),
            )
        )
    dense, lexical, fused = (figures(column) for column in zip(*places, strict=True))
    return HalvesFigures(dense=dense, lexical=lexical, fused=fused)


def _place(hits: Iterable[Hit], asked: Asked, dataset: Dataset) -> int | None:
    """The place, from 1, of the first right hit; None past the tenth."""
    seen: set[str] = set()
    for hit in hits:
        right = asked.right(hit)
        # Of a document's passages the best one stands for it.
        if dataset.by_document and not right and hit.document in seen:
            continue
        seen.add(hit.document if dataset.by_document else hit.id)
        if len(seen) > _RANKED:
            return None
        if right:
            return len(seen)
    return None


def table(measured: Sequence[Measured]) -> Iterator[str]:
    """Markdown, a row for each set, embedder and way to search; bold where nothing is better."""
    yield "| set | embedder | | recall@1 | recall@5 | MRR@10 |"
    yield "|---|---|---|---:|---:|---:|"
    for row in measured:
        ways = (("meaning", row.found.dense), ("words", row.found.lexical), ("both", row.found.fused))
        values = [_values(found) for _, found in ways]
        best = [max(column) for column in zip(*values, strict=True)]
        for place, (way, _) in enumerate(ways):
            cells = (
                f"**{value:.3f}**" if value == top else f"{value:.3f}"
                for value, top in zip(values[place], best, strict=True)
            )
            head = f"{row.dataset}, {row.questions} questions, {row.passages} passages" if not place else ""
            yield f"| {head} | {row.embedder if not place else ''} | {way} | {' | '.join(cells)} |"


def behind(measured: Sequence[Measured]) -> Iterator[str]:
    """Where the search is worse than its better half, and by how much."""
    for row in measured:
        halves = zip(_values(row.found.dense), _values(row.found.lexical), strict=True)
        for name, both, alone in zip(
            ("recall@1", "recall@5", "MRR@10"), _values(row.found.fused), map(max, halves), strict=True
        ):
            if both < alone:
                yield f"behind: {row.dataset}, {row.embedder}, {name} {both:.4f} against {alone:.4f}"


def _values(found: Figures) -> tuple[float, float, float]:
    return found.recall_1, found.recall_5, found.mrr_10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--embedder", action="append", help=f"one of several (default: {', '.join(EMBEDDERS)})")
    parser.add_argument("--limit", type=int, metavar="N", help="ask only the first N questions of each set")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the vectors here, or use those that are")
    parser.add_argument("--only", metavar="NAME", help="sets whose name holds this")
    options = parser.parse_args()
    measured: list[Measured] = []
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        wanted = [one for one in datasets(options.data, work) if options.only is None or options.only in one.name]
        # From the quickest embedder to the slowest, so that something is there early.
        for name in options.embedder or EMBEDDERS[::-1]:
            embedder = KeptVectors(create_embedder(name), options.keep or work / "vectors")
            for _, sharing in groupby(wanted, key=lambda one: one.sources):
                measured += asyncio.run(measure(list(sharing), embedder, limit=options.limit))
    order = {one.name: place for place, one in enumerate(wanted)}
    measured.sort(key=lambda row: order[row.dataset])
    print("\n".join([*table(measured), "", *behind(measured)]))


if __name__ == "__main__":
    main()
