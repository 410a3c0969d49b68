"""Labelled questions: what a file of them holds, and how well passages and their chances do on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from bot.errors import SettingsError
from bot.messages import Passage


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledQuestion:
    """One line: {"question", "expect", "document"?, "collection"?, "split"?}."""

    question: str
    expect: Literal["answer", "refuse"]
    documents: frozenset[str] = frozenset()
    """Ids of the documents that answer it; one is enough."""
    collection: str = "default"
    split: str = "tune"


def read_questions(path: Path) -> list[LabelledQuestion]:
    """The lines that expect an answer or a refusal; those that expect a ticket are about intents.

    :raises SettingsError: a line is not of the form above; names it.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            if row["expect"] not in ("answer", "refuse"):
                continue
            documents = row.get("document", [])
            found.append(
                LabelledQuestion(
                    question=row["question"],
                    expect=row["expect"],
                    documents=frozenset([documents] if isinstance(documents, str) else documents),
                    collection=row.get("collection", "default"),
                    split=row.get("split", "tune"),
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsError(f"{path}:{number}: not a labelled question: {error!r}") from error
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How answering and refusing by chance does on labelled questions. Rates are 0 to 1."""

    questions: int
    first_right: float
    """Of the questions that have an answer: the most likely passage is a right one."""
    answered_right: float
    """Of those: answered, and rightly."""
    answered_wrong: float
    """Of those: answered from a wrong passage."""
    refusal_recall: float
    """Of the questions without an answer: refused."""
    answers_right: float
    """Of everything that was answered: rightly."""
    ece: float
    """Expected calibration error over ten bins of the best passage's chance."""


def figures(
    questions: Sequence[LabelledQuestion],
    found: Sequence[Sequence[Passage]],
    chances: Sequence[Sequence[float]],
    *,
    threshold: float = 0.5,
) -> Figures:
    """One row of passages and of their chances a question."""
    best = [
        max(zip(likely, passages, strict=True), key=lambda pair: pair[0], default=(0.0, None))
        for likely, passages in zip(chances, found, strict=True)
    ]
    chance = np.array([likely for likely, _ in best])
    right = np.array(
        [
            passage is not None and passage.document in question.documents
            for (_, passage), question in zip(best, questions, strict=True)
        ]
    )
    answerable = np.array([question.expect == "answer" for question in questions])
    answered = chance >= threshold
    bins = np.clip((chance * 10).astype(int), 0, 9)
    error = sum(
        abs(chance[bins == at].mean() - right[bins == at].mean()) * (bins == at).mean()
        for at in range(10)
        if (bins == at).any()
    )
    return Figures(
        questions=len(questions),
        first_right=_share(right, answerable),
        answered_right=_share(answered & right, answerable),
        answered_wrong=_share(answered & ~right, answerable),
        refusal_recall=_share(~answered, ~answerable),
        answers_right=_share(right, answered),
        ece=round(float(error), 3),
    )


def _share(what: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_]) -> float:
    return round(float(what[among].mean()), 3) if among.any() else 0.0
