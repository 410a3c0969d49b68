"""The inverted file against looking at every vector."""

from __future__ import annotations

import numpy as np
import pytest

from knowledge.embedders.base import Vector
from knowledge.filters import Mask
from knowledge.inverted_file import InvertedFile, sort_into, train
from knowledge.vectors import FlatVectors, Found, Rows

COUNT = 20_000
NOTHING: Rows = np.empty(0, dtype=np.intp)


def go_on() -> None:
    pass


def unit(matrix: Vector) -> Vector:
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def clustered(count: int, seed: int, dimension: int = 48) -> Vector:
    """Vectors in 300 clouds that overlap, all of them far from the origin on one side, as an embedder's are."""
    chance = np.random.default_rng(5)
    middles = chance.standard_normal((300, dimension)) + 2.0
    chance = np.random.default_rng(seed)
    return unit(middles[chance.integers(300, size=count)] + 0.6 * chance.standard_normal((count, dimension)))


def inverted(matrix: Vector) -> InvertedFile:
    return InvertedFile(sort_into(train(matrix, go_on), matrix, go_on), matrix, go_on)


@pytest.fixture(scope="module")
def matrix() -> Vector:
    return clustered(COUNT, seed=1)


@pytest.fixture(scope="module")
def questions() -> Vector:
    return clustered(100, seed=2)


@pytest.fixture(scope="module")
def index(matrix: Vector) -> InvertedFile:
    return inverted(matrix)


def nearest(found: Found, count: int = 10) -> set[int]:
    return set(found.rows[np.argsort(-found.cosines)[:count]].tolist())


def recall(index: InvertedFile, matrix: Vector, questions: Vector, inside: Mask | None) -> float:
    flat = FlatVectors(matrix)
    shared = 0
    for asked in questions:
        found = index.search(asked, inside, count=50, also=NOTHING)
        assert inside is None or inside[found.rows].all()
        shared += len(nearest(found) & nearest(flat.search(asked, inside, count=50, also=NOTHING)))
    return shared / (10 * len(questions))


def test_it_finds_nearly_all_that_is_nearest(index: InvertedFile, matrix: Vector, questions: Vector) -> None:
    assert recall(index, matrix, questions, None) >= 0.95


@pytest.mark.parametrize("share", [0.5, 0.3, 0.1, 0.001], ids=str)
def test_it_finds_nearly_all_of_a_scope_and_nothing_outside(
    index: InvertedFile, matrix: Vector, questions: Vector, share: float
) -> None:
    inside = np.random.default_rng(3).random(COUNT) < share
    assert recall(index, matrix, questions, inside) >= 0.95


def test_a_scope_of_one_subject_is_searched_where_it_is(index: InvertedFile, matrix: Vector, questions: Vector) -> None:
    inside = matrix @ matrix[0] > np.quantile(matrix @ matrix[0], 0.6)
    assert recall(index, matrix, questions, inside) >= 0.95


def test_scores_are_what_they_are_without_it(index: InvertedFile, matrix: Vector, questions: Vector) -> None:
    also = np.array([0, 17, COUNT - 1], dtype=np.intp)
    for inside in (None, np.arange(COUNT) % 2 == 0):
        found = index.search(questions[0], inside, count=50, also=also)
        exact = FlatVectors(matrix).search(questions[0], inside, count=50, also=also)
        assert set(also.tolist()) <= set(found.rows.tolist())
        assert len(set(found.rows.tolist())) == len(found.rows)
        assert (np.diff(found.rows) > 0).all()
        np.testing.assert_allclose(found.cosines, matrix[found.rows] @ questions[0], atol=1e-6)
        assert found.mean == pytest.approx(exact.mean, abs=1e-5)


def test_equal_vectors_make_equal_lists(index: InvertedFile, matrix: Vector, questions: Vector) -> None:
    again = inverted(matrix.copy())
    for asked in questions[:10]:
        first, second = (each.search(asked, None, count=50, also=NOTHING) for each in (index, again))
        np.testing.assert_array_equal(first.rows, second.rows)
        np.testing.assert_array_equal(first.cosines, second.cosines)


def test_vectors_can_be_put_in_order_where_they_are(index: InvertedFile, matrix: Vector, questions: Vector) -> None:
    moved = matrix.copy()
    placed = sort_into(index.middles, moved, go_on)
    in_place = InvertedFile(placed, moved, go_on, in_place=True)
    first, second = (each.search(questions[0], None, count=50, also=NOTHING) for each in (index, in_place))
    np.testing.assert_array_equal(first.rows, second.rows)


@pytest.mark.parametrize(
    "matrix",
    [
        pytest.param(unit(np.ones((1, 8))), id="one vector"),
        pytest.param(unit(np.eye(3, 8)), id="three"),
        pytest.param(unit(np.ones((500, 8))), id="all alike"),
        pytest.param(np.zeros((500, 8), dtype=np.float32), id="all nothing"),
    ],
)
def test_odd_vectors_are_found_too(matrix: Vector) -> None:
    index = inverted(matrix)
    found = index.search(matrix[0], None, count=50, also=NOTHING)
    assert 1 <= len(found.rows) <= 50
    assert index.search(matrix[0], np.arange(len(matrix)) == 0, count=5, also=NOTHING).rows.tolist() == [0]
    np.testing.assert_allclose(found.cosines, matrix[found.rows] @ matrix[0], atol=1e-6)


def test_lists_are_kept_while_the_passages_are_alike(index: InvertedFile, matrix: Vector) -> None:
    mostly = np.concatenate([matrix[:-500], clustered(800, seed=4)])
    assert sort_into(index.middles, mostly, go_on).suits
    others = unit(np.random.default_rng(6).standard_normal(matrix.shape))
    assert not sort_into(index.middles, others, go_on).suits
    assert not sort_into(index.middles, matrix[: COUNT // 2], go_on).suits


def test_making_it_can_be_stopped(matrix: Vector) -> None:
    class Unwanted(Exception):
        pass

    def stop() -> None:
        raise Unwanted

    with pytest.raises(Unwanted):
        train(matrix, stop)


def test_only_a_scope_that_is_new_takes_long(matrix: Vector, questions: Vector) -> None:
    index = inverted(matrix)
    inside = np.arange(COUNT) % 2 == 0
    assert index.is_quick(None)
    assert not index.is_quick(inside)
    index.search(questions[0], inside, count=50, also=NOTHING)
    assert index.is_quick(inside)
    assert index.is_quick(inside.copy()), "the same scope, asked for again"
    assert not index.is_quick(~inside)
