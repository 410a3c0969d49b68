"""Vectors in memory, and which of them are nearest to a question's.

`FlatVectors` looks at every one of them: exact, and quick as long as they are few. `knowledge.inverted_file` looks at
the likely ones only.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from knowledge.embedders.base import Vector
from knowledge.filters import Mask

Rows = npt.NDArray[np.intp]

# Up to this many multiplications a search takes half a millisecond; past it, it goes to a thread.
_INLINE_PRODUCT = 4_000_000
_BLOCK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Candidates of one question, each row once, in the rows' order."""

    rows: Rows
    cosines: Vector
    mean: float
    """The mean cosine over everything that was to be searched."""


class Vectors(Protocol):
    def is_quick(self, inside: Mask | None) -> bool:
        """Whether this search may be made on the event loop."""

    def search(self, asked: Vector, inside: Mask | None, *, count: int, also: Rows) -> Found:
        """The `count` nearest rows, of those inside (None: of all of them; otherwise at least one), and the rows of
        `also` beside them."""


class FlatVectors:
    """Implements `Vectors` exactly."""

    def __init__(self, matrix: Vector) -> None:
        self.matrix = matrix

    def is_quick(self, inside: Mask | None) -> bool:
        """See `Vectors`."""
        return self.matrix.size <= _INLINE_PRODUCT

    def search(self, asked: Vector, inside: Mask | None, *, count: int, also: Rows) -> Found:
        """See `Vectors`."""
        cosines = self.matrix @ asked
        if inside is None:
            mean, searched = float(cosines.mean()), cosines
        else:
            mean, searched = float(cosines[inside].mean()), np.where(inside, cosines, -np.inf)
        nearest = best(searched, count)
        rows = np.union1d(nearest[np.isfinite(searched[nearest])], also)
        return Found(rows=rows, cosines=cosines[rows], mean=mean)


def best(scores: Vector, count: int, *, above: float = -np.inf) -> Rows:
    """Places of the highest `count` scores, best first; equal ones in their order, so that two
    searches for one question agree. Fewer where fewer are `above` that."""
    reached = _reached_by(scores, count)
    chosen = np.flatnonzero(scores >= reached if reached > above else scores > above)
    ranked: Rows = chosen[np.argsort(-scores[chosen], kind="stable")][:count]
    return ranked


def _reached_by(scores: Vector, count: int) -> float:
    """A score that at least `count` have, and few more of them: the one of that place among the highest of each block,
    which is found in a tenth of the time that the scores themselves take."""
    blocks = len(scores) // _BLOCK
    highest = scores[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(axis=1) if blocks >= count else scores
    if not 0 < count < len(highest):
        return -np.inf
    return float(np.partition(highest, len(highest) - count)[len(highest) - count])
