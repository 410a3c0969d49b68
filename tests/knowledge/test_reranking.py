"""A second look at what was found: the order it gives, and what happens when it is late, fails or can not be had."""

from __future__ import annotations

import asyncio
import sys
import threading
import types
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowledge.config import KnowledgeConfig
from knowledge.embedders.base import Vector
from knowledge.errors import RerankerError
from knowledge.reranking import CANDIDATES, Reranking, create_reranker
from knowledge.service import Knowledge, open_knowledge
from tests.knowledge.hashing import HashingEmbedder

Write = Callable[..., Path]


class LastFirst:
    """Prefers the highest number; can be told to be slow, to fail, or to answer nonsense."""

    name = "last-first"

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.answer: Callable[[Sequence[str]], Vector] = lambda passages: np.array(
            [int(passage.rpartition("number")[2]) / 1000 for passage in passages], dtype=np.float32
        )

    def scores(self, question: str, passages: Sequence[str]) -> Vector:
        self.asked.append((question, len(passages)))
        self.gate.wait(5)
        return self.answer(passages)


@pytest.fixture
def reranker() -> LastFirst:
    return LastFirst()


@pytest.fixture
async def knowledge(
    config: KnowledgeConfig, embedder: HashingEmbedder, write: Write, reranker: LastFirst
) -> AsyncIterator[Knowledge]:
    rows = [{"id": n, "question": f"refund {n}?", "answer": f"the answer is number{n}"} for n in range(60)]
    async with open_knowledge(config, embedder=embedder, reranker=reranker) as opened:
        await opened.sync([write("faq.jsonl", rows)])
        yield opened
        reranker.gate.set()


async def test_the_best_thirty_are_sorted_once_more(
    knowledge: Knowledge, config: KnowledgeConfig, embedder: HashingEmbedder, reranker: LastFirst
) -> None:
    hits = await knowledge.retriever.search("refund 7", top_k=4)
    async with open_knowledge(config, embedder=embedder) as without:
        fused = await without.retriever.search("refund 7", top_k=CANDIDATES)
    assert reranker.asked == [("refund 7", CANDIDATES)]
    best = sorted(fused, key=lambda hit: -int(hit.text.rpartition("number")[2]))[:4]
    assert [hit.id for hit in hits] == [hit.id for hit in best]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    # What the answer is judged by stays what it was.
    assert [(hit.dense, hit.lexical) for hit in hits] == [(hit.dense, hit.lexical) for hit in best]
    assert await knowledge.retriever.search("refund 7", top_k=4) == hits
    assert len(reranker.asked) == 1


async def test_a_reranker_that_is_late_is_not_waited_for_and_not_remembered(
    knowledge: Knowledge, reranker: LastFirst, caplog: pytest.LogCaptureFixture
) -> None:
    assert knowledge.retriever._reranking is not None
    knowledge.retriever._reranking._time_limit = 0.1
    reranker.gate.clear()
    late = await knowledge.retriever.search("refund 7", top_k=3)
    assert late[0].id == "faq.jsonl#7"
    await knowledge.retriever.search("refund 8", top_k=3)
    assert len(reranker.asked) == 1, "nobody stands in line behind one that is overdue"
    assert [record.message for record in caplog.records].count(
        "passages are not reranked; the fused order is served"
    ) == 1
    reranker.gate.set()
    async with asyncio.timeout(5):
        while (hits := await knowledge.retriever.search("refund 7", top_k=3)) == late:
            await asyncio.sleep(0.01)
    assert hits[0].score > hits[1].score > hits[2].score


