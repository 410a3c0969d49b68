"""The embedded models themselves, and what is said of others."""

from __future__ import annotations

import sys
import types
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from knowledge.embedders import create_embedder, verify_weights
from knowledge.embedders.base import Embedder, Kind
from knowledge.errors import EmbedderError

EMBEDDED = ["multilingual-e5-small", "use-multilingual"]


@pytest.fixture(scope="module", params=EMBEDDED)
def embedder(request: pytest.FixtureRequest) -> Embedder:
    return create_embedder(request.param)


def test_any_text_has_a_vector_of_length_one(embedder: Embedder) -> None:
    texts = ["", " ", "\0", "\ud800", "密码忘了怎么办", "a" * 3000]
    vectors = embedder.embed(texts, "query")
    assert vectors.shape == (len(texts), embedder.dimension)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-4)
    assert embedder.embed([], "passage").shape == (0, embedder.dimension)


def test_what_follows_a_nul_byte_counts(embedder: Embedder) -> None:
    cut, whole = embedder.embed(["退款", "退款\0多久到账"], "passage")
    assert cut @ whole < 0.999


@pytest.mark.parametrize("kind", ["query", "passage"])
def test_the_same_text_has_the_same_vector_alone_in_a_batch_and_from_many_threads(
    embedder: Embedder, kind: Kind
) -> None:
    texts = ["订单多久发货？", "how do I get a refund", "发票", "I want to talk to a human, please"]
    batch = embedder.embed(texts, kind)
    with ThreadPoolExecutor(4) as pool:
        alone = list(pool.map(lambda text: embedder.embed([text], kind)[0], texts * 4))
    assert np.allclose(np.stack(alone), np.concatenate([batch] * 4), atol=1e-5)


def test_paraphrases_are_nearer_than_strangers_in_both_languages(embedder: Embedder) -> None:
    question, same, other = embedder.embed(["密码忘了怎么办", "忘记密码如何找回", "运费怎么算"], "query")
    assert question @ same > question @ other
    question, same, other = embedder.embed(["where is my parcel", "how to track my package", "pay by card"], "query")
    assert question @ same > question @ other


def test_e5_tells_questions_from_passages() -> None:
    e5 = create_embedder("multilingual-e5-small")
    assert not np.allclose(e5.embed(["退款"], "query"), e5.embed(["退款"], "passage"))


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_installed_weights_are_the_pinned_ones(name: str) -> None:
    verify_weights(name)


def test_a_model_that_needs_an_extra_names_it() -> None:
    with pytest.raises(EmbedderError, match=r"'BAAI/bge-m3'.*kefu\[st\]"):
        create_embedder("BAAI/bge-m3")


class _Model:
    """What sentence_transformers.SentenceTransformer shows us of itself."""

    def __init__(self, name: str, *, trust_remote_code: bool, model_kwargs: dict[str, Any]) -> None:
        assert not trust_remote_code
        assert model_kwargs == {"use_safetensors": True}
        if name == "no/such-model":
            raise OSError("no/such-model is not a local folder\nand more lines")
        self.prompts = {"query": "query: ", "document": "passage: "}
        self.asked: list[tuple[list[str], str | None]] = []

    def get_sentence_embedding_dimension(self) -> int:
        return 3

    def encode(self, texts: list[str], *, prompt_name: str | None, **options: bool) -> Any:
        assert options == {"normalize_embeddings": True, "show_progress_bar": False}
        self.asked.append((texts, prompt_name))
        return np.ones((len(texts), 3), dtype=np.float64)


@pytest.fixture
def sentence_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("sentence_transformers")
    module.SentenceTransformer = _Model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)


@pytest.mark.usefixtures("sentence_transformers")
def test_a_sentence_transformers_model_is_asked_with_its_own_prompts() -> None:
    embedder: Any = create_embedder("BAAI/bge-m3")
    assert (embedder.name, embedder.dimension) == ("BAAI/bge-m3", 3)
    assert embedder.embed(["a\0b"], "query").dtype == np.float32
    embedder.embed(["c"], "passage")
    assert embedder._model.asked == [(["a b"], "query"), (["c"], "document")]


@pytest.mark.usefixtures("sentence_transformers")
def test_a_model_that_cannot_be_loaded_is_one_line() -> None:
    with pytest.raises(EmbedderError, match=r"'no/such-model' cannot be loaded: no/such-model is not a local folder$"):
        create_embedder("no/such-model")
