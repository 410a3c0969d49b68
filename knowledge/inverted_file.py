"""Many vectors in lists of neighbours: a search looks into the likely lists, one vector in thirty, and no further.

A plain inverted file (k-means), in numpy. What it finds has its true cosine, so scores mean what they mean without
it; it only ever misses. Figures, and what else was tried: docs/decisions/0009-large-knowledge.md.
"""

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from knowledge.background import Pause
from knowledge.embedders.base import Vector
from knowledge.filters import Mask
from knowledge.vectors import Found, Rows, best

# Up to this many passages every vector is looked at: 3 ms. An inverted file takes .6 ms there, and misses.
FLAT_UP_TO = 20_000

# Times the square root of the passages: how many lists.
_LISTS = 3.2
# The share of the lists that is looked into, and how many at least.
_PROBED_SHARE = 1 / 42
_PROBED_AT_LEAST = 24
# Of a scope with fewer passages than this, all are looked at: the nearest of a few stand in more lists than of all.
_EXACT_UP_TO = 4_000

_ROUNDS = 6
_SAMPLE_A_LIST = 40
_SEED = 5  # any: the same vectors give the same lists at every start

# Vectors between two pauses: 50 ms.
_STEP = 4096
# Lists are made anew when there are this many times more or fewer passages than they were made of, or when the
# passages' mean cosine with their list's middle has fallen by so much: other texts are there.
_OUTGROWN = 1.5
_UNLIKE = 0.01

_KEPT_SCOPES = 16

Labels = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Middles:
    """Of each list its middle, as k-means found them for so many passages."""

    matrix: Vector
    passages: int
    likeness: float
    """The mean product of those passages with their list's middle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Which list each vector is in."""

    middles: Middles
    labels: Labels
    likeness: float

    @property
    def suits(self) -> bool:
        """Whether the lists still do for what the passages are now."""
        now, then = len(self.labels), self.middles.passages
        return max(now, then) <= _OUTGROWN * min(now, then) and self.likeness >= self.middles.likeness - _UNLIKE


def train(matrix: Vector, pause: Pause) -> Middles:
    """Finds the lists' middles with a sample of the vectors: 2 s for 100,000, the same for the same vectors."""
    chance = np.random.default_rng(_SEED)
    count = min(len(matrix), int(_LISTS * math.sqrt(len(matrix))))
    places = np.sort(chance.permutation(len(matrix))[: count * _SAMPLE_A_LIST])
    sample = matrix[places]
    middles = sample[chance.permutation(len(sample))[:count]].copy()
    for _ in range(_ROUNDS):
        labels, _ = _labels(sample, middles, pause)
        order = np.argsort(labels, kind="stable")
        sizes = np.bincount(labels, minlength=count)
        filled = sizes > 0
        starts = np.cumsum(sizes) - sizes
        sums = np.add.reduceat(sample[order], starts[filled], axis=0)
        middles[filled] = sums / sizes[filled, None]
        # What was nobody's nearest begins anew somewhere.
        middles[~filled] = sample[chance.permutation(len(sample))[: count - int(filled.sum())]]
    middles = middles[_in_a_chain(middles)]
    _, likeness = _labels(sample, middles, pause)
    return Middles(matrix=middles, passages=len(matrix), likeness=likeness)


def _in_a_chain(middles: Vector) -> Rows:
    """An order in which each middle is followed by the nearest one that is left: most lists that a question looks into
    then stand side by side, and are looked at in one go."""
    products = middles @ middles.T
    order = np.zeros(len(middles), dtype=np.intp)
    products[:, 0] = -np.inf
    for place in range(1, len(order)):
        order[place] = np.argmax(products[order[place - 1]])
        products[:, order[place]] = -np.inf
    return order


def sort_into(middles: Middles, matrix: Vector, pause: Pause) -> Placed:
    """Finds each vector's list: .5 s for 100,000."""
    labels, likeness = _labels(matrix, middles.matrix, pause)
    return Placed(middles=middles, labels=labels, likeness=likeness)


def _labels(matrix: Vector, middles: Vector, pause: Pause) -> tuple[Labels, float]:
    """The nearest middle of each vector, and the mean product with it."""
    half = (middles * middles).sum(axis=1) / 2
    labels = np.empty(len(matrix), dtype=np.int32)
    total = 0.0
    for start in range(0, len(matrix), _STEP):
        pause()
        part = matrix[start : start + _STEP]
        products = part @ middles.T
        nearest = np.argmax(products - half, axis=1)
        labels[start : start + _STEP] = nearest
        total += float(products[np.arange(len(part)), nearest].sum())
    return labels, total / max(1, len(matrix))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Selection:
    """What a scope means for the lists."""

    sizes: npt.NDArray[np.intp]
    """How many of its vectors each list has."""

    mean: Vector
    places: Rows | None
    """All its places, where they are so few that none is left out."""

    inside: Mask | None
    """By place; None where everything is inside."""

    probed: int


