"""Two scores for each passage to one: how near its meaning is, and how well its words match.

    meaning  = (cosine - mean cosine over the collection) / (best cosine - that mean), not below 0
    words    = BM25 / best BM25

    score    = (meaning^2 + (weight * words)^2) / (1 + weight^2)
    weight   = 1.4 sqrt(longer) / (1 + e^-z)
    z        = 1.5 matched + 4 lead of the words - 5 lead of the meaning - 4 nearness + 3 ln(longer)

    matched  = best BM25 / (ln(1 + passages) * sqrt(words of the question))
    lead     = how far the best match of a half is above its fifth best, 0 to 1
    nearness = how far the best cosine is on the way from the mean to 1, whatever the embedder, 0 to 1
    longer   = how many times 600 bytes the texts have that are the five best of either half, 1 to 2

The weight of the words is asked for anew by every question, as no fixed one suits all: a question that quotes the text
(Chinese reading comprehension) wants more of the words than of the meaning, a paraphrase of a FAQ hardly any of them,
and among the thousands of passages of a handbook, where the meaning finds many alike, the words know which one is
meant. The longer the texts, the more they know: one vector has to say what all of a text is about, and of a longer one
it says less about the sentence that is asked for.

Squares, because what is the best of either half has to stay in front though the other half says nothing of it: a plain
sum puts what is middling in both before it. Figures: docs/decisions/0003-retrieval.md.
"""

import math
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from knowledge.embedders.base import Vector
from knowledge.vectors import Rows

_MOST = 1.4
_MATCHED = 1.5
_WORDS_LEAD = 4.0
_MEANING_LEADS = 5.0
_NEARNESS = 4.0
_LONGER = 3.0
_LONG = 600
"""In bytes of UTF-8, which Chinese and English take about as many of for the same: longer than most rows of a FAQ, and
shorter than most passages of a document."""
_LONGEST = 2.0
"""So many times `_LONG` at most: past it nothing more was gained."""
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


def fuse(
    *,
    cosines: Vector,
    mean: float,
    bm25: Vector,
    sizes: npt.NDArray[np.int32],
    terms: float,
    passages: int,
) -> Fused:
    """Mixes both halves for one question's candidates.

    cosines, bm25: shape (candidates,); bm25 is 0 where a candidate shares no word. They hold the best
    matches of each half, at least five of the full text's where there are as many.
    sizes: shape (candidates,), the bytes of their texts.
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
    nearest, matching = _first(dense), _first(lexical)
    longer = _longer(sizes[nearest], sizes[matching][lexical[matching] > 0])
    z = (
        _MATCHED * _matched(best, terms, passages)
        + _WORDS_LEAD * _lead(lexical, matching)
        - _MEANING_LEADS * _lead(dense, nearest)
        - _NEARNESS * _nearness(span, mean)
        + _LONGER * math.log(longer)
    )
    weight = _MOST * math.sqrt(longer) / (1.0 + math.exp(-z))
    score = (dense**2 + (weight * lexical) ** 2) / (1.0 + weight**2)
    return Fused(score=score.astype(np.float32), lexical=lexical.astype(np.float32))


def _matched(best_bm25: float, terms: float, passages: int) -> float:
    """How much the best full-text match has of the question, 0 and more.

    Between how many of its words are matched, which long questions reach by chance, and their share of it, which a long
    question never reaches (`explained_share`).
    """
    return best_bm25 / (math.sqrt(terms) * math.log(1.0 + passages)) if passages > 0 else 0.0


def _nearness(span: float, mean: float) -> float:
    return min(1.0, max(0.0, span / (1.0 - mean))) if mean < 1.0 else 0.0


def _first(scores: Vector) -> Rows:
    """Places of the five best, the fifth best before the others; all of them where there are fewer."""
    return np.argpartition(scores, -_CROWD)[-_CROWD:] if scores.size >= _CROWD else np.arange(scores.size)


def _lead(scores: Vector, first: Rows) -> float:
    """How far the best, which is 1, is above the crowd; 0 where there is none to stand out from."""
    return 1.0 - float(scores[first[0]]) if scores.size >= _CROWD else 0.0


def _longer(nearest: npt.NDArray[np.int32], matching: npt.NDArray[np.int32]) -> float:
    """How many times as long as is usual in a FAQ the texts are that are likely meant, by their geometric mean: one
    article among short answers does not make them long. Both halves count alike, however many words match."""
    typical = math.exp((_mean_log(nearest) + _mean_log(matching)) / 2)
    return min(_LONGEST, max(1.0, typical / _LONG))


def _mean_log(sizes: npt.NDArray[np.int32]) -> float:
    # Of five, the interpreter is quicker than numpy.
    return sum(math.log(size + 1) for size in sizes.tolist()) / sizes.size
