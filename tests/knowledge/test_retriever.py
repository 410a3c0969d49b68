"""Searching: both halves, the cache, what follows a sync, and what happens when the index breaks."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from knowledge import table_indexes
from knowledge.config import KnowledgeConfig
from knowledge.embedders.base import Kind, Vector
from knowledge.errors import EmbedderError
from knowledge.index import KnowledgeIndex
from knowledge.memory_snapshot import MemorySnapshot
from knowledge.scope import Scope
from knowledge.service import Knowledge, open_knowledge
from knowledge.values import Hit
from tests.knowledge.hashing import HashingEmbedder

Write = Callable[..., Path]

TOPICS = ["shipping", "refund", "invoice", "password", "warranty", "coupon", "address", "parcel", "exchange", "points"]


@pytest.fixture
def shop(write: Write) -> Path:
    """200 rows; those of one topic share its word, and every row has a number of its own."""
    return write(
        "shop.jsonl",
        [
            {"id": n, "question": f"{TOPICS[n % 10]} question number{n}", "answer": f"answer of {TOPICS[n % 10]}"}
            for n in range(200)
        ],
    )


async def test_a_hit_says_where_it_is_from_and_how_it_was_found(knowledge: Knowledge, write: Write) -> None:
    row = {
        "id": "a",
        "question": "怎么开发票？",
        "answer": "点开订单。",
        "url": "https://x.example",
        "tags": ["发票", "订单"],
    }
    await knowledge.sync([write("faq.jsonl", [row]), write("guide.md", "# 指南\n\n## 运费\n\n满九十九元包邮。\n")])
    first, second = await knowledge.retriever.search("怎么开发票？")
    assert first == Hit(
        id="faq.jsonl#a",
        document="faq.jsonl#a",
        collection="default",
        title="怎么开发票？",
        text="点开订单。",
        question="怎么开发票？",
        answer="点开订单。",
        url="https://x.example",
        tags=("发票", "订单"),
        score=first.score,
        dense=first.dense,
        lexical=1.0,
        language="zh",
        version=1,
    )
    assert (second.id, second.title, second.question, second.answer) == ("guide.md#运费", "指南 › 运费", None, None)
    assert 1.0 >= first.score > second.score >= 0.0
    assert 1.0 >= first.dense > second.dense


async def test_a_rare_word_finds_what_the_vectors_cannot_tell_apart(knowledge: Knowledge, shop: Path) -> None:
    await knowledge.sync([shop])
    (hit, *_) = await knowledge.retriever.search("refund question number141")
    assert hit.id == "shop.jsonl#141"


@pytest.mark.parametrize(
    "query", ["", "   ", "\n", "？！", "a AND b OR (", '"unclosed', "*:*", "\0\ud800", "x" * 100_000]
)
async def test_any_text_can_be_asked(knowledge: Knowledge, shop: Path, query: str) -> None:
    await knowledge.sync([shop])
    hits = await knowledge.retriever.search(query, top_k=3)
    assert len(hits) == (3 if query.strip() else 0)


async def test_full_width_letters_find_plain_ones(knowledge: Knowledge, shop: Path) -> None:
    await knowledge.sync([shop])
    (hit, *_) = await knowledge.retriever.search("ｎｕｍｂｅｒ１７")
    assert (hit.id, hit.lexical) == ("shop.jsonl#17", 1.0)


async def test_the_cache_never_outlives_the_version_it_is_of(knowledge: Knowledge, write: Write) -> None:
    path = write("faq.jsonl", [{"id": 1, "question": "when", "answer": "today"}])
    await knowledge.sync([path])
    (old,) = await knowledge.retriever.search("when")
    write("faq.jsonl", [{"id": 1, "question": "when", "answer": "tomorrow"}])
    await knowledge.sync([path])
    (new,) = await knowledge.retriever.search("when")
    assert (old.answer, new.answer) == ("today", "tomorrow")


async def test_equal_questions_at_once_are_embedded_and_searched_once(
    knowledge: Knowledge, embedder: HashingEmbedder, shop: Path
) -> None:
    await knowledge.sync([shop])
    found = await asyncio.gather(*(knowledge.retriever.search("refund  question ") for _ in range(50)))
    assert len(set(found)) == 1
    await knowledge.retriever.search("refund question", collections=["default", "none"])
    assert (await knowledge.retriever.embed_query("refund question")).shape == (64,)
    assert embedder.queries == ["refund question"]


async def test_an_expected_search_has_begun_when_it_is_asked_for(
    knowledge: Knowledge, embedder: HashingEmbedder, shop: Path
) -> None:
    await knowledge.sync([shop])
    retriever = knowledge.retriever
    assert await retriever.search("refund", top_k=3)
    embedder.queries.clear()
    retriever.expect("the  warranty", collections=["default"], top_k=3)
    retriever.expect("coupon", collections=["default"], top_k=3)
    while not embedder.queries:
        await asyncio.sleep(0.001)
    assert (await retriever.search("the warranty", top_k=3))[0].question.startswith("warranty")  # type: ignore[union-attr]
    assert embedder.queries == ["the warranty"], "one at a time, and once"


async def test_a_search_that_fails_ahead_of_its_question_fails_silently(config: KnowledgeConfig, shop: Path) -> None:
    embedder = _FailingEmbedder()
    async with open_knowledge(config, embedder=embedder) as knowledge:
        await knowledge.sync([shop])
        embedder.broken = True
        for query in ("refund", " "):
            knowledge.retriever.expect(query, collections=["default"], top_k=3)
            await asyncio.sleep(0.05)
        embedder.broken = False
        assert await knowledge.retriever.search("refund")
        knowledge.retriever.expect("coupon", collections=["default"], top_k=3)


async def test_the_cache_keeps_collections_apart(knowledge: Knowledge, write: Write) -> None:
    row = {"id": 1, "question": "salary", "answer": "internal only"}
    await knowledge.sync([write("hr.jsonl", [row])], collection="internal")
    assert len(await knowledge.retriever.search("salary", collections=["internal"])) == 1
    assert await knowledge.retriever.search("salary") == ()
    assert await knowledge.retriever.search("salary", collections=[]) == ()


async def test_who_gives_up_does_not_take_the_answer_from_the_others(knowledge: Knowledge, shop: Path) -> None:
    await knowledge.sync([shop])
    first = asyncio.create_task(knowledge.retriever.search("warranty"))
    second = asyncio.create_task(knowledge.retriever.search("warranty"))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second)[0].question.startswith("warranty")  # type: ignore[union-attr]
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_small_collection_beside_a_large_one_is_searched_whole(
    knowledge: Knowledge, shop: Path, write: Write
) -> None:
    await knowledge.sync([shop])
    small = write("it.jsonl", [{"id": "vpn", "question": "refund question of the vpn", "answer": "ask IT"}])
    await knowledge.sync([small], collection="internal")
    (hit,) = await knowledge.retriever.search("refund question", collections=["internal"])
    assert (hit.id, hit.lexical) == ("it.jsonl#vpn", 1.0)


@pytest.mark.parametrize("indexed", [False, True], ids=["scanned", "with a vector index"])
async def test_an_index_too_large_for_memory_finds_the_same(
    config: KnowledgeConfig,
    embedder: HashingEmbedder,
    shop: Path,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    indexed: bool,
) -> None:
    if indexed:
        monkeypatch.setattr(table_indexes, "VECTOR_INDEX_FROM", 100)
    asked = [
        (query, collections)
        for query in ("refund question number141", "warranty", "ｎｕｍｂｅｒ１７ please", "退款")
        for collections in (("default",), ("internal",), ("default", "internal"))
    ]
    async with open_knowledge(config, embedder=embedder) as knowledge:
        await knowledge.sync([shop])
        other = write("it.jsonl", [{"id": 1, "question": "refund", "answer": "x"}])
        await knowledge.sync([other], collection="internal")
        expected = [await _scores(knowledge, *question) for question in asked]
    monkeypatch.setattr(table_indexes, "MAX_PASSAGES_IN_MEMORY", 10)
    async with open_knowledge(config, embedder=embedder) as knowledge:
        await knowledge.rebuild()
        assert type(knowledge.retriever._snapshot).__name__ == "DiskSnapshot"
        for question, scores in zip(asked, expected, strict=True):
            # The mean cosine is that of every collection here, so scores differ a little.
            assert await _scores(knowledge, *question) == pytest.approx(scores, abs=0.02)


async def test_long_texts_score_the_same_on_the_disk(
    config: KnowledgeConfig, embedder: HashingEmbedder, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": n, "question": f"warranty {n}", "answer": f"it covers part number{n} " * 60} for n in range(30)]
    asked = ("how long is the warranty 7", "part number17 broke")
    async with open_knowledge(config, embedder=embedder) as knowledge:
        await knowledge.sync([write("articles.jsonl", rows)])
        expected = [await _scores(knowledge, question, ("default",)) for question in asked]
    monkeypatch.setattr(table_indexes, "MAX_PASSAGES_IN_MEMORY", 10)
    async with open_knowledge(config, embedder=embedder) as knowledge:
        await knowledge.rebuild()
        for question, scores in zip(asked, expected, strict=True):
            assert await _scores(knowledge, question, ("default",)) == pytest.approx(scores, abs=1e-4)


async def _scores(knowledge: Knowledge, query: str, collections: Sequence[str]) -> list[float]:
    """Scores, not ids: many rows of a topic are equally good."""
    return [hit.score for hit in await knowledge.retriever.search(query, collections=collections, top_k=3)]


async def test_a_sync_of_another_process_is_followed(
    knowledge: Knowledge, config: KnowledgeConfig, shop: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    await knowledge.sync([shop])
    knowledge.retriever._interval = 0.0
    async with open_knowledge(config, embedder=HashingEmbedder()) as other:
        await other.sync([write("shop.jsonl", [{"id": "new", "question": "refund", "answer": "new"}])])
    (hit,) = await knowledge.retriever.search("refund")
    assert hit.answer == "new"


async def test_what_has_not_changed_is_not_opened(
    knowledge: Knowledge, config: KnowledgeConfig, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await knowledge.sync([shop])
    opened: list[int | None] = []
    live_version = KnowledgeIndex.live_version

    async def watched(index: KnowledgeIndex) -> int | None:
        opened.append(await live_version(index))
        return opened[-1]

    monkeypatch.setattr(KnowledgeIndex, "live_version", watched)
    knowledge.retriever._interval = 0.0
    for number in range(3):
        assert await knowledge.retriever.search(f"refund {number}")
    assert opened == []
    shutil.rmtree(Path(config.uri) / "passages.lance")
    assert await knowledge.retriever.search("refund, the folder gone")
    assert opened == [None]


async def test_words_are_looked_up_while_the_question_is_embedded(knowledge: Knowledge, shop: Path) -> None:
    await knowledge.sync([shop])
    snapshot = knowledge.retriever._snapshot
    assert isinstance(snapshot, MemorySnapshot)
    matched: list[str] = []
    match = snapshot.passages.match
    snapshot.passages.match = lambda text, *rest: matched.append(text) or match(text, *rest)  # type: ignore[assignment, func-returns-value]

    async def vector() -> Vector:
        assert matched == ["refund"]
        return await knowledge.retriever.embed_query("refund")

    assert await snapshot.search("refund", vector, scope=Scope.of(["default"]), top_k=3)


@pytest.mark.usefixtures("on_disk")
async def test_a_version_that_vanishes_under_a_search_is_replaced_by_the_next(
    knowledge: Knowledge, config: KnowledgeConfig, shop: Path, write: Write
) -> None:
    await knowledge.sync([shop])
    knowledge.retriever._interval = 3600.0  # it will not look by itself
    await knowledge.retriever.refresh()
    async with open_knowledge(config, embedder=HashingEmbedder()) as other:
        await other.sync([write("shop.jsonl", [{"id": "new", "question": "refund", "answer": "new"}])])
    (hit,) = await knowledge.retriever.search("refund")
    assert hit.answer == "new"


async def test_searching_goes_on_when_the_folder_is_deleted(
    knowledge: Knowledge, config: KnowledgeConfig, shop: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await knowledge.sync([shop])
    shutil.rmtree(config.uri)
    knowledge.retriever._interval = 0.0
    hits = await knowledge.retriever.search("refund question", top_k=5)
    assert [hit.question.split()[0] for hit in hits if hit.question] == ["refund"] * 5
    assert hits[0].lexical == 1.0
    await knowledge.retriever.search("warranty")
    # Once, not once a question.
    assert [record.message for record in caplog.records].count("knowledge index cannot be followed") == 1


@pytest.mark.usefixtures("on_disk")
async def test_searching_the_disk_goes_on_by_meaning_when_the_full_text_is_damaged(
    knowledge: Knowledge, config: KnowledgeConfig, shop: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await knowledge.sync([shop])
    shutil.rmtree(Path(config.uri) / "passages.lance" / "_indices")
    await knowledge.retriever.reload()
    assert not knowledge.retriever.is_damaged
    hits = await knowledge.retriever.search("refund question", top_k=5)
    assert [hit.question.split()[0] for hit in hits if hit.question] == ["refund"] * 5
    assert {hit.lexical for hit in hits} == {0.0}
    assert knowledge.retriever.is_damaged
    await knowledge.retriever.search("warranty")
    assert [record.message for record in caplog.records].count("full-text search failed") == 1


class _SlowEmbedder(HashingEmbedder):
    """Takes its time, and remembers how many were at it at once and in which batches."""

    def __init__(self) -> None:
        super().__init__()
        self.release = threading.Event()
        self.batches: list[int] = []

    def embed(self, texts: Sequence[str], kind: Kind) -> Vector:
        if kind == "query":
            self.batches.append(len(texts))
            self.release.wait(5)
        return super().embed(texts, kind)


async def test_questions_that_pile_up_are_embedded_in_batches_off_the_loop(config: KnowledgeConfig, shop: Path) -> None:
    embedder = _SlowEmbedder()
    async with open_knowledge(config, embedder=embedder) as knowledge:
        await knowledge.sync([shop])
        asked = [asyncio.create_task(knowledge.retriever.embed_query(f"question {n}")) for n in range(40)]
        await asyncio.sleep(0.05)  # the loop is free although every embedding thread is stuck
        embedder.release.set()
        vectors = await asyncio.gather(*asked)
    assert len({vector.tobytes() for vector in vectors}) > 20
    assert sum(embedder.batches) == 40
    assert max(embedder.batches) > 1
    alone = HashingEmbedder().embed(["question 7"], "query")[0]
    assert np.array_equal(vectors[7], alone)


class _OneByOne(_SlowEmbedder):
    """Takes as long for two as for one and one."""

    @property
    def questions_at_once(self) -> int:
        return 1


async def test_where_nothing_is_gained_no_question_waits_for_another(config: KnowledgeConfig) -> None:
    embedder = _OneByOne()
    async with open_knowledge(config, embedder=embedder) as knowledge:
        asked = [asyncio.create_task(knowledge.retriever.embed_query(f"question {n}")) for n in range(12)]
        await asyncio.sleep(0.05)
        embedder.release.set()
        await asyncio.gather(*asked)
    assert embedder.batches == [1] * 12


class _FailingEmbedder(HashingEmbedder):
    broken = False

    def embed(self, texts: Sequence[str], kind: Kind) -> Vector:
        if self.broken:
            raise RuntimeError("out of memory")
        return super().embed(texts, kind)


async def test_a_failed_embedding_is_raised_and_the_next_question_tries_again(
    config: KnowledgeConfig, shop: Path
) -> None:
    embedder = _FailingEmbedder()
    async with open_knowledge(config, embedder=embedder) as knowledge:
        await knowledge.sync([shop])
        embedder.broken = True
        with pytest.raises(EmbedderError, match="cannot be embedded: RuntimeError"):
            await knowledge.retriever.search("refund")
        embedder.broken = False
        assert await knowledge.retriever.search("refund")


async def test_a_long_letter_is_embedded_by_its_two_ends(knowledge: Knowledge, embedder: HashingEmbedder) -> None:
    await knowledge.retriever.embed_query("开头" + "很长的信，" * 2000 + "结尾")
    (asked,) = embedder.queries
    assert asked.startswith("开头")
    assert asked.endswith("结尾")
    assert len(asked) < 300


async def test_many_texts_are_embedded_in_one_go(knowledge: Knowledge) -> None:
    vectors = await knowledge.retriever.embed_queries(["hello", "你好", ""])
    assert vectors.shape == (3, 64)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0)
