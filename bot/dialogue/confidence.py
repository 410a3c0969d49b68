"""How likely an answer that an engine worded is right: from what retrieval, the words and the engine show.

What a model states of itself says little, and small models state .9 of anything. What tells more is the chance that its
passage answers the question (`bot.dialogue.evidence`), how much of the answer stands in the passages, whether it says
more than the question did, and how likely each token was to the model. A logistic regression weighs these. Its
coefficients are fitted by `make fit-confidence` on labelled questions that real models answered, and kept in
`confidence.json` with what they were fitted on and how well they do.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bot.dialogue.regression import Regression
from bot.errors import SettingsError

COEFFICIENTS = Path(__file__).with_name("confidence.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What speaks for an answer, and against it. Each from 0 to 1."""

    chance: float
    """Of the likeliest passage that it is drawn from."""
    lead: float
    """That chance against the likeliest passage of another document; from -1 to 1."""
    support: float
    """Share of the answer's words that its passages hold."""
    news: float
    """Share of the answer's words that the question did not have: an echo says nothing."""
    stated: float
    """As the engine says of itself."""
    likelihood: float | None
    """Geometric mean of its tokens' probabilities; None where the engine does not tell."""


FEATURES = tuple(Signs.__dataclass_fields__)


def confidence(signs: Signs, regression: Regression) -> float:
    """The probability. A sign that is not known counts as an average one."""
    known = [getattr(signs, name) for name in regression.names]
    row = [average if value is None else value for value, average in zip(known, regression.mean, strict=True)]
    return float(regression.chances(np.array([row], dtype=np.float64))[0])


def likelihood_of(logprob: float | None) -> float | None:
    """From a mean log-probability."""
    return None if logprob is None or math.isnan(logprob) else math.exp(min(logprob, 0.0))


def load(path: Path = COEFFICIENTS) -> Regression:
    """The fitted coefficients. Reads a small file: not on the event loop.

    :raises SettingsError: the file is not there or not of that form.
    """
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        regression = Regression.of(stored)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"{path}: not a file of coefficients: {error!r}") from error
    if not set(regression.names) <= set(FEATURES):
        raise SettingsError(f"{path}: the coefficients do not fit this version's features")
    return regression
