"""Full text in memory says what LanceDB's own index of the same terms says."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge.full_text import FullText, FullTextMaker
from knowledge.lance import MatchQuery, connect_async
from knowledge.table_indexes import FULL_TEXT
from knowledge.terms import SEPARATOR, terms_of
from knowledge.vectors import best

WORDS = ["退款", "密码", "运费", "发票", "refund", "ship", "invoice", "a.b", "3.5", "vpn", "的", "the"]


def made(texts: Sequence[str], *, parts: int = 1) -> FullText:
    maker = FullTextMaker()
    for part in np.array_split(np.array(texts, dtype=object), parts):
        maker.add(pa.array(part.tolist(), pa.string()))
    return maker.made()


def scores_of(full_text: FullText, terms: Sequence[str]) -> dict[int, float]:
    found = full_text.search(terms, None, count=1000)
    assert list(found.bm25) == sorted(found.bm25, reverse=True)
    return dict(zip(found.rows.tolist(), found.bm25.tolist(), strict=True))


async def test_scores_are_those_of_lancedb() -> None:
    chance = random.Random(8)
    # Some words everywhere, some nowhere else, passages of no word and of two hundred.
    texts = [
        " ".join(chance.choices(WORDS, [2**n for n in range(12)], k=chance.choice([0, 3, 30, 200]))) for _ in range(900)
    ]
    texts[17] += " unique"
    assert "" in texts
    connection = await connect_async("memory://")
    table = await connection.create_table("passages", pa.table({"terms": texts}))
    await table.create_index("terms", config=FULL_TEXT)
    full_text = made(texts, parts=7)
    for asked in (["退款"], ["unique", "the"], ["refund", "refund", "vpn"], WORDS, ["nowhere", "3.5"]):
        query = table.query().nearest_to_text(MatchQuery(SEPARATOR.join(asked), "terms"))
        rows = (await query.with_row_id().select(["_score"]).limit(1000).to_arrow()).to_pylist()
        expected = {row["_rowid"]: row["_score"] for row in rows}
        assert scores_of(full_text, asked) == pytest.approx(expected, rel=1e-5)


@given(texts=st.lists(st.lists(st.sampled_from(WORDS), max_size=6), max_size=40), parts=st.integers(1, 4))
def test_a_passage_is_found_by_each_of_its_words_and_by_no_other(texts: list[list[str]], parts: int) -> None:
    full_text = made([SEPARATOR.join(words) for words in texts], parts=parts)
    for word in WORDS:
        found = scores_of(full_text, [word])
        assert set(found) == {row for row, words in enumerate(texts) if word in words}
        assert all(score > 0 for score in found.values())


def test_a_scope_is_searched_before_the_best_are_taken() -> None:
    texts = ["refund"] * 500 + ["refund and much else that is said there"]
    inside = np.zeros(501, dtype=np.bool_)
    inside[500] = True
    found = made(texts).search(["refund"], inside, count=3)
    assert found.rows.tolist() == [500]
    assert made(texts).search(["refund"], ~inside, count=3).rows.tolist() == [0, 1, 2]


@pytest.mark.parametrize("texts", [[], [""], ["", ""], ["refund"]])
def test_where_there_is_nothing_to_find_nothing_is_found(texts: list[str]) -> None:
    full_text = made(texts)
    for asked in ([], ["nowhere"], [""]):
        assert scores_of(full_text, asked) == {}


def test_more_of_a_word_than_is_counted_is_as_good_as_that_many() -> None:
    found = scores_of(made(["vpn " * 9_000 + "vpn", "ship"]), ["vpn"])
    assert found[0] == pytest.approx(2.2 * np.log1p(1.5 / 1.5), rel=1e-3)


def test_terms_are_what_a_word_means_whatever_it_looks_like() -> None:
    assert terms_of("How do I reset ＭＹ Passwords？") == ["how", "do", "i", "reset", "my", "password"]
    assert terms_of("密码和账户怎么找回？") == ["密码", "和", "账户", "怎么", "找回"]
    assert terms_of(" \u00a0\n!?") == []
    assert not [term for term in terms_of("a\u00a0b c\u3000d\te\u2003f") if term.strip() != term or " " in term]


@given(
    scores=st.lists(st.integers(0, 20), max_size=600).map(lambda values: np.array(values, dtype=np.float32)),
    count=st.integers(0, 30),
)
def test_the_best_are_the_highest_and_the_first_of_equal_ones(scores: np.ndarray, count: int) -> None:
    expected = sorted(range(len(scores)), key=lambda place: (-scores[place], place))[:count]
    assert best(scores, count).tolist() == expected
