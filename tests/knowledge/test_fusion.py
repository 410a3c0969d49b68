"""How the two halves of a search are mixed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from knowledge.fusion import Fused, explained_share, fuse, question_terms


def _fuse(cosines: list[float], bm25: list[float], *, terms: float = 5, passages: int = 1000) -> Fused:
    return fuse(
        cosines=np.array(cosines, dtype=np.float32),
        mean=0.8,
        bm25=np.array(bm25, dtype=np.float32),
        terms=terms,
        passages=passages,
    )


def test_without_a_shared_word_the_meaning_decides() -> None:
    fused = _fuse([0.82, 0.9, 0.85], [0, 0, 0])
    assert fused.score.tolist() == pytest.approx([0.2, 1.0, 0.5], abs=1e-3)
    assert fused.lexical.tolist() == [0, 0, 0]


def test_words_that_explain_the_question_and_stand_out_beat_a_slightly_nearer_meaning() -> None:
    assert _fuse([0.9, 0.89, 0.8], [2, 30, 1]).score.argmax() == 1


def test_words_that_explain_little_do_not() -> None:
    assert _fuse([0.9, 0.87, 0.8], [0, 2, 0]).score.argmax() == 0


def test_words_that_many_passages_share_do_not() -> None:
    crowd = [29.0, 28.5, 28.0, 27.5, 27.0]
    assert _fuse([0.9, 0.87, 0.8, 0.8, 0.8, 0.8], [26.0, *crowd]).score.argmax() == 0


def test_a_question_is_counted_in_words() -> None:
    assert question_terms("how do I track my parcel?") == 6
    assert question_terms("密码忘了怎么办") == pytest.approx(7 / 1.7)
    assert question_terms("！？") == 1


def test_one_passage_alone_is_the_best_there_is() -> None:
    assert fuse(
        cosines=np.array([0.8], np.float32), mean=0.8, bm25=np.array([0.0], np.float32), terms=1, passages=1
    ).score.tolist() == [1.0]


def test_no_candidates_have_no_scores() -> None:
    assert _fuse([], []).score.size == 0
    assert explained_share(3.0, 1.0, 0) == 0.0


_SCORES = arrays.arrays(np.float32, 12, elements=st.floats(-1, 1, width=32))
_BM25 = arrays.arrays(np.float32, 12, elements=st.floats(0, 60, width=32))


@given(_SCORES, _BM25, st.floats(1, 40), st.integers(1, 10**6))
def test_scores_are_between_0_and_1_whatever_the_halves_say(
    cosines: np.typing.NDArray[np.float32], bm25: np.typing.NDArray[np.float32], terms: float, passages: int
) -> None:
    fused = fuse(cosines=cosines, mean=float(cosines.mean()), bm25=bm25, terms=terms, passages=passages)
    assert np.isfinite(fused.score).all()
    assert ((fused.score >= 0) & (fused.score <= 1 + 1e-6)).all()
    assert ((fused.lexical >= 0) & (fused.lexical <= 1)).all()
