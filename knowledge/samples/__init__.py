"""The sample knowledge of an online shop that ships with kefu, and its vectors.

The vectors spare a fresh machine a minute of embedding at its first start. `python -m knowledge.samples.build`
makes them anew after the samples changed; a test says when that was forgotten.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from knowledge.embedders.base import Vector

_HERE = Path(__file__).parent

SAMPLE_SOURCES: Mapping[str, Sequence[Path]] = {
    "default": (_HERE / "shop",),
    "internal": (_HERE / "internal",),
}
"""Collection to its sources."""

VECTORS_FILE = _HERE / "vectors.npz"


def load_vectors(embedder: str) -> dict[str, Vector]:
    """The shipped vectors by their keys (schema.vector_key), none for an embedder they are not of."""
    with np.load(VECTORS_FILE, allow_pickle=False) as stored:
        if str(stored["embedder"]) != embedder:
            return {}
        vectors = stored["vectors"].astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return dict(zip(stored["keys"].tolist(), vectors, strict=True))
