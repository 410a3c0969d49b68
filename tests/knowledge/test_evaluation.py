"""The figures of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from knowledge.evaluation import LabelledQuestion, evaluate, figures, first_right
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
