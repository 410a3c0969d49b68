"""Two scores for each passage to one: how near its meaning is, and how far its words stand out.

    meaning = (cosine - mean cosine over the collection) / (best cosine - that mean), not below 0
    words   = BM25 / best BM25
    above   = words - fifth best of them, not below 0

    score   = (meaning + E * above + U * words) / (1 + E + U)
    E       = 4 share^2: the words explain the question
    U       = 4 lead of the words * e^(-8 lead of the meaning): the meaning can not decide, and the words can
    share   = how much of the question the best full-text match explains, 0 to 1
    lead    = how far the best match of a half is above its fifth best, 0 to 1

A weighted sum of normalised scores, where the weight of the words follows what both halves have to say. A fixed weight
cannot suit every question: one that quotes the text (Chinese reading comprehension) wants more of the words than of the
meaning, a paraphrase of a FAQ is hurt by more than .15 of them, and among the thousands of passages of a handbook,
where the meaning finds many alike, the words know which one is asked for. Figures: docs/decisions/0003-retrieval.md.
"""

import math
import re
from dataclasses import dataclass

import numpy as np

from knowledge.embedders.base import Vector

_EXPLAINED = 4.0
_UNDECIDED = 4.0
_DECIDED = 8.0
_CROWD = 5
"""What the best match is held against: where many come close to it, it says little."""

_WIDE = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_WORD = re.compile("[^\\W_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+")
_CHARACTERS_A_WORD = 1.7  # Chinese running text, as ICU cuts it


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """Scores of the candidates, each of shape (candidates,), in the candidates' order, 0 to 1."""

    score: Vector
    lexical: Vector
    """BM25 over the best BM25."""


def question_terms(text: str) -> float:
    """About how many words the full-text index finds in a question, at least 1."""
    words = len(_WORD.findall(text)) + len(_WIDE.findall(text)) / _CHARACTERS_A_WORD
    return max(1.0, words)


def explained_share(best_bm25: float, terms: float, passages: int) -> float:
    """How much of a question its best full-text match explains, 0 to 1.

    ln(1 + passages) is what a word found in one passage only adds to BM25 (times a factor around 1 for
    its frequency and the passage's length), so their product is about the most that can be reached.
    """
    return min(1.0, best_bm25 / (terms * math.log(1.0 + passages))) if passages > 0 else 0.0


def fuse(*, cosines: Vector, mean: float, bm25: Vector, terms: float, passages: int) -> Fused:
    """Mixes both halves for one question's candidates.

    cosines, bm25: shape (candidates,); bm25 is 0 where a candidate shares no word. They hold the best
    matches of each half, at least five of the full text's where there are as many.
    mean: the mean cosine over everything that was searched, what an unrelated passage gets.
    terms: of the question (`question_terms`); passages: how many the full-text index holds.
    """
    if cosines.size == 0:
        return Fused(score=cosines, lexical=bm25)
    span = float(cosines.max()) - mean
    # One passage, or all of them alike: nothing to tell apart.
    dense = np.clip((cosines - mean) / span, 0.0, 1.0) if span > 1e-6 else np.ones_like(cosines)
    best = float(bm25.max())
    if best <= 0.0:
        return Fused(score=dense.astype(np.float32), lexical=np.zeros_like(bm25))
    lexical = bm25 / best
    explained = _EXPLAINED * explained_share(best, terms, passages) ** 2
    undecided = _UNDECIDED * _lead(lexical) * math.exp(-_DECIDED * _lead(dense))
    words = explained * np.maximum(lexical - _crowd(lexical), 0.0) + undecided * lexical
    score = (dense + words) / (1.0 + explained + undecided)
    return Fused(score=score.astype(np.float32), lexical=lexical.astype(np.float32))


def _lead(scores: Vector) -> float:
    """How far the best, which is 1, is above the crowd. Alone it has no one to be confused with."""
    return 1.0 - _crowd(scores)


def _crowd(scores: Vector) -> float:
    return float(np.partition(scores, -_CROWD)[-_CROWD]) if scores.size >= _CROWD else 0.0