@pytest.mark.parametrize("wrong", ["raises", "too few", "no numbers"])
async def test_a_reranker_that_fails_leaves_the_fused_order(
    knowledge: Knowledge, reranker: LastFirst, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    def answer(passages: Sequence[str]) -> Vector:
        if wrong == "raises":
            raise RuntimeError(f"out of memory at {passages[0]}")
        return np.full(len(passages) - (wrong == "too few"), np.nan, dtype=np.float32)

    well, reranker.answer = reranker.answer, answer
    assert (await knowledge.retriever.search("refund 7"))[0].id == "faq.jsonl#7"
    assert (await knowledge.retriever.search("refund 8"))[0].id == "faq.jsonl#8"
    (said,) = [record for record in caplog.records if record.name == "knowledge.reranking"]
    assert "number7" not in str(vars(said))
    reranker.answer = well
    assert (await knowledge.retriever.search("refund 7"))[0].id != "faq.jsonl#7"


async def test_who_gives_up_leaves_the_thread_to_the_others(reranker: LastFirst, knowledge: Knowledge) -> None:
    reranker.gate.clear()
    first = asyncio.create_task(knowledge.retriever.search("refund 7", top_k=3))
    async with asyncio.timeout(5):
        while not reranker.asked:
            await asyncio.sleep(0.01)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.create_task(knowledge.retriever.search("refund 9", top_k=3))
    await asyncio.sleep(0.05)
    reranker.gate.set()
    assert (await second)[0].id != "faq.jsonl#9"


async def test_one_passage_needs_no_second_look(reranker: LastFirst, knowledge: Knowledge) -> None:
    (hit, *_) = await knowledge.retriever.search("refund 7", top_k=1)
    reranking = Reranking(reranker)
    assert await reranking.sort("refund 7", [hit]) == (hit,)
    assert await reranking.sort("refund 7", []) == ()
    await reranking.close()


# --- The models themselves ------------------------------------------------------------------------------


class _Model:
    """What sentence_transformers.CrossEncoder shows us of itself."""

    def __init__(
        self,
        name: str,
        *,
        device: str | None,
        max_length: int,
        trust_remote_code: bool,
        model_kwargs: dict[str, Any],
        activation_fn: object,
    ) -> None:
        assert (max_length, trust_remote_code, activation_fn) == (512, False, "identity")
        assert model_kwargs == {"use_safetensors": True} | ({"torch_dtype": "float16"} if device == "cuda:1" else {})
        if name == "no/such-model":
            raise OSError("no/such-model is not a local folder\nand more lines")
        built_as = "XLMRobertaModel" if name == "some/embedder" else "XLMRobertaForSequenceClassification"
        self.config = types.SimpleNamespace(architectures=[built_as])
        self.num_labels = 3 if name == "some/nli" else 1

    def predict(self, pairs: list[tuple[str, str]], *, show_progress_bar: bool) -> Any:
        assert not show_progress_bar
        return np.array([{"a": -800.0, "b b": 2.0, "c": 0.0}[passage] for _, passage in pairs], dtype=np.float16)


@pytest.fixture
def sentence_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("sentence_transformers")
    module.CrossEncoder = _Model  # type: ignore[attr-defined]
    torch = types.ModuleType("torch")
    torch.nn = types.SimpleNamespace(Identity=lambda: "identity")  # type: ignore[attr-defined]
    torch.cuda = types.SimpleNamespace(is_available=lambda: False)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    monkeypatch.setitem(sys.modules, "torch", torch)


@pytest.mark.usefixtures("sentence_transformers")
@pytest.mark.parametrize("device", ["", "cpu", "cuda:1"])
def test_a_cross_encoders_scores_are_brought_to_0_to_1(device: str) -> None:
    reranker = create_reranker("BAAI/bge-reranker-v2-m3", device=device)
    assert reranker.name == "BAAI/bge-reranker-v2-m3"
    scores = reranker.scores("q\0", ["a", "b\0b", "c"])
    assert scores.dtype == np.float32
    assert scores == pytest.approx([0.0, 0.8808, 0.5], abs=1e-4)


@pytest.mark.usefixtures("sentence_transformers")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no/such-model", "'no/such-model' cannot be loaded: no/such-model is not a local folder$"),
        ("some/embedder", "'some/embedder' does not score pairs of texts: is it a reranker"),
        ("some/nli", "'some/nli' does not score pairs of texts"),
    ],
)
def test_what_is_no_reranker_is_one_line(name: str, says: str) -> None:
    with pytest.raises(RerankerError, match=f"^knowledge.reranker: {says}"):
        create_reranker(name)


async def test_a_reranker_without_its_library_names_the_extra(
    config: KnowledgeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(RerankerError, match=r"^knowledge.reranker: 'BAAI/bge-reranker-v2-m3' needs kefu\[st\]$"):
        create_reranker("BAAI/bge-reranker-v2-m3")


def test_a_cross_encoder_as_the_library_has_it(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="needs kefu[st]")
    from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"退款多久到账发票运费"]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    tokenizer = BertTokenizerFast.from_pretrained(tmp_path)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    shape = BertConfig(vocab_size=len(words), num_labels=1, **sizes)
    for name, model in (("reranker", BertForSequenceClassification(shape)), ("embedder", BertModel(shape))):
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    reranker = create_reranker(str(tmp_path / "reranker"), device="cpu")
    scores = reranker.scores("退款多久到账", ["退款", "发票" * 900, "", "运费"])
    assert scores.shape == (4,)
    assert 0.0 < scores.min() < scores.max() < 1.0
    assert reranker.scores("退款多久到账", ["运费"]) == pytest.approx(scores[3:], abs=1e-5)
    with pytest.raises(RerankerError, match="does not score pairs"):
        create_reranker(str(tmp_path / "embedder"), device="cpu")
