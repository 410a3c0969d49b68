"""Retrieval figures, on our own questions and on sets that none of us wrote.

    python -m tests.bench.retrieval ../shared/data

Each corpus is synced into an index of its own through the front door and every question is searched; printed are
the search and each of its halves alone. Embedding takes ten minutes on two cores the first time; `--keep DIR`
keeps the indexes for the next.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from knowledge.config import KnowledgeConfig
from knowledge.evaluation import Figures, LabelledQuestion, evaluate
from knowledge.samples import SAMPLE_SOURCES
from knowledge.service import open_knowledge
from knowledge.values import DEFAULT_COLLECTION, Hit

SHOP_QUESTIONS = Path(__file__).parents[1] / "data" / "questions.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    name: str
    sources: Mapping[str, Sequence[Path]]
    """Collection to its sources."""
    questions: tuple[LabelledQuestion, ...]
    collections: Mapping[str, tuple[str, ...]]
    """Question to where it is asked, for those that are not asked of "default"."""


def datasets(data: Path, work: Path, *, handbook: bool) -> list[Dataset]:
    """The sets in `data`; what is no source of `knowledge sync` as it stands is written out to `work`."""
    sets = [_shop(split) for split in ("tune", "report")]
    sets += [_rows(data, "en_stackfaq"), _rows(data, "zh_cmrc2018_dev")]
    if handbook:
        sets.append(_handbook(data / "en_deep_rag_handbook", work / "handbook"))
    return sets


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]


def _shop(split: str) -> Dataset:
    """Our own questions over the sample knowledge, worded unlike its entries."""
    asked = [row for row in _lines(SHOP_QUESTIONS) if row["expect"] == "answer" and row["split"] == split]
    return Dataset(
        name=f"sample shop, {split} half",
        sources=SAMPLE_SOURCES,
        questions=tuple(
            LabelledQuestion(text=row["question"], gold=frozenset(_list(row["document"]))) for row in asked
        ),
        collections={row["question"]: tuple(_list(row["collection"])) for row in asked},
    )


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _rows(data: Path, name: str) -> Dataset:
    source = data / name / "corpus.jsonl"
    questions = tuple(
        LabelledQuestion(text=row["text"], gold=frozenset(f"{source.name}#{gold}" for gold in row["gold"]))
        for row in _lines(data / name / "queries.jsonl")
    )
    return Dataset(name=name, sources={"default": [source]}, questions=questions, collections={})


def _handbook(data: Path, folder: Path) -> Dataset:
    for page in _lines(data / "pages.jsonl"):
        file = folder / page["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page["text"], encoding="utf-8")
    questions = tuple(
        LabelledQuestion(text=row["question"], gold=frozenset(page for gold in row["retrieval"] for page in gold))
        for row in _lines(data / "questions.jsonl")
        # The others need two pages, or a turn before this one.
        if row["type"] == "Single-Text"
    )
    sources = {"default": [folder]}
    return Dataset(name="en_deep_rag_handbook", sources=sources, questions=questions, collections={})


async def measure(dataset: Dataset, *, index: Path, embedder: str, limit: int | None) -> None:
    """Syncs, asks, prints."""
    config = KnowledgeConfig(
        uri=str(index / embedder.replace("/", "-") / dataset.name.split(",")[0]), embedder=embedder
    )
    async with open_knowledge(config) as knowledge:
        with tqdm(desc=f"{dataset.name}: embedding", leave=False, disable=not sys.stderr.isatty()) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            started = time.monotonic()
            embedded = 0
            for collection, paths in dataset.sources.items():
                report = await knowledge.sync(paths, collection=collection, progress=show)
                embedded += report.embedded
                for problem in report.problems:
                    print(problem, file=sys.stderr)
            synced = time.monotonic() - started
        questions = dataset.questions[:limit]
        with tqdm(desc=f"{dataset.name}: asking", leave=False, disable=not sys.stderr.isatty()) as bar:

            async def search(text: str, count: int) -> Sequence[Hit]:
                bar.update()
                collections = dataset.collections.get(text, (DEFAULT_COLLECTION,))
                return await knowledge.retriever.search(text, collections=collections, top_k=count)

            bar.total = len(questions)
            result = await evaluate(search, questions)
        passages = await knowledge.check()
    print(
        f"{dataset.name}: {len(questions)} questions, {passages} passages, {embedder}; "
        f"{embedded} embedded in {synced:.0f} s"
    )
    for half, found in (("dense", result.dense), ("full text", result.lexical), ("both", result.fused)):
        print(_row(half, found))
    print(flush=True)


def _row(half: str, found: Figures) -> str:
    return f"  {half:<10} recall@1 {found.recall_1:.3f}   recall@5 {found.recall_5:.3f}   MRR@10 {found.mrr_10:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--embedder", default="multilingual-e5-small")
    parser.add_argument("--limit", type=int, metavar="N", help="ask only the first N questions of each set")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the indexes here, or use those that are")
    parser.add_argument("--handbook", action="store_true", help="also 50 long Markdown pages: 10 minutes more")
    parser.add_argument("--only", metavar="NAME", help="sets whose name holds this")
    options = parser.parse_args()
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for dataset in datasets(options.data, work, handbook=options.handbook):
            if options.only is None or options.only in dataset.name:
                asyncio.run(
                    measure(dataset, index=options.keep or work, embedder=options.embedder, limit=options.limit)
                )


if __name__ == "__main__":
    main()
