"""Labelled questions: what a file of them holds, and how well passages and their chances do on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from bot.dialogue.language import shown
from bot.errors import SettingsError
from bot.messages import Language, Passage

Expect: TypeAlias = Literal["answer", "refuse", "ticket"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledQuestion:
    """One line: {"question", "expect", "document"?, "answer"?, "collection"?, "language"?, "split"?}."""

    question: str
    expect: Expect
    documents: frozenset[str] = frozenset()
    """Ids of the documents that answer it; one is enough."""
    words: tuple[str, ...] = ()
    """Words or figures that the answer must hold, all of them."""
    collection: str = "default"
    language: Language = "en"
    """As the line says, else the one the question is written in."""
    split: str = "tune"


class NotLabelled(ValueError):
    """A line that is no labelled question; the text says why, and repeats nothing of it."""


def parse_line(line: bytes | str) -> LabelledQuestion:
    """One line. Fields other than those above are the file's own business.

    :raises NotLabelled: it is not of the form above.
    """
    try:
        row = json.loads(line)
    except ValueError:  # UnicodeDecodeError and JSONDecodeError are both one
        raise NotLabelled("is not JSON in UTF-8") from None
    except RecursionError:
        raise NotLabelled("is nested too deeply") from None
    if not isinstance(row, dict):
        raise NotLabelled("is not a JSON object")
    question = row.get("question")
    if not isinstance(question, str) or not question.strip():
        raise NotLabelled('"question" must be a text that is not empty')
    if row.get("expect") not in get_args(Expect):
        raise NotLabelled('"expect" must be "answer", "refuse" or "ticket"')
    return LabelledQuestion(
        question=question,
        expect=row["expect"],
        documents=frozenset(_texts(row, "document")),
        words=_texts(row, "answer"),
        collection=_name(row, "collection", "default"),
        language="zh" if _name(row, "language", shown(question) or "en") == "zh" else "en",
        split=_name(row, "split", "tune"),
    )


def _texts(row: dict[str, Any], key: str) -> tuple[str, ...]:
    value = row.get(key, [])
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
        raise NotLabelled(f'"{key}" must be a text or a list of texts')
    return tuple(texts)


def _name(row: dict[str, Any], key: str, usual: str) -> str:
    value = row.get(key, usual)
    if not isinstance(value, str) or not value:
        raise NotLabelled(f'"{key}" must be a name')
    return value


def read_questions(path: Path) -> list[LabelledQuestion]:
    """The lines that expect an answer or a refusal; those that expect a ticket are about intents.

    :raises SettingsError: a line is not of the form above; names it.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            question = parse_line(line)
        except NotLabelled as error:
            raise SettingsError(f"{path}:{number}: {error}") from None
        if question.expect != "ticket":
            found.append(question)
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
    return Figures(
        questions=len(questions),
        first_right=_share(right, answerable),
        answered_right=_share(answered & right, answerable),
        answered_wrong=_share(answered & ~right, answerable),
        refusal_recall=_share(~answered, ~answerable),
        answers_right=_share(right, answered),
        ece=round(calibration_error(chance, right), 3),
    )


def calibration_error(stated: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error, 0 to 1: how far what was stated lies from how often it was right, over ten bins of
    equal width, each weighted by its size. Both are of shape (samples,); 0 for no samples."""
    bins = np.clip((stated * 10).astype(int), 0, 9)
    return float(
        sum(
            abs(stated[bins == at].mean() - right[bins == at].mean()) * (bins == at).mean()
            for at in range(10)
            if (bins == at).any()
        )
    )


def _share(what: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_]) -> float:
    return round(float(what[among].mean()), 3) if among.any() else 0.0
