"""Filters: what is outside a scope is never found, whatever its names and the question look like."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from knowledge import table_indexes
from knowledge.config import KnowledgeConfig
from knowledge.documents import SourceContents
from knowledge.errors import IndexMismatchError
from knowledge.language import LANGUAGES, language_of
from knowledge.scope import Scope
from knowledge.service import Knowledge, open_knowledge
from knowledge.values import Document
from tests.knowledge.hashing import HashingEmbedder

Write = Callable[..., Path]

HOSTILE = [
    "' OR 1=1 --",
    "' OR '1'='1",
    '" OR ""="',
    "x') OR (collection != 'x",
    "`tags`",
    "a\\' OR true --",
    "%",
    "_",
    "*",
    "客户甲",
    "客户甲' OR 1=1 --",
    "NULL",
    "array_has(tags, 'vip')",
    "line\nbreak; DROP TABLE passages",
    "",
    "a\0b",
    "x" * 65_536,
]

TAGS = [HOSTILE[0], "客户甲", "vip", "a,b"]
EN, ZH = "The refund is with the customer in {}", "退款会在{}天内到账，请您耐心等待"


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeConfig:
    """A collection for each hostile name; in each a passage for each pair of tags and each language, and a canary."""
    config = KnowledgeConfig(uri=str(tmp_path_factory.mktemp("tenants") / "index"), embedder="hashing")

    async def fill() -> None:
        async with open_knowledge(config, embedder=HashingEmbedder()) as knowledge:
            # As the samples go in: all collections in one version.
            sources = {name: partial(_documents, number) for number, name in enumerate(HOSTILE)}
            await knowledge._sync.add_samples(sources, known={})

    with pytest.MonkeyPatch.context() as patched:
        # With the indexes that a search on the disk needs; one in memory does without.
        patched.setattr(table_indexes, "MAX_PASSAGES_IN_MEMORY", 1)
        asyncio.run(fill())
    return config


async def _documents(number: int) -> SourceContents:
    documents = [
        Document(
            id=f"t{number}.jsonl#{language}{place}",
            title=form.format(f"canary{number}"),
            text=form.format(f"canary{number}x{place}"),
            format="row",
            tags=pair,
        )
        for place, pair in enumerate(itertools.combinations(TAGS, 2))
        for language, form in (("en", EN), ("zh", ZH))
    ]
    return SourceContents(documents=tuple(documents), problems=())


@pytest.fixture(params=["memory", "disk"])
async def tenants(
    request: pytest.FixtureRequest, everybody: KnowledgeConfig, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Knowledge]:
    if request.param == "disk":
        monkeypatch.setattr(table_indexes, "MAX_PASSAGES_IN_MEMORY", 1)
    async with open_knowledge(everybody, embedder=HashingEmbedder()) as knowledge:
        await knowledge.check()
        assert type(knowledge.retriever._snapshot).__name__ == f"{request.param.title()}Snapshot"
        yield knowledge


async def test_nothing_foreign_is_found_whatever_is_asked_and_wherefore(tenants: Knowledge) -> None:
    chance = random.Random(27)
    found = 0
    for _ in range(100):
        own = chance.sample(HOSTILE, k=chance.randint(1, 2))
        tags = chance.sample([*TAGS, *HOSTILE[1:3]], k=chance.randint(0, 2))
        language = chance.choice(["", "zh", "en"])
        question = chance.choice([*HOSTILE[:-1], "refund canary3", "退款 canary5", "canary1' OR 1=1 --"]) or "refund"
        hits = await tenants.retriever.search(question, collections=own, tags=tags, language=language, top_k=12)
        found += len(hits)
        for hit in hits:
            assert hit.collection in own
            assert set(tags) <= set(hit.tags)
            assert language in ("", hit.language)
            assert f"canary{HOSTILE.index(hit.collection)}x" in hit.text
    assert found > 150


async def test_a_scope_finds_everything_that_is_in_it(tenants: Knowledge) -> None:
    for name in HOSTILE:
        hits = await tenants.retriever.search("refund 退款", collections=[name], top_k=50)
        assert len(hits) == 12
        hits = await tenants.retriever.search("refund", collections=[name], tags=["vip", "客户甲"], language="en")
        assert [(hit.language, hit.tags) for hit in hits] == [("en", ("客户甲", "vip"))]
        hits = await tenants.retriever.search("refund", collections=[name], tags=[HOSTILE[0]], language="zh-CN")
        assert len(hits) == 3


async def test_a_tag_that_is_not_there_finds_nothing(tenants: Knowledge) -> None:
    for tag in [*HOSTILE[1:9], "vi", "VIP", "客户", "\x1f", "vip\x1fa,b"]:
        assert await tenants.retriever.search("refund", collections=HOSTILE, tags=[tag]) == ()
        assert await tenants.retriever.search("refund", collections=HOSTILE, tags=["vip", tag]) == ()


async def test_what_shows_no_language_is_in_the_scope_of_each(knowledge: Knowledge, write: Write) -> None:
    rows = [
        {"id": "zh", "question": "运费多少？", "answer": "满九十九元包邮。"},
        {"id": "en", "question": "How much is shipping?", "answer": "It is free for orders above 99."},
        {"id": "none", "question": "SF-12 kg", "answer": "18.00"},
    ]
    await knowledge.sync([write("faq.jsonl", rows)])
    for language in ("zh", "en"):
        hits = await knowledge.retriever.search("运费 shipping", language=language)
        assert {hit.id.partition("#")[2] for hit in hits} == {language, "none"}


async def test_scopes_do_not_share_what_is_remembered(knowledge: Knowledge, write: Write) -> None:
    row = {"id": 1, "question": "salary", "answer": "x", "tags": ["hr"]}
    await knowledge.sync([write("hr.jsonl", [row])])
    assert await knowledge.retriever.search("salary", tags=["it"]) == ()
    assert len(await knowledge.retriever.search("salary", tags=["hr"])) == 1
    assert len(await knowledge.retriever.search("salary")) == 1


async def test_an_index_of_an_older_format_is_refused_until_it_is_rebuilt(
    config: KnowledgeConfig, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"id": 1, "question": "怎么开发票？", "answer": "点开订单。"}
    with monkeypatch.context() as older:
        older.setattr("knowledge.schema.FORMAT", 1)
        async with open_knowledge(config, embedder=HashingEmbedder()) as knowledge:
            await knowledge.sync([write("faq.jsonl", [row])])
    async with open_knowledge(config, embedder=HashingEmbedder()) as knowledge:
        with pytest.raises(IndexMismatchError, match=r"older kefu.* `kefu knowledge rebuild`"):
            await knowledge.retriever.search("发票")
        await knowledge.rebuild()
        (hit,) = await knowledge.retriever.search("发票", language="zh")
        assert hit.language == "zh"


def test_equal_wishes_are_equal_scopes() -> None:
    assert Scope.of(["b", "a", "b"], ["y", "x"], "zh-Hant") == Scope(("a", "b"), ("x", "y"), "zh")
    assert Scope.of(["a"], language="EN_us") == Scope(("a",), (), "en")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("怎么开发票？", "zh"),
        ("iPhone 15 Pro Max 支持 eSIM 双卡吗", "zh"),
        ("無印良品の杯子可以退貨嗎", "zh"),
        ("返品はどうすればいいですか", "ja"),
        ("配送料はいくらですか。注文から三日以内に発送します", "ja"),
        ("환불은 언제 되나요", "ko"),
        ("How do I return an item?", "en"),
        ("Our flagship store is called 京东 and it ships to you within two days.", "en"),
        ("Wie kann ich die Ware zurückgeben?", "de"),
        ("Vous pouvez retourner les articles dans les 14 jours", "fr"),
        ("Puede devolver los artículos en 14 días y se le reembolsa", "es"),
        ("Как вернуть товар?", "ru"),
        ("SF-12 | 18.00 | 5 kg", ""),
        ("iPhone 15 Pro", ""),
        ("https://the.example/of/the/and?is=to&are=in", ""),
        ("😀 12:30", ""),
        ("", ""),
    ],
)
def test_a_passage_shows_its_language(text: str, expected: str) -> None:
    assert language_of(text) == expected
    assert expected in ("", *LANGUAGES)
