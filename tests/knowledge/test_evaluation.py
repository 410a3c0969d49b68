"""The figures of a search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from knowledge.evaluation import LabelledQuestion, evaluate, figures, first_right, ndcg, reciprocal, right_places
from knowledge.values import Hit

_HIT = Hit(
    id="", document="", collection="c", title="", text="", question=None, answer=None, url="", tags=(),
    score=0, dense=0, lexical=0,
)  # fmt: skip


def _hit(document: str, score: float = 0, dense: float = 0, lexical: float = 0, part: int = 0) -> Hit:
    return replace(_HIT, id=f"{document}#{part}", document=document, score=score, dense=dense, lexical=lexical)


async def test_each_half_is_judged_by_its_own_order() -> None:
    answers = {
        "one": [_hit("a", 0.9, 0.5, 0.0), _hit("b", 0.8, 0.9, 0.5), _hit("c", 0.7, 0.1, 1.0)],
        "two": [_hit("b", 0.9, 0.9, 1.0), _hit("a", 0.5, 0.5, 0.0)],
    }

    async def search(text: str, count: int) -> Sequence[Hit]:
        return answers[text][:count]

    found = await evaluate(search, [LabelledQuestion(text="one", gold={"a"}), LabelledQuestion(text="two", gold={"a"})])
    assert (found.fused.recall_1, found.fused.mrr_10) == (0.5, 0.75)
    assert (found.dense.recall_1, found.dense.mrr_10) == (0.0, 0.5)
    # It shares no word: full text alone does not find it.
    assert (found.lexical.recall_5, found.lexical.mrr_10) == (0.0, 0.0)


def test_a_document_counts_at_its_best_passage() -> None:
    hits = [*(_hit("long", part=n) for n in range(12)), _hit("right")]
    assert first_right(hits, {"right"}) == 2
    assert first_right(hits, {"long#3"}) == 4
    assert first_right([_hit(str(n)) for n in range(11)], {"10"}) is None


def test_figures_are_shares_of_all_questions() -> None:
    found = figures([1, 5, 10, None])
    assert (found.questions, found.recall_1, found.recall_5) == (4, 0.25, 0.5)
    assert found.mrr_10 == pytest.approx((1 + 1 / 5 + 1 / 10) / 4)
    assert figures([]).mrr_10 == 0


def test_every_right_document_of_the_first_ten_has_its_place() -> None:
    hits = [_hit("a"), _hit("b"), _hit("a", part=1), _hit("c"), *(_hit(f"x{n}") for n in range(8)), _hit("d")]
    assert right_places(hits, {"a", "c", "d"}) == (1, 3)
    assert right_places(hits, {"a#1", "c#0"}) == (3, 4)  # passages are counted as they come
    assert right_places(hits, {"d"}) == ()


def test_what_one_question_adds() -> None:
    assert (reciprocal((3, 4)), reciprocal(())) == (1 / 3, 0.0)
    assert ndcg((1, 2), 2) == 1.0
    assert ndcg((2,), 1) == pytest.approx(1 / math.log2(3))
    # One of two right ones in front: 1 of 1 + 1 / log2(3).
    assert ndcg((1,), 2) == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert ndcg(tuple(range(1, 11)), 40) == 1.0  # ten places can not hold more
    assert (ndcg((), 2), ndcg((), 0)) == (0.0, 0.0)
