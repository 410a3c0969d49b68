"""Any sentence-transformers model by name or local path, e.g. BAAI/bge-m3: `pip install kefu[st]`."""

import importlib
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from knowledge.chunking import estimate_all
from knowledge.embedders.base import Kind, Vector
from knowledge.embedders.common import clean_for_model, normalized
from knowledge.errors import EmbedderError

# Between two batches a question may come in: it waits for one at most.
_AT_ONCE = {"cuda": 32, "cpu": 4}

# BGE-M3 reads 8,192 tokens at once and takes 5 GB for a batch of such. Passages have 320; what is longer is a row of a
# table, whose beginning says what it is about.
_LONGEST = 2048
_USUAL_WINDOW = 512


class SentenceTransformerEmbedder:
    """Uses the prompts "query" and "document" (or "passage") that the model brings, where it brings any. On a graphics
    card it computes in half precision: half the memory, and the cosine with the exact vector is .9999."""

    def __init__(self, name: str, *, device: str = "") -> None:
        """:param device: "cpu", "cuda", "cuda:1", …; "" is the graphics card where there is one.

        Raises EmbedderError when the library, the model or the device is not there.
        """
        try:
            library = importlib.import_module("sentence_transformers")
            device = device or _automatic()
        except ImportError as error:
            raise EmbedderError(
                f"knowledge.embedder: {name!r} is not embedded in kefu (multilingual-e5-small and "
                "use-multilingual are); models of sentence-transformers need kefu[st]"
            ) from error
        # Code that comes with a model is not run, and only safetensors are read: a pickle is code too.
        options: dict[str, Any] = {"use_safetensors": True}
        if device.startswith("cuda"):
            options["torch_dtype"] = "float16"
        try:
            self._model: Any = library.SentenceTransformer(
                name, device=device, trust_remote_code=False, model_kwargs=options
            )
        except (OSError, ValueError, RuntimeError, AssertionError) as error:
            reason = str(error).split("\n", 1)[0]
            where = f" on {device}" if device != "cpu" else ""
            raise EmbedderError(f"knowledge.embedder: {name!r} cannot be loaded{where}: {reason}") from error
        self._name = name
        # Its name since 6.0, and the one before.
        dimension = getattr(self._model, "get_embedding_dimension", None)
        self._dimension = int((dimension or self._model.get_sentence_embedding_dimension)())
        self._window = min(self._model.max_seq_length or _USUAL_WINDOW, _LONGEST)
        self._model.max_seq_length = self._window
        self._at_once = _AT_ONCE["cuda" if device.startswith("cuda") else "cpu"]
        prompts = self._model.prompts
        self._prompts: dict[Kind, str | None] = {
            "query": "query" if prompts.get("query") else None,
            "passage": next((key for key in ("document", "passage") if prompts.get(key)), None),
        }
        # Its tokenizer can not be used by two threads at once.
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

    @property
    def window(self) -> int:
        return self._window

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        tokenizer = self._model.tokenizer
        if not texts or not callable(tokenizer):  # models of word vectors bring one of another kind
            return estimate_all(texts)
        cleaned = [clean_for_model(text) for text in texts]
        with self._lock:
            tokens = tokenizer(cleaned, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        return [len(one) for one in tokens]

    def close(self) -> None:
        """The card's memory is given back with the process."""

    def embed(self, texts: Sequence[str], kind: Kind) -> Vector:
        vectors = np.empty((len(texts), self._dimension), dtype=np.float32)
        for start in range(0, len(texts), self._at_once):
            batch = [clean_for_model(text) for text in texts[start : start + self._at_once]]
            vectors[start : start + len(batch)] = self._encode(batch, kind)
        if not np.isfinite(vectors).all():
            raise EmbedderError(f"knowledge.embedder: {self._name!r} gives vectors that are none")
        return normalized(vectors)

    def _encode(self, texts: list[str], kind: Kind) -> Any:
        try:
            with self._lock:
                return self._model.encode(
                    texts, prompt_name=self._prompts[kind], batch_size=self._at_once, show_progress_bar=False
                )
        except RuntimeError as error:  # torch's, the card's memory among them; its words may hold the text
            raise EmbedderError(f"knowledge.embedder: {self._name!r} fails ({type(error).__name__})") from error


def _automatic() -> str:
    """Raises ImportError without torch, which the library brings."""
    return "cuda" if importlib.import_module("torch").cuda.is_available() else "cpu"
