"""How far a figure may lie from what more questions would show: 95 % intervals.

A file of labelled questions is a sample. Two hundred questions leave a share of one half open by seven points to either
side; a change of two points on them is no news. Nothing here is left to chance: the resamples are always the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

_Z = 1.959964  # the normal distribution leaves 2.5 % on either side of it
_RESAMPLES = 2000
_AT_ONCE = 200
"""Resamples in memory together: 16 MB for 10,000 questions."""
_SEED = 20_240_607

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A figure over questions: the sum of what each adds above the line, by the sum of what it adds below.

    A share adds 1 below for every question that counts, and 1 above for those that have it. Both have one entry a
    question, in the order of the file, also for those that add nothing: two runs over the same file can then be
    compared question by question.
    """

    parts: Sequence[float]
    wholes: Sequence[float]

    @property
    def of(self) -> int:
        """How many questions count."""
        return sum(whole > 0 for whole in self.wholes)

    @property
    def value(self) -> float | None:
        """None where no question counts."""
        whole = sum(self.wholes)
        return sum(self.parts) / whole if whole else None

    def interval(self) -> Interval | None:
        """Wilson's for a share, which holds for few questions and at 0 and 1; resampled for any other mean."""
        if not self.of:
            return None
        if set(self.parts) | set(self.wholes) <= {0, 1}:
            return wilson(round(sum(self.parts)), self.of)
        return _middle(_resampled(np.array([self.parts, self.wholes], dtype=np.float64)))


def wilson(hits: int, of: int) -> Interval:
    """Wilson's score interval of a share, 0 to 1."""
    share, square = hits / of, _Z * _Z
    middle = (share + square / (2 * of)) / (1 + square / of)
    spread = _Z * sqrt(share * (1 - share) / of + square / (4 * of * of)) / (1 + square / of)
    return Interval(low=max(0.0, middle - spread), high=min(1.0, middle + spread))


def difference(before: Ratio, after: Ratio) -> Interval | None:
    """What `after` has more than `before`, over the same questions: resampled together, so that a question that both
    fail does not count as noise. None where one of them has no value.

    :raises ValueError: they are not about the same number of questions.
    """
    if len(before.parts) != len(after.parts):
        raise ValueError("two runs can be compared over the same questions only")
    if before.value is None or after.value is None:
        return None
    first, second = (np.array([one.parts, one.wholes], dtype=np.float64) for one in (before, after))
    # The seed is the same, and so are the resamples.
    return _middle(_resampled(second) - _resampled(first))


def _resampled(columns: Array) -> Array:
    """The figure in each resample; `columns`, of shape (2, questions), are parts and wholes. NaN where none counts."""
    chance = np.random.default_rng(_SEED)
    questions = columns.shape[1]
    even = np.full(questions, 1 / questions)
    sums = np.concatenate(
        [chance.multinomial(questions, even, size=_AT_ONCE) @ columns.T for _ in range(_RESAMPLES // _AT_ONCE)]
    )
    wholes = sums[:, 1]
    figures: Array = np.divide(sums[:, 0], wholes, out=np.full(len(sums), np.nan), where=wholes > 0)
    return figures


def _middle(figures: Array) -> Interval:
    """What holds 95 % of the resamples that have a figure at all."""
    low, high = np.nanpercentile(figures, [2.5, 97.5])
    return Interval(low=float(low), high=float(high))
