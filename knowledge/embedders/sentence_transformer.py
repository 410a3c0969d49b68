"""Any sentence-transformers model by name or local path, e.g. BAAI/bge-m3: `pip install kefu[st]`."""

import importlib
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from knowledge.embedders.base import Kind, Vector
from knowledge.embedders.common import clean_for_model
from knowledge.errors import EmbedderError


class SentenceTransformerEmbedder:
    """Uses the prompts "query" and "document" (or "passage") that the model brings, where it brings any."""

    def __init__(self, name: str) -> None:
        try:
            library = importlib.import_module("sentence_transformers")
        except ImportError as error:
            raise EmbedderError(
                f"knowledge.embedder: {name!r} is not embedded in kefu (multilingual-e5-small and "
                "use-multilingual are); models of sentence-transformers need kefu[st]"
            ) from error
        try:
            # Code that comes with a model is not run, and only safetensors are read: a pickle is code too.
            self._model: Any = library.SentenceTransformer(
                name, trust_remote_code=False, model_kwargs={"use_safetensors": True}
            )
        except (OSError, ValueError) as error:
            reason = str(error).split("\n", 1)[0]
            raise EmbedderError(f"knowledge.embedder: {name!r} cannot be loaded: {reason}") from error
        self._name = name
        self._dimension = int(self._model.get_sentence_embedding_dimension())
        prompts = self._model.prompts
        self._prompts: dict[Kind, str | None] = {
            "query": "query" if prompts.get("query") else None,
            "passage": next((key for key in ("document", "passage") if prompts.get(key)), None),
        }
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def questions_at_once(self) -> int:
        return 8

    def embed(self, texts: Sequence[str], kind: Kind) -> Vector:
        if not texts:
            return np.empty((0, self._dimension), dtype=np.float32)
        cleaned = [clean_for_model(text) for text in texts]
        with self._lock:
            vectors = self._model.encode(
                cleaned, prompt_name=self._prompts[kind], normalize_embeddings=True, show_progress_bar=False
            )
        return np.asarray(vectors, dtype=np.float32)
