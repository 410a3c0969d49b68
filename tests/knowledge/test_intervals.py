"""95 % intervals: against published figures, and against the truth."""

from __future__ import annotations

import numpy as np
import pytest

from knowledge.intervals import Ratio, difference, wilson


def share(hits: int, of: int, others: int = 0) -> Ratio:
    """A share over `of` questions, beside `others` that do not count."""
    return Ratio(parts=[1.0] * hits + [0.0] * (of - hits + others), wholes=[1.0] * of + [0.0] * others)


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        # Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I, method 3.
        pytest.param(81, 263, 0.2553, 0.3662, id="81 of 263"),
        pytest.param(15, 148, 0.0624, 0.1605, id="15 of 148"),
        pytest.param(0, 20, 0.0, 0.1611, id="none of 20"),
        pytest.param(1, 29, 0.0061, 0.1718, id="1 of 29"),
        pytest.param(29, 29, 0.8830, 1.0, id="all of 29"),
    ],
)
def test_wilsons_interval(hits: int, of: int, low: float, high: float) -> None:
    found = wilson(hits, of)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert share(hits, of, others=7).interval() == found


def test_nothing_to_take_a_share_of() -> None:
    empty = share(0, 0, others=3)
    assert (empty.value, empty.interval(), empty.of) == (None, None, 0)
    assert difference(empty, share(1, 3)) is None


def test_a_mean_is_resampled_the_same_way_every_time() -> None:
    chance = np.random.default_rng(1)
    mean = Ratio(parts=chance.random(400).tolist(), wholes=[1.0] * 400)
    found = mean.interval()
    assert found is not None and mean.value is not None
    # A uniform mean of 400 has a standard error of 1 / sqrt(12 * 400) = .0144.
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.0144, rel=0.1)
    assert found.low < mean.value < found.high
    assert mean.interval() == found


def test_resampled_intervals_hold_the_truth_as_often_as_they_say() -> None:
    chance = np.random.default_rng(2)
    held = 0
    for _ in range(60):
        found = Ratio(parts=(chance.random(60) ** 2).tolist(), wholes=[1.0] * 60).interval()
        assert found is not None
        held += found.low <= 1 / 3 <= found.high
    assert 52 <= held <= 60


def test_questions_that_both_runs_fail_are_no_noise() -> None:
    before = Ratio(parts=[1.0] * 50 + [0.0] * 50, wholes=[1.0] * 100)
    after = Ratio(parts=[1.0] * 60 + [0.0] * 40, wholes=[1.0] * 100)
    found = difference(before, after)
    assert found is not None
    # Ten questions got better and none worse: more than chance, though the two intervals overlap widely.
    assert 0.03 < found.low < 0.10 < found.high < 0.18
    first, second = before.interval(), after.interval()
    assert first is not None and second is not None and first.high > second.low


def test_runs_over_other_questions_are_not_compared() -> None:
    with pytest.raises(ValueError, match="same questions"):
        difference(share(1, 2), share(1, 3))
