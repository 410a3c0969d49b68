"""What the embedders share."""

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from knowledge.embedders.base import Vector
from knowledge.errors import EmbedderError

_BLOCK = 1 << 20

# 5 MB. A text of 1.5 million characters, the handbook of a company, has 30,000 different words.
_KEPT_WORDS = 1 << 15
_LONGEST_WORD = 24


def usable_cores() -> int:
    """Cores this process may run on, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class WordCounts:
    """Tokens of texts, by words: SentencePiece's tokens do not reach over a blank, and most words come again and again.

    Chinese has few blanks, and its runs are counted as they are. Safe to use from several threads.
    """

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self._counted = lru_cache(maxsize=_KEPT_WORDS)(count)

    def of(self, texts: Sequence[str]) -> list[int]:
        return [sum(map(self._of_word, clean_for_model(text).split())) for text in texts]

    def _of_word(self, word: str) -> int:
        return self._counted(word) if len(word) <= _LONGEST_WORD else self._count(word)


def normalized(rows: Any) -> Vector:
    """Rows of length 1, in single precision. A row of zeros stays one."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    vectors: Vector = (rows / np.maximum(lengths, 1e-12)).astype(np.float32)
    return vectors


def clean_for_model(text: str) -> str:
    """NUL bytes end a text in C, and a lone surrogate has no UTF-8: both become something harmless."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


def verify_file(path: Path, sha256: str) -> None:
    """Raises EmbedderError when the file is missing or its SHA-256 is another."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise EmbedderError(f"the embedder's weights {path.name} cannot be read: {error.strerror}") from error
    if digest.hexdigest() != sha256:
        raise EmbedderError(
            f"the embedder's weights {path.name} are not the ones this version was made for; "
            "install the pinned version of its package again"
        )
