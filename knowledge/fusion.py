"""Two scores for each passage to one: how near its meaning is, and how far its words stand out.

    dense'   = (cosine - mean cosine over the collection) / (best cosine - that mean), not below 0
    outstanding = (BM25 - fifth best BM25) / best BM25, not below 0
    share    = how much of the question the best full-text match explains, 0 to 1
    score    = (dense' + 2 share * outstanding) / (1 + 2 share)

A weighted sum of normalised scores, where the weight of the words follows what they have to say. A fixed weight
cannot suit both kinds of question: one that quotes the text (Chinese reading comprehension) wants .3 or more for
the words, and a paraphrase of a FAQ is hurt by more than .15. The two differ in how much of the question's
possible BM25 score was reached, and in how far the best match is above the crowd that shares its small words.
Figures: docs/decisions/0003-retrieval.md.
"""

import math
import re
from dataclasses import dataclass

import numpy as np

from knowledge.embedders.base import Vector

_WORDS_WEIGHT = 2.0
_CROWD = 5
"""The full-text match that many others come close to: what it scores says nothing."""

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
    crowd = float(np.partition(bm25, -_CROWD)[-_CROWD]) if bm25.size >= _CROWD else 0.0
    outstanding = np.maximum(bm25 - crowd, 0.0) / best
    weight = _WORDS_WEIGHT * explained_share(best, terms, passages)
    score = (dense + weight * outstanding) / (1.0 + weight)
    return Fused(score=score.astype(np.float32), lexical=(bm25 / best).astype(np.float32))
