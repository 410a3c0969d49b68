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


def test_the_tokens_of_a_text_are_those_of_its_words(embedder: Embedder) -> None:
    texts = ["", "  ", "refund", "refund  me\nnow", "请问订单多久发货？", "order 请问"]
    none, blank, one, three, chinese, mixed = embedder.count_tokens(texts)
    assert none == blank == 0
    assert 0 < one < three
    assert 4 <= chinese <= 10
    assert mixed == sum(embedder.count_tokens(["order", "请问"]))
    assert embedder.count_tokens(["a\0b\ud800"])[0] > 1


def test_e5_counts_what_it_reads() -> None:
    e5: Any = create_embedder("multilingual-e5-small")
    for text in ("How do I get a refund for order 42?", "运费八元，满百包邮。发货后三天内到达。"):
        assert e5.count_tokens([text]) == [len(e5._tokens.of(text))]


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_installed_weights_are_the_pinned_ones(name: str) -> None:
    verify_weights(name)


def test_a_model_that_needs_an_extra_names_it() -> None:
    with pytest.raises(EmbedderError, match=r"'BAAI/bge-m3'.*kefu\[st\]"):
        create_embedder("BAAI/bge-m3")


class _Model:
    """What sentence_transformers.SentenceTransformer shows us of itself."""

    max_seq_length: int | None = 8192

    def __init__(self, name: str, *, device: str, trust_remote_code: bool, model_kwargs: dict[str, Any]) -> None:
        assert not trust_remote_code
        assert model_kwargs.pop("use_safetensors")
        assert model_kwargs == ({"torch_dtype": "float16"} if device.startswith("cuda") else {})
        if name == "no/such-model":
            raise OSError("no/such-model is not a local folder\nand more lines")
        if device == "cuda:7":
            raise RuntimeError("CUDA error: invalid device ordinal\nand more lines")
        self.prompts = {"query": "query: ", "document": "passage: "}
        self.device = device
        self.asked: list[tuple[list[str], str | None]] = []

    def get_sentence_embedding_dimension(self) -> int:
        return 3

    def tokenizer(self, texts: list[str], **options: bool) -> dict[str, list[list[int]]]:
        assert options == {"add_special_tokens": False, "truncation": False, "verbose": False}
        return {"input_ids": [[1] * len(text) for text in texts]}

    def encode(self, texts: list[str], *, prompt_name: str | None, batch_size: int, show_progress_bar: bool) -> Any:
        assert len(texts) <= batch_size
        assert not show_progress_bar
        self.asked.append((texts, prompt_name))
        if "too much" in texts:
            raise RuntimeError("CUDA out of memory")
        value = np.nan if "spoiled" in texts else 2.0
        return np.full((len(texts), 3), value, dtype=np.float16)


@pytest.fixture(params=[True, False], ids=["card", "no card"])
def sentence_transformers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether there is a graphics card."""
    module, torch = types.ModuleType("sentence_transformers"), types.ModuleType("torch")
    module.SentenceTransformer = _Model  # type: ignore[attr-defined]
    torch.cuda = types.SimpleNamespace(is_available=lambda: request.param)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    monkeypatch.setitem(sys.modules, "torch", torch)
    return bool(request.param)


@pytest.mark.usefixtures("sentence_transformers")
def test_a_sentence_transformers_model_is_asked_with_its_own_prompts() -> None:
    embedder: Any = create_embedder("BAAI/bge-m3")
    assert (embedder.name, embedder.dimension) == ("BAAI/bge-m3", 3)
    vectors = embedder.embed(["a\0b"], "query")
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)  # half precision alone: 1e-3
    embedder.embed(["c"], "passage")
    assert embedder._model.asked == [(["a b"], "query"), (["c"], "document")]
    assert embedder.embed([], "query").shape == (0, 3)


def test_the_card_is_used_where_there_is_one_and_nothing_else_was_asked_for(sentence_transformers: bool) -> None:
    automatic: Any = create_embedder("BAAI/bge-m3")
    assert automatic._model.device == ("cuda" if sentence_transformers else "cpu")
    second: Any = create_embedder("BAAI/bge-m3", device="cuda:1")
    assert second._model.device == "cuda:1"


@pytest.mark.usefixtures("sentence_transformers")
def test_questions_wait_for_one_batch_of_passages_at_most() -> None:
    embedder: Any = create_embedder("BAAI/bge-m3", device="cpu")
    embedder.embed(["a", "b", "c", "d", "e", "f"], "passage")
    assert [len(texts) for texts, _ in embedder._model.asked] == [4, 2]


@pytest.mark.usefixtures("sentence_transformers")
def test_its_own_tokens_are_counted_and_its_window_is_bounded() -> None:
    embedder: Any = create_embedder("BAAI/bge-m3")
    assert embedder.count_tokens(["", "abc"]) == [0, 3]
    assert (embedder.window, embedder._model.max_seq_length) == (2048, 2048)


@pytest.mark.usefixtures("sentence_transformers")
@pytest.mark.parametrize(
    ("name", "device", "words"),
    [
        ("no/such-model", "", r"'no/such-model' cannot be loaded.*: no/such-model is not a local folder$"),
        ("BAAI/bge-m3", "cuda:7", r"'BAAI/bge-m3' cannot be loaded on cuda:7: CUDA error: invalid device ordinal$"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_one_line(name: str, device: str, words: str) -> None:
    with pytest.raises(EmbedderError, match=words):
        create_embedder(name, device=device)


@pytest.mark.usefixtures("sentence_transformers")
@pytest.mark.parametrize("text", ["too much", "spoiled"])
def test_a_model_that_fails_is_one_line_without_the_text(text: str) -> None:
    embedder = create_embedder("BAAI/bge-m3")
    with pytest.raises(EmbedderError, match=r"'BAAI/bge-m3' (fails|gives vectors that are none)") as raised:
        embedder.embed([text], "passage")
    assert text not in str(raised.value)
