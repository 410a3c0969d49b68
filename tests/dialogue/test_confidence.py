"""The probability that a worded answer is right: what it does with signs, and the shipped coefficients."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.dialogue.confidence import COEFFICIENTS, FEATURES, Signs, confidence, likelihood_of, load
from bot.dialogue.regression import fitted
from bot.errors import SettingsError
from tests.bench.confidence import Sample, fit

SHARE = st.floats(0.0, 1.0)
SIGNS = st.builds(
    Signs,
    chance=SHARE,
    lead=st.floats(-1.0, 1.0),
    support=SHARE,
    news=SHARE,
    stated=SHARE,
    likelihood=st.one_of(st.none(), SHARE),
)
GOOD = Signs(chance=0.95, lead=0.9, support=1.0, news=1.0, stated=0.95, likelihood=0.95)
BAD = Signs(chance=0.05, lead=-0.6, support=0.4, news=0.0, stated=0.95, likelihood=0.95)


@given(SIGNS)
def test_it_is_a_probability_whatever_the_signs(signs: Signs) -> None:
    assert 0.0 <= confidence(signs, load()) <= 1.0


def test_the_shipped_coefficients_tell_good_signs_from_bad_ones() -> None:
    calibration = load()
    assert confidence(GOOD, calibration) > 0.7
    assert confidence(BAD, calibration) < 0.3
    assert confidence(replace(GOOD, chance=0.1, lead=-0.5), calibration) < 0.5, "a passage that hardly answers"


def test_the_shipped_coefficients_say_where_they_come_from_and_how_well_they_do() -> None:
    stored = json.loads(COEFFICIENTS.read_text(encoding="utf-8"))
    assert "answers.jsonl" in stored["fitted_on"] and "Qwen" in stored["fitted_on"]
    assert stored["tune"]["ece"] < 0.15
    assert stored["tune"]["right_of_sent"] > stored["tune"]["right"] > stored["tune"]["right_of_held_back"]


def test_an_unknown_sign_counts_as_an_average_one() -> None:
    calibration = load()
    average = calibration.mean[calibration.names.index("likelihood")]
    known, unknown = replace(GOOD, likelihood=average), replace(GOOD, likelihood=None)
    assert confidence(unknown, calibration) == pytest.approx(confidence(known, calibration))


@pytest.mark.parametrize(
    ("logprob", "likelihood"), [(None, None), (math.nan, None), (0.0, 1.0), (0.5, 1.0), (-math.inf, 0.0)]
)
def test_a_likelihood_is_a_share_whatever_the_server_says(logprob: float | None, likelihood: float | None) -> None:
    assert likelihood_of(logprob) == likelihood


def test_fitting_finds_what_decides_and_forgives_a_sign_that_never_varies() -> None:
    random = np.random.default_rng(3)
    samples = []
    for at in range(200):
        chance = float(random.random())
        signs = replace(GOOD, chance=chance, support=float(random.random()))
        split = "tune" if at % 2 else "held"
        samples.append(Sample(model="m", split=split, signs=signs, right=chance > 0.5))
    content = fit(samples)
    weights = dict(zip(content["features"], content["weights"], strict=True))
    assert max(weights, key=lambda name: abs(weights[name])) == "chance" and weights["stated"] == 0
    assert content["held"]["right_of_sent"] > 0.85 and content["fitted_on"].endswith("answered by m")


def test_a_feature_without_spread_does_not_blow_up_elsewhere() -> None:
    rows = np.array([[0.0, 0.95], [1.0, 0.95]] * 20)
    regression = fitted(rows, rows[:, 0], ["one", "still"])
    assert np.all(np.isfinite(regression.chances(np.array([[1.0, 0.1], [0.0, 1.0]]))))


@pytest.mark.parametrize("content", ["{", "[]", '{"features": ["chance"]}'])
def test_a_mistake_in_the_file_is_one_clear_line(tmp_path: Path, content: str) -> None:
    file = tmp_path / "confidence.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"confidence\.json"):
        load(file)


def test_a_feature_of_another_version_is_named(tmp_path: Path) -> None:
    stored = json.loads(COEFFICIENTS.read_text(encoding="utf-8"))
    file = tmp_path / "confidence.json"
    file.write_text(json.dumps(stored | {"features": ["odd", *FEATURES[1:]]}), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"confidence\.json"):
        load(file)
