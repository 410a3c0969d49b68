"""Logistic regression: features to a probability. Small enough to be written out, and numpy is there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """What each feature weighs, per standard deviation of it."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Regression:
        """From its JSON form.

        :raises ValueError, KeyError, TypeError, AttributeError: it is not one.
        """
        found = cls(
            names=tuple(stored["features"]),
            mean=tuple(map(float, stored["mean"])),
            scale=tuple(map(float, stored["scale"])),
            weights=tuple(map(float, stored["weights"])),
            bias=float(stored["bias"]),
        )
        if len({len(found.names), len(found.mean), len(found.scale), len(found.weights)}) != 1:
            raise ValueError("features, mean, scale and weights are not equally many")
        return found

    def as_json(self) -> dict[str, Any]:
        """Its JSON form, with five digits."""
        return {
            "features": list(self.names),
            "mean": _rounded(self.mean),
            "scale": _rounded(self.scale),
            "weights": _rounded(self.weights),
            "bias": round(self.bias, 5),
        }

    def chances(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(samples, features) to (samples,) probabilities."""
        standard = (rows - np.array(self.mean)) / np.array(self.scale)
        odds = standard @ np.array(self.weights) + self.bias
        chances: npt.NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
        return chances


def fitted(
    rows: npt.NDArray[np.float64], outcomes: npt.NDArray[np.float64], names: Sequence[str], *, penalty: float = 2.0
) -> Regression:
    """Fits with an L2 penalty, by Newton's method.

    `rows` is (samples, len(names)), `outcomes` (samples,) of 0 and 1.
    """
    # A feature that never varies has no weight, and must not blow up where it does vary.
    mean, scale = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-3)
    design = np.c_[(rows - mean) / scale, np.ones(len(rows))]
    weights = np.zeros(design.shape[1])
    ridge = penalty * np.eye(len(weights))
    ridge[-1, -1] = 1e-6
    for _ in range(50):
        chances = 1 / (1 + np.exp(-design @ weights))
        slope = design.T @ (chances - outcomes) + ridge @ weights
        curvature = (design * (chances * (1 - chances))[:, None]).T @ design + ridge
        weights -= np.linalg.solve(curvature, slope)
    return Regression(
        names=tuple(names),
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        weights=tuple(weights[:-1].tolist()),
        bias=float(weights[-1]),
    )


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 5) for value in values]
