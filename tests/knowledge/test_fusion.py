"""How the two halves of a search are mixed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from knowledge.fusion import Fused, explained_share, fuse, question_terms


def _sizes(count: int, size: int = 200) -> np.typing.NDArray[np.int32]:
    return np.full(count, size, dtype=np.int32)


def _fuse(
    cosines: Sequence[float],
    bm25: Sequence[float],
    *,
    sizes: Sequence[int] | None = None,
    terms: float = 5,
    passages: int = 1000,
) -> Fused:
    """Of short texts, if nothing else is said."""
    return fuse(
        cosines=np.array(cosines, dtype=np.float32),
        mean=0.8,
        bm25=np.array(bm25, dtype=np.float32),
        sizes=_sizes(len(cosines)) if sizes is None else np.array(sizes, dtype=np.int32),
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


_ALIKE = [0.9, 0.9, 0.9, 0.9, 0.9, 0.85, 0.81]
_DECIDED = [0.9, 0.83, 0.83, 0.82, 0.82, 0.81, 0.81]


def test_where_the_meaning_finds_many_alike_the_words_decide() -> None:
    found = [3, 2, 2, 2, 2, 20, 2]
    assert _fuse(_ALIKE, found).score.argmax() == 5
    assert _fuse(_DECIDED, found).score.argmax() == 0


def test_the_longer_the_question_the_more_words_have_to_match() -> None:
    found = [3, 8, 8, 8, 8, 20, 8]
    near = [0.9, 0.86, 0.86, 0.86, 0.86, 0.88, 0.81]
    assert _fuse(near, found, terms=4).score.argmax() == 5
    assert _fuse(near, found, terms=60).score.argmax() == 0


_TORN = [0.9, 0.84, 0.83, 0.83, 0.82, 0.82, 0.81]
_BY_WORDS = [6, 2, 2, 2, 2, 17, 2]


def test_where_the_texts_are_long_the_words_decide_sooner() -> None:
    assert _fuse(_TORN, _BY_WORDS).score.argmax() == 0
    assert _fuse(_TORN, _BY_WORDS, sizes=[1300] * 7).score.argmax() == 5


def test_up_to_600_bytes_the_length_changes_nothing() -> None:
    """What a row of a FAQ scores is what the evidence for answers was fitted on."""
    short = _fuse(_TORN, _BY_WORDS, sizes=[40] * 7).score.tolist()
    assert short == _fuse(_TORN, _BY_WORDS, sizes=[590] * 7).score.tolist()
    assert short != _fuse(_TORN, _BY_WORDS, sizes=[700] * 7).score.tolist()


def test_past_twice_that_neither() -> None:
    long, longest = (_fuse(_TORN, _BY_WORDS, sizes=[size] * 7).score.tolist() for size in (1300, 10**8))
    assert long == longest


def test_one_article_among_short_answers_does_not_make_them_long() -> None:
    article = [200, 200, 200, 200, 200, 3000, 200]
    assert _fuse(_TORN, _BY_WORDS, sizes=article).score.argmax() == 0


def test_texts_that_neither_half_has_among_its_five_best_do_not_count() -> None:
    near, words = [*_TORN, *[0.8] * 3], [*_BY_WORDS, *[1] * 3]
    short = _fuse(near, words, sizes=[200] * 10).score.tolist()
    assert short == _fuse(near, words, sizes=[*[200] * 7, *[9000] * 3]).score.tolist()


def test_the_best_of_a_half_stays_in_front_of_what_is_middling_in_both() -> None:
    middling = [0.86] * 8
    scores = _fuse([0.9, 0.8, *middling], [0, 30, *[15.0] * 8]).score
    assert min(scores[:2]) > max(scores[2:])


def test_numbers_of_another_embedder_on_the_same_scale_change_nothing() -> None:
    """What is on the way from the mean to 1 counts, wherever an embedder's mean lies."""
    words = np.array([3, 2, 9, 2, 2, 8, 2], dtype=np.float32)
    narrow = np.array([0.9, 0.89, 0.88, 0.85, 0.84, 0.86, 0.81], dtype=np.float32)
    wide = 1 - 4 * (1 - narrow)
    first = fuse(cosines=narrow, mean=0.8, bm25=words, sizes=_sizes(7), terms=5, passages=300)
    second = fuse(cosines=wide, mean=0.2, bm25=words, sizes=_sizes(7), terms=5, passages=300)
    assert first.score.tolist() == pytest.approx(second.score.tolist(), abs=1e-4)


def test_a_question_is_counted_in_words() -> None:
    assert question_terms("how do I track my parcel?") == 6
    assert question_terms("密码忘了怎么办") == pytest.approx(7 / 1.7)
    assert question_terms("！？") == 1


def test_one_passage_alone_is_the_best_there_is() -> None:
    for bm25 in (0.0, 3.0):
        fused = fuse(
            cosines=np.array([0.8], np.float32),
            mean=0.8,
            bm25=np.array([bm25], np.float32),
            sizes=_sizes(1, 0),
            terms=1,
            passages=1,
        )
        assert fused.score.tolist() == [1.0]


def test_no_candidates_have_no_scores() -> None:
    assert _fuse([], []).score.size == 0
    assert explained_share(3.0, 1.0, 0) == 0.0


_SCORES = arrays.arrays(np.float32, 12, elements=st.floats(-1, 1, width=32))
_BM25 = arrays.arrays(np.float32, 12, elements=st.floats(0, 60, width=32))
_SIZES = arrays.arrays(np.int32, 12, elements=st.integers(0, 10**7))


@given(_SCORES, _BM25, _SIZES, st.floats(1, 40), st.integers(1, 10**6))
def test_scores_are_between_0_and_1_whatever_the_halves_say(
    cosines: np.typing.NDArray[np.float32],
    bm25: np.typing.NDArray[np.float32],
    sizes: np.typing.NDArray[np.int32],
    terms: float,
    passages: int,
) -> None:
    mean = float(cosines.mean())
    fused = fuse(cosines=cosines, mean=mean, bm25=bm25, sizes=sizes, terms=terms, passages=passages)
    assert np.isfinite(fused.score).all()
    assert ((fused.score >= 0) & (fused.score <= 1 + 1e-6)).all()
    assert ((fused.lexical >= 0) & (fused.lexical <= 1)).all()
