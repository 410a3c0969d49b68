"""Versions of the knowledge: taking one back, deleting for good, and an index that follows whatever happens."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from knowledge.config import KnowledgeConfig
from knowledge.documents import SourceContents, read_sources
from knowledge.errors import IndexMissingError, IndexUnwritableError, LedgerError, SyncBusyError
from knowledge.index import KnowledgeIndex
from knowledge.ledger import Ledger
from knowledge.own_ledger import LEDGER_FILE, OwnLedger
from knowledge.retriever import Retriever
from knowledge.service import Knowledge, open_knowledge
from tests.knowledge.hashing import HashingEmbedder
from tests.knowledge.ledgers import assert_index_is_the_head, open_product_ledger

Write = Callable[..., Path]
OLD, NEW = "退款三天到账。", "退款五天到账。"


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with open_product_ledger(tmp_path / "kefu.db") as opened:
        yield opened


@pytest.fixture
async def knowledge(config: KnowledgeConfig, embedder: HashingEmbedder, ledger: Ledger) -> AsyncIterator[Knowledge]:
    async with open_knowledge(config, embedder=embedder, ledger=ledger) as opened:
        yield opened


@pytest.fixture
def faq(write: Write) -> Callable[..., Path]:
    """`faq(refund="…")`: one row for each name."""

    def write_faq(**answers: str) -> Path:
        rows = [{"id": name, "question": f"{name} 怎么办？", "answer": answer} for name, answer in answers.items()]
        return write("kb/faq.jsonl", rows)

    return write_faq


async def _answers(knowledge: Knowledge) -> set[str | None]:
    return {hit.answer for hit in await knowledge.retriever.search("怎么办？", top_k=20)}


async def test_a_version_counts_what_changed_and_hits_name_it(
    knowledge: Knowledge, ledger: Ledger, faq: Callable[..., Path]
) -> None:
    first = await knowledge.sync([faq(refund=OLD, invoice="点开订单。")])
    again = await knowledge.sync([faq(refund=OLD, invoice="点开订单。")])
    second = await knowledge.sync([faq(refund=NEW)])
    assert (first.version, again.version, second.version) == (1, 1, 2)
    newest, oldest = await ledger.versions()
    assert (newest.kind, newest.collection, newest.added, newest.changed, newest.removed) == (
        "sync",
        "default",
        0,
        1,
        1,
    )
    assert (oldest.added, oldest.changed, oldest.removed) == (2, 0, 0)
    assert {hit.version for hit in await knowledge.retriever.search("refund")} == {2}
    assert knowledge.retriever.version == 2


async def test_a_rollback_brings_back_what_was_and_moves_forward(
    knowledge: Knowledge, config: KnowledgeConfig, ledger: Ledger, faq: Callable[..., Path]
) -> None:
    await knowledge.sync([faq(refund=OLD, invoice="点开订单。")])
    await knowledge.sync([faq(refund=NEW, shipping="当天。")])
    back = await knowledge.rollback(1)
    assert (back.version, back.added, back.changed, back.removed) == (3, 1, 1, 1)
    assert await _answers(knowledge) == {OLD, "点开订单。"}
    await assert_index_is_the_head(config.uri, ledger)
    newest = await ledger.head()
    assert newest is not None
    assert (newest.kind, newest.basis) == ("rollback", 1)
    # The source is as it was: its next sync goes on from there.
    forward = await knowledge.sync([faq(refund=NEW, shipping="当天。")])
    assert (forward.version, forward.added, forward.changed, forward.removed) == (4, 1, 1, 1)


async def test_a_rollback_to_the_same_makes_no_version(knowledge: Knowledge, faq: Callable[..., Path]) -> None:
    await knowledge.sync([faq(refund=OLD)])
    assert (await knowledge.rollback(1)).version == 1
    with pytest.raises(LedgerError, match="there is no version 7; kept are 1 to 1"):
        await knowledge.rollback(7)
    assert await _answers(knowledge) == {OLD}


async def test_a_forgotten_document_is_in_no_version_and_on_no_disk(
    knowledge: Knowledge, config: KnowledgeConfig, ledger: Ledger, tmp_path: Path, faq: Callable[..., Path]
) -> None:
    secret = "机密：保险箱密码是四个八"
    source = faq(safe=secret, refund=OLD)
    await knowledge.sync([source])
    await knowledge.sync([faq(safe="改过了", refund=OLD)])
    report = await knowledge.forget("faq.jsonl#safe")
    assert (report.version, report.removed) == (3, 1)
    assert await _answers(knowledge) == {OLD}
    await knowledge.rollback(1)
    assert await _answers(knowledge) == {OLD}
    source.unlink()
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert kept == []
    await assert_index_is_the_head(config.uri, ledger)
    with pytest.raises(LedgerError, match="no kept version has a document"):
        await knowledge.forget("faq.jsonl#safe")


async def test_a_document_is_forgotten_in_one_collection_alone(knowledge: Knowledge, faq: Callable[..., Path]) -> None:
    for collection in ("shop", "internal"):
        await knowledge.sync([faq(refund=OLD, invoice="点开订单。")], collection=collection)
    with pytest.raises(LedgerError, match="in collection 'hr'"):
        await knowledge.forget("faq.jsonl#refund", collection="hr")
    await knowledge.forget("faq.jsonl#refund", collection="shop")
    counts = {summary.name: summary.documents for summary in await knowledge.collections()}
    assert counts == {"internal": 2, "shop": 1}


async def test_a_document_that_only_the_past_has_is_forgotten_without_a_version(
    knowledge: Knowledge, faq: Callable[..., Path]
) -> None:
    await knowledge.sync([faq(safe="机密", refund=OLD)])
    await knowledge.sync([faq(refund=OLD)])
    assert (await knowledge.forget("faq.jsonl#safe")).version == 2
    await knowledge.rollback(1)
    assert await _answers(knowledge) == {OLD}


async def test_a_past_that_is_not_kept_is_deleted_by_the_sync(
    config: KnowledgeConfig, ledger: Ledger, tmp_path: Path, faq: Callable[..., Path]
) -> None:
    own = KnowledgeConfig(uri=config.uri, embedder=config.embedder, keep_versions=1)
    async with open_knowledge(own, embedder=HashingEmbedder(), ledger=ledger) as knowledge:
        await knowledge.sync([faq(safe="机密：四个八", refund=OLD)])
        source = faq(refund=OLD)
        await knowledge.sync([source])
        assert [version.number for version in await ledger.versions()] == [2]
    assert not any("机密：四个八".encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


async def test_a_lost_index_is_made_anew_from_the_ledger_with_the_same_ids_and_hashes(
    config: KnowledgeConfig, ledger: Ledger, faq: Callable[..., Path]
) -> None:
    """P19: by one command, and by the next start."""
    source = faq(refund=OLD, invoice="点开订单。")
    async with open_knowledge(config, embedder=HashingEmbedder(), ledger=ledger) as knowledge:
        await knowledge.sync([source])
        source.unlink()
        shutil.rmtree(config.uri)
        # What is in memory is answered from.
        assert await _answers(knowledge) == {OLD, "点开订单。"}
    for command in ("rebuild", "ensure_samples"):
        shutil.rmtree(config.uri, ignore_errors=True)
        async with open_knowledge(config, embedder=HashingEmbedder(), ledger=ledger) as knowledge:
            await getattr(knowledge, command)()
            assert await _answers(knowledge) == {OLD, "点开订单。"}
            assert knowledge.retriever.version == 1
        await assert_index_is_the_head(config.uri, ledger)


async def test_a_damaged_file_of_the_index_is_mended_by_one_command(
    config: KnowledgeConfig, ledger: Ledger, faq: Callable[..., Path]
) -> None:
    source = faq(refund=OLD)
    async with open_knowledge(config, embedder=HashingEmbedder(), ledger=ledger) as knowledge:
        await knowledge.sync([source])
        source.unlink()
        for file in (Path(config.uri) / "passages.lance").rglob("*"):
            if file.is_file():
                file.write_bytes(b"\0" * 100)
        assert await _answers(knowledge) == {OLD}
    async with open_knowledge(config, embedder=HashingEmbedder(), ledger=ledger) as knowledge:
        await knowledge.rebuild()
        assert await _answers(knowledge) == {OLD}
    await assert_index_is_the_head(config.uri, ledger)


async def test_another_embedder_takes_the_whole_knowledge_over_by_rebuild(
    knowledge: Knowledge, config: KnowledgeConfig, ledger: Ledger, faq: Callable[..., Path]
) -> None:
    await knowledge.sync([faq(refund=OLD)], collection="shop")
    other = HashingEmbedder("other", 32)
    async with open_knowledge(config, embedder=other, ledger=ledger) as changed:
        report = await changed.rebuild()
        assert (report.version, report.unchanged, report.embedded) == (1, 1, 1)
        (hit,) = await changed.retriever.search("怎么办", collections=["shop"])
        assert hit.answer == OLD


async def test_nothing_can_be_rebuilt_of_nothing(knowledge: Knowledge) -> None:
    with pytest.raises(IndexMissingError, match="kefu knowledge sync"):
        await knowledge.rebuild()


async def test_an_index_from_before_the_ledger_becomes_its_first_version(
    config: KnowledgeConfig, ledger: Ledger, faq: Callable[..., Path]
) -> None:
    async with open_knowledge(config, embedder=HashingEmbedder()) as alone:
        await alone.sync([faq(refund=OLD)])
    (Path(config.uri) / LEDGER_FILE).unlink()
    embedder = HashingEmbedder()
    async with open_knowledge(config, embedder=embedder, ledger=ledger) as knowledge:
        assert await knowledge.ensure_samples() is None
        assert await ledger.head() is None
        report = await knowledge.sync([faq(refund=OLD, invoice="点开订单。")])
        assert (report.added, report.unchanged, report.embedded) == (1, 1, 1)
        assert [version.kind for version in await ledger.versions()] == ["sync", "found"]
        await knowledge.rollback(1)
        assert await _answers(knowledge) == {OLD}
    await assert_index_is_the_head(config.uri, ledger)


async def test_a_database_from_a_copy_is_the_truth_at_the_next_sync(
    config: KnowledgeConfig, tmp_path: Path, faq: Callable[..., Path]
) -> None:
    """The copy counts version 2 again; the index has another version 2."""
    file, copy = tmp_path / "kefu.db", tmp_path / "copy.db"
    embedder = HashingEmbedder()
    async with (
        open_product_ledger(file) as ledger,
        open_knowledge(config, embedder=embedder, ledger=ledger) as knowledge,
    ):
        await knowledge.sync([faq(refund=OLD)], collection="shop")
    shutil.copy(file, copy)
    async with (
        open_product_ledger(file) as ledger,
        open_knowledge(config, embedder=embedder, ledger=ledger) as knowledge,
    ):
        await knowledge.sync([faq(late="synced after the copy")], collection="late")
    async with (
        open_product_ledger(copy) as ledger,
        open_knowledge(config, embedder=embedder, ledger=ledger) as knowledge,
    ):
        assert await knowledge.ensure_samples() is None
        report = await knowledge.sync([faq(refund=NEW)], collection="shop")
        assert (report.version, report.changed) == (2, 1)
        assert [summary.name for summary in await knowledge.collections()] == ["shop"]
        await assert_index_is_the_head(config.uri, ledger)


async def test_two_changes_at_once_are_one_and_a_refusal(knowledge: Knowledge, faq: Callable[..., Path]) -> None:
    source = faq(refund=OLD)
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def read() -> SourceContents:
        reading.set()
        await go_on.wait()
        return await asyncio.to_thread(read_sources, [source])

    first = asyncio.create_task(knowledge.sync_from(read))
    await asyncio.wait_for(reading.wait(), 10)
    others = [
        knowledge.sync([source]),
        knowledge.rollback(1),
        knowledge.rebuild(),
        knowledge.forget("faq.jsonl#refund"),
    ]
    for other in others:
        with pytest.raises(SyncBusyError, match="another sync"):
            await other
    go_on.set()
    assert (await first).version == 1


async def test_a_sync_on_another_machine_that_was_first_is_not_overwritten(
    knowledge: Knowledge,
    config: KnowledgeConfig,
    ledger: Ledger,
    write: Write,
    faq: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two machines have no common lock; their ledger decides."""
    await knowledge.sync([faq(refund=OLD)])
    elsewhere_source = write("elsewhere.jsonl", [{"id": "1", "question": "怎么办？", "answer": "点开订单。"}])
    source = faq(refund=NEW)
    write_index = KnowledgeIndex.write

    async def slow_write(index: KnowledgeIndex, rows: object) -> int:
        monkeypatch.setattr(KnowledgeIndex, "write", write_index)
        elsewhere = KnowledgeConfig(uri=f"{config.uri} of another machine", embedder="hashing")
        async with open_knowledge(elsewhere, embedder=HashingEmbedder(), ledger=ledger) as other:
            await other.sync([elsewhere_source], collection="other")
        return await write_index(index, rows)

    monkeypatch.setattr(KnowledgeIndex, "write", slow_write)
    with pytest.raises(SyncBusyError, match="was done meanwhile"):
        await knowledge.sync([source])
    assert await _answers(knowledge) == {OLD}
    await knowledge.sync([faq(refund=NEW)])
    assert {summary.name for summary in await knowledge.collections()} == {"default", "other"}
    await assert_index_is_the_head(config.uri, ledger)


