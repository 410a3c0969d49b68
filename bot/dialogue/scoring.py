"""How well a file of labelled questions was answered: figures over what became of each. Pure.

Shares are 0 to 1, and None where there was nothing to take a share of.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

import numpy as np

from bot.dialogue.labelled import Expect, LabelledQuestion, calibration_error
from bot.dialogue.text import fold
from bot.messages import Language, Outcome

Became: TypeAlias = Literal["answer", "refuse", "ticket", "other"]
"""What became of a question, in the words of what was expected; "other" is small talk, an error, or no reply at all."""

_BECAME: Mapping[Outcome, Became] = MappingProxyType(
    {
        Outcome.ANSWERED: "answer",
        Outcome.REFUSED: "refuse",
        Outcome.TICKET: "ticket",
        Outcome.HANDOFF: "ticket",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One labelled question and the reply to it."""

    question: LabelledQuestion
    outcome: Outcome | None
    """None where no reply came."""
    text: str = ""
    sources: frozenset[str] = frozenset()
    """Ids of the documents that the reply names."""
    confidence: float = 0.0
    """As the reply states it, 0 to 1."""
    latency_ms: float = 0.0

    @property
    def became(self) -> Became:
        return _BECAME.get(self.outcome, "other") if self.outcome is not None else "other"

    @property
    def right(self) -> bool:
        """Whether it is the right answer: one was expected and given, it names a document that holds it, and it has
        the words that it must."""
        labelled = self.question
        return (
            labelled.expect == self.became == "answer"
            and (not labelled.documents or bool(labelled.documents & self.sources))
            and all(holds(self.text, words) for words in labelled.words)
        )


_DASHES = re.compile("[\u2010-\u2015\u2212~\uff5e\u301c]")
_GROUPS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_BLANKS = re.compile(r"(?<!\d)\s+|\s+(?!\d)")
"""All but those between two figures, which would become one."""


def holds(text: str, words: str) -> bool:
    """Whether a text has the words. Width, case, script, blanks, kinds of dash and digit groups do not count; a figure
    is found as a whole only, so that 8 is not in 18, 1.8 or 8.5."""
    wanted = _plain(words)
    before = r"(?<!\d)(?<!\d[.,])" if wanted[:1].isdigit() else ""
    after = r"(?!\d)(?![.,]\d)" if wanted[-1:].isdigit() else ""
    return re.search(before + re.escape(wanted) + after, _plain(text)) is not None


def _plain(text: str) -> str:
    return _BLANKS.sub("", _GROUPS.sub("", _DASHES.sub("-", fold(text))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Of the questions that expect an answer."""

    expected: int
    right: float | None
    wrong: float | None
    """Answered, but from another document or without the words."""
    refused: float | None
    """Refused though the knowledge answers it."""
    precision: float | None
    """Of everything that was answered, whatever was expected: rightly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """How well one kind of question is told from the others."""

    expected: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InLanguage:
    """The main figures over the questions of one language."""

    questions: int
    right: float | None
    refusals: float | None
    """Recall."""
    tickets: float | None
    """Recall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds from handing a question in to its whole reply; None where no reply came."""

    median: float | None
    p95: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """All figures of one run."""

    questions: int
    answers: Answers
    refusals: Detection
    tickets: Detection
    confusion: Mapping[Expect, Mapping[Became, int]]
    """How many of what was expected became what."""
    calibration_error: float
    """Of the stated confidence of what was answered or refused. A refusal gives no answer, so that it counts as not
    right, whatever was expected."""
    languages: Mapping[Language, InLanguage]
    latency_ms: Latency


def score(asked: Sequence[Asked]) -> Scores:
    """The figures of a run."""
    confusion = Counter((one.question.expect, one.became) for one in asked)
    weighed = [one for one in asked if one.outcome in (Outcome.ANSWERED, Outcome.REFUSED)]
    stated = np.array([one.confidence for one in weighed], dtype=np.float64)
    right = np.array([one.right for one in weighed], dtype=np.bool_)
    languages: tuple[Language, ...] = get_args(Language)
    spoken = {language: [one for one in asked if one.question.language == language] for language in languages}
    return Scores(
        questions=len(asked),
        answers=_answers(asked),
        refusals=_detection(asked, "refuse"),
        tickets=_detection(asked, "ticket"),
        confusion={
            expect: {became: confusion[expect, became] for became in get_args(Became)} for expect in get_args(Expect)
        },
        calibration_error=round(calibration_error(stated, right), 4),
        languages={language: _in_language(some) for language, some in spoken.items() if some},
        latency_ms=_latency([one.latency_ms for one in asked if one.outcome is not None]),
    )


def _answers(asked: Sequence[Asked]) -> Answers:
    expected = [one for one in asked if one.question.expect == "answer"]
    right = sum(one.right for one in expected)
    answered = sum(one.became == "answer" for one in expected)
    return Answers(
        expected=len(expected),
        right=_share(right, len(expected)),
        wrong=_share(answered - right, len(expected)),
        refused=_share(sum(one.became == "refuse" for one in expected), len(expected)),
        precision=_share(right, sum(one.became == "answer" for one in asked)),
    )


def _detection(asked: Sequence[Asked], kind: Literal["refuse", "ticket"]) -> Detection:
    expected = sum(one.question.expect == kind for one in asked)
    found = sum(one.question.expect == one.became == kind for one in asked)
    return Detection(
        expected=expected,
        recall=_share(found, expected),
        precision=_share(found, sum(one.became == kind for one in asked)),
    )


def _in_language(asked: Sequence[Asked]) -> InLanguage:
    return InLanguage(
        questions=len(asked),
        right=_answers(asked).right,
        refusals=_detection(asked, "refuse").recall,
        tickets=_detection(asked, "ticket").recall,
    )


def _latency(times: Sequence[float]) -> Latency:
    if not times:
        return Latency(median=None, p95=None)
    median, p95 = np.percentile(np.array(times), [50, 95])
    return Latency(median=round(float(median), 1), p95=round(float(p95), 1))


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
