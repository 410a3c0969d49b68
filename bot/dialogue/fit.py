"""Fits `evidence.json`: how much each feature of a passage says about whether it answers a question.

    python -m bot.dialogue.fit --knowledge MODULE:FUNCTION --embedder NAME [--embedder NAME …] QUESTIONS.jsonl …

FUNCTION(embedder) is an asynchronous context manager that yields a `bot.ports.Knowledge` with the collections the
questions are about; this package does not know the real one. The embedder "words" stands for a search without vectors
(`tests/bench/words.py`); asked for alone, it leaves the other sets as they are.

Lines of the split "tune" are fitted on, lines of "report"
are only measured; the figures of both go into the file.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bot.dialogue.evidence import (
    COEFFICIENTS,
    FEATURES,
    GENERIC,
    GENERIC_FEATURES,
    WORDS,
    WORDS_FEATURES,
    Evidence,
    columns,
    compared,
    features,
)
from bot.dialogue.labelled import LabelledQuestion, figures, read_questions
from bot.dialogue.regression import fitted
from bot.messages import Passage
from bot.ports import Knowledge

PASSAGES = 5
"""A search's passages are judged against each other, so that they are as many as a turn searches for
(`knowledge.top_k`)."""

Opener: TypeAlias = Callable[[str], AbstractAsyncContextManager[Knowledge]]
Found: TypeAlias = list[tuple[Passage, ...]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bot.dialogue.fit", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--knowledge", required=True, metavar="MODULE:FUNCTION")
    parser.add_argument("--embedder", required=True, action="append", dest="embedders")
    parser.add_argument("--out", type=Path, default=COEFFICIENTS)
    parser.add_argument("questions", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    module, _, function = options.knowledge.partition(":")
    opener: Opener = getattr(importlib.import_module(module), function)
    questions = [question for path in options.questions for question in read_questions(path)]
    source = ", ".join(path.name for path in options.questions)
    found = {embedder: asyncio.run(_search(opener, embedder, questions)) for embedder in options.embedders}
    sets = {embedder: _fit(questions, [found[embedder]], _features_of(embedder), source) for embedder in found}
    if vectors := [searches for embedder, searches in found.items() if embedder != WORDS]:
        sets[GENERIC] = _fit(questions, vectors, GENERIC_FEATURES, source)
    else:
        sets = {**json.loads(options.out.read_text(encoding="utf-8")), **sets}
    options.out.write_text(json.dumps(sets, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, one in sets.items():
        sys.stdout.write(f"{name}: {json.dumps(one['report'])}\n")
    return 0


def _features_of(embedder: str) -> Sequence[str]:
    return WORDS_FEATURES if embedder == WORDS else FEATURES


async def _search(opener: Opener, embedder: str, questions: Sequence[LabelledQuestion]) -> Found:
    async with opener(embedder) as knowledge:
        return [
            await knowledge.search(question.question, collections=[question.collection], limit=PASSAGES)
            for question in questions
        ]


def _fit(
    questions: Sequence[LabelledQuestion], found: Sequence[Found], names: Sequence[str], source: str
) -> dict[str, Any]:
    """One set of coefficients over one or several embedders' searches, with its provenance and its figures."""
    rows: list[npt.NDArray[np.float64]] = []
    answers: list[float] = []
    for searches in found:
        for question, passages in zip(questions, searches, strict=True):
            if question.split == "tune" and passages:
                rows.append(features(question.question, compared(passages)))
                answers.extend(float(passage.document in question.documents) for passage in passages)
    regression = fitted(np.concatenate(rows)[:, columns(names)], np.array(answers), names)
    evidence = Evidence(regression=regression)
    stored: dict[str, Any] = {
        **regression.as_json(),
        "fitted_on": f"{source}, split tune, {PASSAGES} passages a question",
    }
    for split in ("tune", "report"):
        stored[split] = asdict(_measure(evidence, questions, found[0], split))
    return stored


def _measure(evidence: Evidence, questions: Sequence[LabelledQuestion], found: Found, split: str) -> Any:
    chosen = [at for at, question in enumerate(questions) if question.split == split]
    return figures(
        [questions[at] for at in chosen],
        [found[at] for at in chosen],
        [evidence.chances(questions[at].question, found[at]) for at in chosen],
    )


if __name__ == "__main__":
    raise SystemExit(main())