async def test_a_changed_sentence_is_the_answer_although_the_old_one_was_cached(
    knowledge: Knowledge,
    config: KnowledgeConfig,
    ledger: Ledger,
    faq: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await knowledge.sync([faq(refund=OLD)])
    assert await _answers(knowledge) == {OLD}
    await knowledge.sync([faq(refund=NEW)])
    assert await _answers(knowledge) == {NEW}
    # And when another process syncs.
    async with open_knowledge(config, embedder=HashingEmbedder(), ledger=ledger) as other:
        await other.sync([faq(refund=OLD)])
    await asyncio.sleep(0.3)
    assert await _answers(knowledge) == {OLD}


async def test_a_sync_that_fails_leaves_the_ledger_as_it_was(
    knowledge: Knowledge, ledger: Ledger, faq: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    await knowledge.sync([faq(refund=OLD)])
    write = KnowledgeIndex._write

    async def full_disk(index: KnowledgeIndex, rows: object) -> int:
        raise OSError("No space left on device")

    monkeypatch.setattr(KnowledgeIndex, "_write", full_disk)
    with pytest.raises(IndexUnwritableError, match="what was there before stays in use"):
        await knowledge.sync([faq(refund=NEW)])
    monkeypatch.setattr(KnowledgeIndex, "_write", write)
    assert len(await ledger.versions()) == 1
    assert await _answers(knowledge) == {OLD}
    assert (await knowledge.sync([faq(refund=NEW)])).version == 2


async def test_searching_alone_makes_no_ledger(config: KnowledgeConfig, faq: Callable[..., Path]) -> None:
    async with open_knowledge(config, embedder=HashingEmbedder()) as knowledge:
        assert isinstance(knowledge.retriever, Retriever)
        assert await knowledge.retriever.search("怎么办") == ()
        own = OwnLedger(Path(config.uri))
        assert await own.head() is None
        await own.close()
        assert not (Path(config.uri) / LEDGER_FILE).exists()
        await knowledge.sync([faq(refund=OLD)])
        assert (Path(config.uri) / LEDGER_FILE).exists()
