"""An embedder that takes microseconds: texts that share characters and words have near vectors."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from knowledge.chunking import estimate_all
from knowledge.embedders.base import Kind, Vector


class HashingEmbedder:
    """Bags of words and character pairs, hashed. Counts what it was asked, so that tests can see what was not."""

    def __init__(self, name: str = "hashing", dimension: int = 64) -> None:
        self._name = name
        self._dimension = dimension
        self._lock = threading.Lock()
        self.passages: list[str] = []
        self.queries: list[str] = []

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def questions_at_once(self) -> int:
        return 8

    @property
    def window(self) -> int:
        return 512

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return estimate_all(texts)

    def close(self) -> None:
        """Nothing to let go of."""

    def embed(self, texts: Sequence[str], kind: Kind) -> Vector:
        with self._lock:
            (self.passages if kind == "passage" else self.queries).extend(texts)
        vectors = np.zeros((len(texts), self._dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for token in _tokens(text):
                digest = hashlib.blake2b(token.encode("utf-8", "replace"), digest_size=4).digest()
                vectors[row, int.from_bytes(digest) % self._dimension] += 1.0
            vectors[row, 0] += 0.01
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


def _tokens(text: str) -> list[str]:
    words = re.findall(r"[a-z0-9]+", text.lower())
    wide = re.findall(r"[\u4e00-\u9fff]", text)
    return words + ["".join(pair) for pair in pairwise(wide)]
