"""The figures of `kefu eval` by name, with their 95 % intervals; and what a team asks of them in its own CI. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

from bot.dialogue.scoring import Asked, Scores
from bot.messages import Language, Outcome
from knowledge.evaluation import ndcg, reciprocal
from knowledge.intervals import Interval, Ratio, difference

Places: TypeAlias = tuple[int, ...]
"""Where a search finds the right documents of one question, from 1."""

_SHARES: Mapping[str, str] = {
    "recall@1": "right document found first",
    "recall@5": "right document among the first 5",
    "mrr": "1 / place of the first right document, mean",
    "ndcg@10": "right documents near the front of the first 10",
    "answers.right": "answered, and right",
    "answers.wrong": "answered, but wrong",
    "answers.refused": "refused though answerable",
    "answers.precision": "right among all that was answered",
    "refusals.recall": "refusals: recall",
    "refusals.precision": "refusals: precision",
    "tickets.recall": "tickets: recall",
    "tickets.precision": "tickets: precision",
}
_IN_LANGUAGE: Mapping[str, str] = {
    "recall@1": "right document found first",
    "answers.right": "answered, and right",
    "refusals.recall": "refusals, recall",
    "tickets.recall": "tickets, recall",
}
_OTHERS: Mapping[str, str] = {
    "calibration_error": "calibration error of the confidence",
    "latency_ms.median": "latency, median",
    "latency_ms.p95": "latency, p95",
}


def _named() -> dict[str, str]:
    languages: tuple[Language, ...] = get_args(Language)
    spoken = {
        f"{language}.{name}": f"{language}: {label}" for language in languages for name, label in _IN_LANGUAGE.items()
    }
    return {**_SHARES, **spoken, **_OTHERS}


LABELS: Mapping[str, str] = MappingProxyType(_named())
"""Every figure there can be, in the order they are shown, and what it says."""


def is_share(name: str) -> bool:
    """Whether the figure is between 0 and 1, and shown in per cent."""
    return name not in _OTHERS


def ratios(asked: Sequence[Asked], places: Sequence[Places | None]) -> dict[str, Ratio]:
    """Every share, question by question. `places` has an entry a question, None where no document is named."""
    found = {**_search(asked, places), **_answers(asked), **_kind(asked, "refuse"), **_kind(asked, "ticket")}
    spoken = {one.question.language for one in asked}
    for language in get_args(Language):
        if language in spoken:
            here = [one.question.language == language for one in asked]
            found |= {f"{language}.{name}": _only(found[name], here) for name in _IN_LANGUAGE}
    return found


def _ratio(of: Sequence[bool], add: Sequence[float | bool]) -> Ratio:
    """The mean of `add` over the questions that count."""
    return Ratio(
        parts=tuple(float(value) if counts else 0.0 for counts, value in zip(of, add, strict=True)),
        wholes=tuple(map(float, of)),
    )


def _only(ratio: Ratio, these: Sequence[bool]) -> Ratio:
    return _ratio([bool(whole) and here for whole, here in zip(ratio.wholes, these, strict=True)], ratio.parts)


def _search(asked: Sequence[Asked], places: Sequence[Places | None]) -> dict[str, Ratio]:
    labelled = [place is not None for place in places]
    known = [place or () for place in places]

    def mean(add: Callable[[Places], float]) -> Ratio:
        return _ratio(labelled, [add(place) for place in known])

    gold = [len(one.question.documents) for one in asked]
    return {
        "recall@1": mean(lambda place: place[:1] == (1,)),
        "recall@5": mean(lambda place: bool(place) and place[0] <= 5),
        "mrr": mean(reciprocal),
        "ndcg@10": _ratio(labelled, [ndcg(place, count) for place, count in zip(known, gold, strict=True)]),
    }


def _answers(asked: Sequence[Asked]) -> dict[str, Ratio]:
    expected = [one.question.expect == "answer" for one in asked]
    answered = [one.became == "answer" for one in asked]
    right = [one.right for one in asked]
    wrong = [was and not good for was, good in zip(answered, right, strict=True)]
    return {
        "answers.right": _ratio(expected, right),
        "answers.wrong": _ratio(expected, wrong),
        "answers.refused": _ratio(expected, [one.became == "refuse" for one in asked]),
        "answers.precision": _ratio(answered, right),
    }


def _kind(asked: Sequence[Asked], kind: Literal["refuse", "ticket"]) -> dict[str, Ratio]:
    expected, became = [one.question.expect == kind for one in asked], [one.became == kind for one in asked]
    name = {"refuse": "refusals", "ticket": "tickets"}[kind]
    return {f"{name}.recall": _ratio(expected, became), f"{name}.precision": _ratio(became, expected)}


# --- As `--json` prints them --------------------------------------------------------------------------


def figures_json(shares: Mapping[str, Ratio], asked: Sequence[Asked], scores: Scores) -> dict[str, dict[str, Any]]:
    """By name: the value, its interval and how many questions it is of. None where there is nothing to say."""
    found = {name: {**_rounded(share.value, share.interval()), "of": share.of} for name, share in shares.items()}
    weighed = sum(one.outcome in (Outcome.ANSWERED, Outcome.REFUSED) for one in asked)
    replied = sum(one.outcome is not None for one in asked)
    others = {
        "calibration_error": (scores.calibration_error if weighed else None, weighed),
        "latency_ms.median": (scores.latency_ms.median, replied),
        "latency_ms.p95": (scores.latency_ms.p95, replied),
    }
    return found | {name: {**_rounded(value, None), "of": of} for name, (value, of) in others.items()}


def differences_json(before: Mapping[str, Ratio], after: Mapping[str, Ratio]) -> dict[str, dict[str, Any]]:
    """By name: how much more `after` has of it, over the same questions."""
    found = {}
    for name, first in before.items():
        second = after[name]
        if first.value is not None and second.value is not None:
            found[name] = _rounded(second.value - first.value, difference(first, second))
    return found


def _rounded(value: float | None, interval: Interval | None) -> dict[str, float | None]:
    return {
        "value": None if value is None else round(value, 4),
        "low": None if interval is None else round(interval.low, 4),
        "high": None if interval is None else round(interval.high, 4),
    }


# --- Thresholds ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """What a figure must reach, or must not pass."""

    figure: str
    kind: Literal["min", "max"]
    bound: float

    def met(self, figures: Mapping[str, Mapping[str, Any]]) -> bool:
        """A figure that could not be measured meets nothing: a gate that measures nothing must not stay open."""
        value = figures.get(self.figure, {}).get("value")
        if value is None:
            return False
        return bool(value >= self.bound if self.kind == "min" else value <= self.bound)


class NoThreshold(ValueError):
    """A text that is no threshold; says why."""


def parse_threshold(text: str, kind: Literal["min", "max"]) -> Threshold:
    """`recall@1=.9`, `answers.wrong=5%`, `latency_ms.p95=2000`.

    :raises NoThreshold: it is not of this form, or there is no such figure.
    """
    name, equals, bound = (part.strip() for part in text.partition("="))
    if not equals:
        raise NoThreshold("is not of the form NAME=VALUE")
    if name not in LABELS:
        raise NoThreshold(f"there is no figure {name!a}; there are {', '.join(LABELS)}")
    try:
        value = float(bound.removesuffix("%")) / (100 if bound.endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise NoThreshold(f"{name} needs a number that is not negative")
    if is_share(name) and value > 1:
        raise NoThreshold(f"{name} is between 0 and 1; write {value:g}% if you mean per cent")
    return Threshold(figure=name, kind=kind, bound=value)
