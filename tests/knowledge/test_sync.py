"""What a sync adds, changes, removes, leaves alone and refuses."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from knowledge.config import KnowledgeConfig
from knowledge.errors import (
    IndexMismatchError,
    IndexMissingError,
    IndexUnreadableError,
    LedgerError,
    SourceError,
    SyncBusyError,
)
from knowledge.index import KnowledgeIndex
from knowledge.service import Knowledge, open_knowledge
from knowledge.values import CollectionSummary
from tests.knowledge.hashing import HashingEmbedder

Write = Callable[..., Path]


def _faq(*rows: tuple[str, str, str]) -> list[dict[str, object]]:
    return [{"id": own, "question": question, "answer": answer} for own, question, answer in rows]


SHIPPING = ("shipping", "订单多久发货？", "当天发货。")
REFUND = ("refund", "退款多久到账？", "三天到账。")
INVOICE = ("invoice", "How do I get an invoice?", "Open the order and tap Invoice.")


async def _ids(knowledge: Knowledge, question: str, *collections: str) -> list[str]:
    return [hit.id for hit in await knowledge.retriever.search(question, collections=collections or ("default",))]


async def test_a_second_sync_embeds_only_what_changed_and_drops_what_vanished(
    knowledge: Knowledge, embedder: HashingEmbedder, write: Write
) -> None:
    path = write("kb/faq.jsonl", _faq(SHIPPING, REFUND))
    first = await knowledge.sync([path])
    assert (first.added, first.changed, first.removed, first.unchanged) == (2, 0, 0, 0)
    write("kb/faq.jsonl", _faq(SHIPPING, ("refund", "退款多久到账？", "五天到账。"), INVOICE))
    embedder.passages.clear()
    second = await knowledge.sync([path])
    assert (second.added, second.changed, second.removed, second.unchanged) == (1, 1, 0, 1)
    assert not any("当天发货" in text for text in embedder.passages)
    write("kb/faq.jsonl", _faq(REFUND))
    third = await knowledge.sync([path])
    assert (third.added, third.changed, third.removed, third.unchanged) == (0, 1, 2, 0)
    assert await _ids(knowledge, "订单多久发货？ invoice") == ["faq.jsonl#refund"]


async def test_an_unchanged_source_writes_and_embeds_nothing(
    knowledge: Knowledge, embedder: HashingEmbedder, write: Write
) -> None:
    path = write("faq.jsonl", _faq(SHIPPING))
    first = await knowledge.sync([path])
    embedder.passages.clear()
    second = await knowledge.sync([path])
    assert (second.unchanged, second.embedded, second.version) == (1, 0, first.version)
    assert not embedder.passages


async def test_a_text_is_embedded_once_across_collections_and_ids(
    knowledge: Knowledge, embedder: HashingEmbedder, write: Write
) -> None:
    await knowledge.sync([write("faq.jsonl", _faq(SHIPPING, REFUND))])
    embedder.passages.clear()
    moved = write("other.jsonl", _faq(("other", *SHIPPING[1:])))
    report = await knowledge.sync([moved], collection="internal")
    assert (report.added, report.embedded) == (1, 0)
    assert not embedder.passages


async def test_collections_do_not_touch_or_see_each_other(knowledge: Knowledge, write: Write) -> None:
    await knowledge.sync([write("shop/faq.jsonl", _faq(SHIPPING, REFUND))])
    await knowledge.sync([write("hr/faq.jsonl", _faq(("shipping", "订单谁来发货？", "仓库。")))], collection="internal")
    assert await knowledge.collections() == (
        CollectionSummary(name="default", documents=2, passages=2),
        CollectionSummary(name="internal", documents=1, passages=1),
    )
    (only,) = await knowledge.retriever.search("订单多久发货？", collections=["internal"])
    assert (only.collection, only.answer) == ("internal", "仓库。")
    assert {hit.collection for hit in await knowledge.retriever.search("订单 发货")} == {"default"}
    await knowledge.sync([write("shop/faq.jsonl", [])])
    assert [summary.name for summary in await knowledge.collections()] == ["internal"]


@pytest.mark.parametrize("name", ["a' OR '1'='1", 'a") OR true --', "%", "默认", "x" * 500, "a\nb"])
async def test_a_hostile_collection_name_finds_only_its_own(knowledge: Knowledge, write: Write, name: str) -> None:
    await knowledge.sync([write("faq.jsonl", _faq(SHIPPING))])
    assert await _ids(knowledge, "发货", name) == []
    await knowledge.sync([write("own.jsonl", _faq(REFUND))], collection=name)
    assert await _ids(knowledge, "发货 退款", name) == ["own.jsonl#refund"]


async def test_a_removed_collection_leaves_no_text_on_the_disk(
    knowledge: Knowledge, config: KnowledgeConfig, write: Write
) -> None:
    secret = "".join(chr(0x4E00 + n * 37) for n in range(40))
    path = write("faq.jsonl", _faq(SHIPPING, ("secret", secret, secret)))
    await knowledge.sync([path])
    before = _files(config)
    write("faq.jsonl", _faq(SHIPPING))
    await knowledge.sync([path])
    # Every file that held the old state is gone, data and full-text index alike: LanceDB compresses
    # texts, so their absence cannot be shown by looking for the words.
    kept = {name for name in before & _files(config) if name.startswith(("data", "_indices", "_versions"))}
    assert {name for name in kept if name.endswith((".lance", ".manifest"))} == set()


def _files(config: KnowledgeConfig) -> set[str]:
    table = Path(config.uri) / "passages.lance"
    return {str(path.relative_to(table)) for path in table.rglob("*") if path.is_file()}


async def test_an_emptied_index_takes_new_documents(knowledge: Knowledge, write: Write) -> None:
    path = write("faq.jsonl", _faq(SHIPPING))
    await knowledge.sync([path])
    write("faq.jsonl", [])
    report = await knowledge.sync([path])
    assert report.removed == 1
    assert await _ids(knowledge, "发货") == []
    write("faq.jsonl", _faq(REFUND))
    await knowledge.sync([path])
    (hit,) = await knowledge.retriever.search("退款多久到账")
    assert hit.lexical == 1.0


async def test_problems_are_reported_and_the_rest_goes_in(knowledge: Knowledge, write: Write) -> None:
    path = write("faq.csv", "question,answer\nq1,a1\nq2,\n")
    report = await knowledge.sync([path])
    assert report.added == 1
    assert [str(problem) for problem in report.problems] == ["faq.csv:3: the answer is empty"]


async def test_a_source_that_is_not_there_changes_nothing(knowledge: Knowledge, write: Write, tmp_path: Path) -> None:
    await knowledge.sync([write("faq.jsonl", _faq(SHIPPING))])
    with pytest.raises(SourceError, match="nowhere"):
        await knowledge.sync([tmp_path / "nowhere"])
    assert await _ids(knowledge, "发货") == ["faq.jsonl#shipping"]


async def test_two_syncs_at_once_are_refused(knowledge: Knowledge, write: Write) -> None:
    path = write("faq.jsonl", _faq(*((str(n), f"question {n}", "answer") for n in range(200))))
    outcomes = await asyncio.gather(knowledge.sync([path]), knowledge.sync([path]), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [type(error) for error in refused] == [SyncBusyError]
    assert "another sync" in str(refused[0])


async def test_another_embedder_is_refused_until_rebuilt_and_takes_every_collection_along(
    knowledge: Knowledge, config: KnowledgeConfig, write: Write
) -> None:
    shop, hr = write("faq.jsonl", _faq(SHIPPING)), write("hr.jsonl", _faq(REFUND))
    await knowledge.sync([shop])
    await knowledge.sync([hr], collection="internal")
    other = HashingEmbedder("other", 32)
    async with open_knowledge(config, embedder=other) as changed:
        for _ in range(2):
            with pytest.raises(IndexMismatchError, match="--rebuild"):
                await changed.retriever.search("发货")
        with pytest.raises(IndexMismatchError, match="'hashing' \\(64 dimensions\\)"):
            await changed.sync([shop])
        report = await changed.sync([shop], rebuild=True)
        assert (report.unchanged, report.embedded) == (1, 2)
        assert await _ids(changed, "发货") == ["faq.jsonl#shipping"]
        assert await _ids(changed, "退款", "internal") == ["hr.jsonl#refund"]
    # What serves with the old embedder goes on with what it has.
    assert await _ids(knowledge, "发货") == ["faq.jsonl#shipping"]


async def test_an_index_that_cannot_be_read_says_so_and_is_rebuilt(
    config: KnowledgeConfig, embedder: HashingEmbedder, write: Write
) -> None:
    path = write("faq.jsonl", _faq(SHIPPING))
    async with open_knowledge(config, embedder=embedder) as knowledge:
        await knowledge.sync([path])
    for file in (Path(config.uri) / "passages.lance" / "data").iterdir():
        file.write_bytes(b"\0" * 100)
    async with open_knowledge(config, embedder=embedder) as knowledge:
        with pytest.raises(IndexUnreadableError):
            await knowledge.sync([path])
        with pytest.raises(IndexUnreadableError):
            await knowledge.check()
        report = await knowledge.sync([path], rebuild=True)
        # The ledger has it still.
        assert (report.added, report.unchanged, report.embedded) == (0, 1, 1)
        assert await _ids(knowledge, "发货") == ["faq.jsonl#shipping"]


async def test_a_full_disk_leaves_what_was_there(knowledge: Knowledge, write: Write) -> None:
    path = write("faq.jsonl", _faq(SHIPPING))
    await knowledge.sync([path])
    write("faq.jsonl", _faq(*((str(n), f"question {n}", "answer " * 50) for n in range(300))))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    try:
        # The ledger comes first; an index that meets a full disk is in test_versions.py.
        with pytest.raises(LedgerError, match="what was there before stays in use"):
            await knowledge.sync([path])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert await _ids(knowledge, "发货") == ["faq.jsonl#shipping"]
    report = await knowledge.sync([path])
    assert (report.added, report.removed) == (300, 1)


async def test_everything_is_forced_to_disk_before_readers_are_sent_there(
    knowledge: Knowledge, config: KnowledgeConfig, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: set[str] = set()
    fsync, point = os.fsync, KnowledgeIndex._point

    def recording_fsync(descriptor: int) -> None:
        forced.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    async def checking_point(index: KnowledgeIndex, table: object, version: int) -> None:
        names = await asyncio.to_thread(_files, config)
        written = {str(Path(config.uri) / "passages.lance" / name) for name in names}
        assert written
        assert written <= forced
        await point(index, table, version)
        forced.clear()

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(KnowledgeIndex, "_point", checking_point)
    await knowledge.sync([write("faq.jsonl", _faq(SHIPPING))])
    assert any(name.endswith("live.json") for name in forced)


async def test_progress_counts_up_to_everything_embedded(knowledge: Knowledge, write: Write) -> None:
    path = write("faq.jsonl", _faq(*((str(n), f"question {n}", "answer") for n in range(40))))
    steps: list[tuple[int, int]] = []
    await knowledge.sync([path], progress=lambda done, total: steps.append((done, total)))
    assert steps == [(16, 40), (32, 40), (40, 40)]


async def test_nothing_indexed_is_said_by_check_and_searches_find_nothing(knowledge: Knowledge) -> None:
    assert await _ids(knowledge, "发货") == []
    assert await knowledge.collections() == ()
    with pytest.raises(IndexMissingError, match="kefu knowledge sync"):
        await knowledge.check()


PAGE = "# 手册\n\n前言。\n\n## 退款\n\n" + "五天之内到账。" * 20 + "\n\n## 发票\n\n点开订单。\n"


class _Counting(HashingEmbedder):
    """Measures what it is given, and keeps it."""

    def __init__(self, a_character: int = 1, window: int = 512) -> None:
        super().__init__()
        self.measured: list[str] = []
        self._a_character = a_character
        self._window = window

    @property
    def window(self) -> int:
        return self._window

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        self.measured.extend(texts)
        return [self._a_character * len(text) for text in texts]


async def test_a_document_that_has_not_changed_is_not_even_cut_again(config: KnowledgeConfig, write: Write) -> None:
    embedder = _Counting()
    page = write("page.md", PAGE)
    async with open_knowledge(config, embedder=embedder) as knowledge:
        await knowledge.sync([page])
        assert embedder.measured
        embedder.measured.clear()
        report = await knowledge.sync([page])
        assert (report.unchanged, report.version, embedder.measured) == (1, 1, [])


async def test_another_way_to_cut_embeds_only_passages_that_are_different(
    config: KnowledgeConfig, write: Write
) -> None:
    page = write("page.md", PAGE)
    async with open_knowledge(config, embedder=_Counting()) as knowledge:
        assert (await knowledge.sync([page])).embedded == 3
    finer = _Counting(window=128)
    async with open_knowledge(config, embedder=finer) as knowledge:
        report = await knowledge.sync([page])
        assert (report.changed, report.embedded) == (1, 2)  # the long section's two halves
        assert sum(summary.passages for summary in await knowledge.collections()) == 4
        assert (await knowledge.sync([page])).unchanged == 1


async def test_a_document_that_lost_its_words_leaves(knowledge: Knowledge, write: Write) -> None:
    await knowledge.sync([write("a.md", PAGE), write("b.md", "# 二\n\n还在。\n")])
    report = await knowledge.sync([write("a.md", "<!-- nothing -->\n"), write("b.md", "# 二\n\n还在。\n")])
    assert (report.removed, report.unchanged) == (1, 1)
