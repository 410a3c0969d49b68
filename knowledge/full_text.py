"""Full text in memory: BM25 over the terms of up to 200,000 passages.

The scores are those of LanceDB's index over the same terms (a test holds them against each other), for a fifth of the
processor time: of the 2.7 ms that LanceDB takes among 100,000 passages it takes 1.2 for a word that is nowhere.
Nor does a sync have to make an index on the disk first. Figures: docs/decisions/0009-large-knowledge.md.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from knowledge.background import Pause, no_pause
from knowledge.embedders.base import Vector
from knowledge.filters import Mask
from knowledge.terms import SEPARATOR
from knowledge.vectors import Rows, best

# What Robertson and Zaragoza recommend, and LanceDB takes: how soon a term's repetitions stop to count, and how much a
# long passage's terms count less.
_K1 = 1.2
_B = 0.75

# A term that more than one passage in so many holds is kept with a weight for every passage: adding those up takes a
# tenth of the time that as many postings take. Nine terms of 117,000 are, and three fifths of all postings asked for.
_COMMON = 4

# A posting while they are collected is one number, so that sorting puts them in order: term, row, occurrences.
_ROW_BITS = 24
_COUNT_BITS = 12
_TERM_SHIFT = _ROW_BITS + _COUNT_BITS

Postings = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """Passages that share a term with a question, best first, and how well each matches."""

    rows: Rows
    bm25: Vector


class FullText:
    """Made by `FullTextMaker`. Eight bytes a posting, and the vocabulary: 53 MB for 100,000 passages of 75 terms."""

    def __init__(
        self,
        vocabulary: dict[str, int],
        starts: list[int],
        rows: npt.NDArray[np.int32],
        weights: Vector,
        *,
        passages: int,
    ) -> None:
        """:param vocabulary: where each term's postings begin in `starts`, and end one further.
        :param rows: of each posting.
        :param weights: what each posting adds to BM25.
        """
        self._passages = passages
        # Of each thread its own, kept: memory that comes fresh from the system costs more than the sums in it.
        self._scores = threading.local()
        self._vocabulary = vocabulary
        self._starts = starts
        self._rows = rows
        self._weights = weights
        common = np.flatnonzero(np.diff(starts) > passages / _COMMON)
        self._common = {place: self._of_all(place) for place in common.tolist()}

    def search(self, terms: Sequence[str], inside: Mask | None, *, count: int) -> Matches:
        """The best `count` rows of those inside (None: of all), fewer where fewer share a term. A term that is asked
        for twice counts twice. Takes .3 ms among 100,000."""
        scores = self._blank()
        for place in map(self._vocabulary.get, terms):
            if place is None:
                continue
            if (weights := self._common.get(place)) is not None:
                scores += weights
            else:
                postings = self._postings(place)
                np.add.at(scores, self._rows[postings], self._weights[postings])
        if inside is not None:
            scores *= inside
        rows = best(scores, count, above=0.0)
        return Matches(rows=rows, bm25=scores[rows])

    def _postings(self, place: int) -> slice:
        return slice(self._starts[place], self._starts[place + 1])

    def _of_all(self, place: int) -> Vector:
        """A term's weight in each passage."""
        weights = np.zeros(self._passages, dtype=np.float32)
        weights[self._rows[self._postings(place)]] = self._weights[self._postings(place)]
        return weights

    def _blank(self) -> Vector:
        scores = getattr(self._scores, "of_this_thread", None)
        if scores is None:
            scores = self._scores.of_this_thread = np.empty(self._passages, dtype=np.float32)
        scores.fill(0.0)
        return scores


class FullTextMaker:
    """Takes the passages' terms in, part by part, so that all texts need never be in memory at one time: 2 s of a core
    for 100,000 passages, most of it in numpy and Arrow without the interpreter's lock."""

    def __init__(self) -> None:
        self._vocabulary: dict[str, int] = {}
        self._postings: list[Postings] = []
        self._lengths: list[npt.NDArray[np.int64]] = []
        self._rows = 0

    def add(self, terms: Any, pause: Pause = no_pause) -> None:
        """The next rows' terms: an Arrow array of texts, as `knowledge.schema` stores them."""
        pool = pa.default_memory_pool()
        lists = pc.split_pattern(terms, SEPARATOR, memory_pool=pool)
        lengths = np.diff(lists.offsets.to_numpy())
        pause()
        encoded = pc.dictionary_encode(lists.flatten(), memory_pool=pool)
        pause()
        numbers = self._numbers(encoded.dictionary.to_pylist())
        pause()
        rows = np.arange(self._rows, self._rows + len(terms), dtype=np.int64)
        places = (numbers[encoded.indices.to_numpy()] << _ROW_BITS) | np.repeat(rows, lengths)
        places.sort()
        pause()
        first = np.flatnonzero(np.diff(places, prepend=-1))
        occurrences = np.diff(first, append=len(places))
        self._postings.append((places[first] << _COUNT_BITS) | np.minimum(occurrences, (1 << _COUNT_BITS) - 1))
        # A passage without a term splits into one text, the empty one.
        self._lengths.append(lengths * pc.not_equal(terms, "").to_numpy(zero_copy_only=False))
        self._rows += len(terms)

    def _numbers(self, words: Sequence[str]) -> Postings:
        known = self._vocabulary
        return np.fromiter((known.setdefault(word, len(known)) for word in words), dtype=np.int64, count=len(words))

    def made(self, pause: Pause = no_pause) -> FullText:
        """Of all that was added; nothing can be added after it."""
        postings = np.concatenate([np.empty(0, dtype=np.int64), *self._postings])
        self._postings.clear()
        postings.sort()
        pause()
        bounds = np.searchsorted(postings, np.arange(len(self._vocabulary) + 1) << _TERM_SHIFT)
        rows = ((postings >> _COUNT_BITS) & ((1 << _ROW_BITS) - 1)).astype(np.int32)
        occurrences = (postings & ((1 << _COUNT_BITS) - 1)).astype(np.float32)
        del postings
        pause()
        lengths = np.concatenate([np.empty(0), *self._lengths])
        # Passages without a term are none here.
        spoken = lengths[lengths > 0]
        weights = occurrences / (occurrences + _dampening(lengths, spoken.mean() if spoken.size else 1.0)[rows])
        weights *= np.repeat(_rarity(np.diff(bounds), len(spoken)) * np.float32(_K1 + 1), np.diff(bounds))
        pause()
        # Not a term (see `add`).
        self._vocabulary.pop("", None)
        return FullText(self._vocabulary, bounds.tolist(), rows, weights, passages=self._rows)


def _dampening(lengths: npt.NDArray[np.float64], mean: float) -> Vector:
    """Of each passage: how much its length takes from an occurrence."""
    return (_K1 * (1 - _B + _B * lengths / mean)).astype(np.float32)


def _rarity(holders: Postings, passages: int) -> Vector:
    """Of each term, by how many passages hold it."""
    return np.log1p((passages - holders + 0.5) / (holders + 0.5)).astype(np.float32)
