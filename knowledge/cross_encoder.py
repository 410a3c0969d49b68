"""Any cross-encoder of sentence-transformers by name or local path, e.g. BAAI/bge-reranker-v2-m3: `pip install
kefu[st]`."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from knowledge.embedders.base import Vector
from knowledge.embedders.common import clean_for_model
from knowledge.errors import RerankerError

# A passage of ours has some 320 tokens at most; only a row that was never cut is longer, and its beginning says what it
# is about. Models read up to 8,192, at 600 times the cost.
_LONGEST_PAIR = 512

_HEADS = ("ForSequenceClassification", "ForCausalLM")


class CrossEncoderReranker:
    """Reads question and passage together, which no vector can, and takes a hundred times as long."""

    def __init__(self, name: str, *, device: str = "") -> None:
        """:param device: "cpu", "cuda", "cuda:1", …; "" is the graphics card where there is one.

        Raises RerankerError when the library or the model is not there, or the model does not score pairs. Blocks.
        """
        try:
            library = importlib.import_module("sentence_transformers")
            torch = importlib.import_module("torch")
        except ImportError as error:
            raise RerankerError(f"knowledge.reranker: {name!r} needs kefu[st]") from error
        # Code that comes with a model is not run, and only safetensors are read: a pickle is code too.
        options: dict[str, Any] = {"use_safetensors": True}
        if device.startswith("cuda") or (not device and torch.cuda.is_available()):
            options["torch_dtype"] = "float16"
        try:
            self._model: Any = library.CrossEncoder(
                name,
                device=device or None,
                max_length=_LONGEST_PAIR,
                trust_remote_code=False,
                model_kwargs=options,
                # The plain number, whatever the model would make of it: `scores` brings every model's to 0 to 1.
                activation_fn=torch.nn.Identity(),
            )
        except (OSError, ValueError, RuntimeError, AssertionError) as error:
            reason = str(error).split("\n", 1)[0]
            raise RerankerError(f"knowledge.reranker: {name!r} cannot be loaded: {reason}") from error
        built_as = getattr(self._model.config, "architectures", None) or ()
        # The library would give an embedder, say, a head of random numbers.
        if self._model.num_labels != 1 or (built_as and not built_as[0].endswith(_HEADS)):
            raise RerankerError(f"knowledge.reranker: {name!r} does not score pairs of texts: is it a reranker?")
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def scores(self, question: str, passages: Sequence[str]) -> Vector:
        pairs = [(clean_for_model(question), clean_for_model(passage)) for passage in passages]
        logits = np.asarray(self._model.predict(pairs, show_progress_bar=False), dtype=np.float64)
        scores: Vector = (1.0 / (1.0 + np.exp(-np.clip(logits, -60.0, 60.0)))).astype(np.float32)
        return scores