class InvertedFile:
    """Implements `knowledge.vectors.Vectors`, nearly."""

    def __init__(self, placed: Placed, matrix: Vector, pause: Pause, *, in_place: bool = False) -> None:
        """Puts the vectors in their lists' order: `in_place`, in the matrix itself, when nobody else reads it."""
        self.middles = placed.middles
        sizes = np.bincount(placed.labels, minlength=len(self.middles.matrix)).astype(np.intp)
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes
        self._rows = np.argsort(placed.labels, kind="stable").astype(np.int32)
        self._places = np.empty(len(matrix), dtype=np.int32)
        self._places[self._rows] = np.arange(len(matrix), dtype=np.int32)
        self._matrix = matrix if in_place else np.empty_like(matrix)
        _reorder(matrix, self._rows, self._matrix, pause)
        self._selections: OrderedDict[bytes, _Selection] = OrderedDict()
        self._selecting = threading.Lock()
        self._everything = self._select(None)

    def is_quick(self, inside: Mask | None) -> bool:
        """See `Vectors`. A search takes 2 ms with all that belongs to it, and handing it to a thread half of that; in a
        scope that was not asked for lately it takes 20."""
        return inside is None or _key(inside) in self._selections

    def search(self, asked: Vector, inside: Mask | None, *, count: int, also: Rows) -> Found:
        """See `Vectors`."""
        selection = self._everything if inside is None else self._selection(inside)
        places, cosines = self._likely(asked, selection)
        nearest = best(cosines, count)
        rows = self._rows[places[nearest]].astype(np.intp)
        further = _without(also, rows)
        rows = np.concatenate([rows, further])
        cosines = np.concatenate([cosines[nearest], self._matrix[self._places[further]] @ asked])
        order = np.argsort(rows)
        return Found(rows=rows[order], cosines=cosines[order], mean=float(selection.mean @ asked))

    def _likely(self, asked: Vector, selection: _Selection) -> tuple[Rows, Vector]:
        """Places, and the cosines of what stands there."""
        if selection.places is not None:
            return selection.places, self._matrix[selection.places] @ asked
        products = np.where(selection.sizes > 0, self.middles.matrix @ asked, -np.inf)
        lists = np.sort(best(products, selection.probed))
        starts, ends = self._starts[lists], self._ends[lists]
        parted = starts[1:] != ends[:-1]
        firsts, lasts = starts[np.append(True, parted)], ends[np.append(parted, True)]
        bounds = list(zip(firsts.tolist(), lasts.tolist(), strict=True))
        cosines = np.concatenate([self._matrix[start:end] @ asked for start, end in bounds])
        places = np.concatenate([np.arange(start, end) for start, end in bounds])
        if selection.inside is not None:
            kept = selection.inside[places]
            places, cosines = places[kept], cosines[kept]
        return places, cosines

    def _selection(self, inside: Mask) -> _Selection:
        """Kept for the scopes asked for last, of which a channel has one or two."""
        key = _key(inside)
        # Without the lock, which who looks for another scope holds for long.
        if (found := self._selections.get(key)) is not None:
            return found
        with self._selecting:
            found = self._selections[key] = self._select(inside)
            if len(self._selections) > _KEPT_SCOPES:
                self._selections.popitem(last=False)
        return found

    def _sum(self, weights: Vector) -> Vector:
        """Of all vectors. In steps: numpy keeps the interpreter's lock for as long as one takes."""
        total = np.zeros(self._matrix.shape[1], dtype=np.float32)
        for start in range(0, len(weights), _STEP):
            total += weights[start : start + _STEP] @ self._matrix[start : start + _STEP]
        return total

    def _select(self, inside: Mask | None) -> _Selection:
        chosen = np.ones(len(self._rows), dtype=np.bool_) if inside is None else inside[self._rows]
        weights = chosen.astype(np.float32)
        allowed = int(weights.sum())
        ends = np.concatenate([[0.0], np.cumsum(weights, dtype=np.float64)])
        sizes = (ends[self._ends] - ends[self._starts]).astype(np.intp)
        filled = int((sizes > 0).sum())
        probed = max(_PROBED_AT_LEAST, round(len(sizes) * _PROBED_SHARE))
        if inside is not None:
            # The fewer of a list are inside, the more lists hold the nearest of them.
            probed = round(probed * math.sqrt(self._ends[-1] / max(1, allowed)))
        return _Selection(
            sizes=sizes,
            mean=self._sum(weights) / np.float32(max(1, allowed)),
            places=np.flatnonzero(chosen) if inside is not None and allowed <= _EXACT_UP_TO else None,
            inside=None if inside is None else chosen,
            probed=min(filled, probed),
        )


def _without(rows: Rows, others: Rows) -> Rows:
    """Of fifty rows, `np.setdiff1d` takes ten times as long."""
    return np.array(list(set(rows.tolist()).difference(others.tolist())), dtype=np.intp)


def _key(inside: Mask) -> bytes:
    return np.packbits(inside).tobytes()


def _reorder(matrix: Vector, rows: npt.NDArray[np.int32], into: Vector, pause: Pause) -> None:
    """`into` becomes `matrix[rows]`. In place some columns after the others, which needs little beside it."""
    if into is matrix:
        for start in range(0, matrix.shape[1], 16):
            pause()
            matrix[:, start : start + 16] = matrix[rows, start : start + 16]
        return
    for start in range(0, len(matrix), _STEP):
        pause()
        into[start : start + _STEP] = matrix[rows[start : start + _STEP]]
