"""What every ledger promises: the file beside the index, the one in memory, and the product's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, Table
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

from bot.history.database import _sqlite_module
from bot.ledger import TABLES
from knowledge.errors import LedgerError, SyncBusyError
from knowledge.ledger import (
    Change,
    Difference,
    DocumentKey,
    Ledger,
    Passages,
    Version,
    decode,
    difference,
    digest_of,
    documents_of,
    encode,
    following,
)
from knowledge.local_ledger import declare
from knowledge.own_ledger import OwnLedger
from knowledge.values import Chunk
from tests.knowledge.ledgers import open_product_ledger

State = dict[DocumentKey, Passages]


@pytest.fixture(params=["file", "memory", "product"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    if request.param == "product":
        async with open_product_ledger(tmp_path / "kefu.db") as opened:
            yield opened
        return
    own = OwnLedger(tmp_path if request.param == "file" else None)
    yield own
    await own.close()


def _state(**texts: str) -> State:
    return {
        ("default", name): (Chunk(id=f"{name}#1", document=name, title=name, text=text),)
        for name, text in texts.items()
    }


def _digests(state: State) -> dict[DocumentKey, str]:
    return {key: digest_of(passages) for key, passages in state.items()}


async def _step(ledger: Ledger, state: State) -> Version:
    """The state becomes the newest version."""
    head = await ledger.head()
    before = {} if head is None else await ledger.documents(head.number)
    digests = _digests(state)
    change = Change.between(before, digests)
    version = following(head, change, kind="sync", collection="default")
    await ledger.store({digests[key]: passages for key, passages in state.items()})
    await ledger.commit(version, change)
    return version


async def _texts(ledger: Ledger, number: int) -> dict[str, str]:
    digests = await documents_of(ledger, number)
    contents = await ledger.passages(set(digests.values()))
    return {document: contents[digest][0].text for (_, document), digest in digests.items()}


async def test_a_new_one_is_empty(ledger: Ledger) -> None:
    assert await ledger.head() is None
    assert await ledger.versions() == ()
    assert await ledger.named("a") == frozenset()
    assert await ledger.tidy(1) is False


async def test_each_version_has_its_own_documents_and_a_note_of_what_changed(ledger: Ledger) -> None:
    first = await _step(ledger, _state(a="one", b="two"))
    second = await _step(ledger, _state(a="one", b="zwei", c="three"))
    third = await _step(ledger, _state(a="one", c="three"))
    assert await ledger.versions() == (third, second, first)
    assert await ledger.head() == third
    counts = [(version.added, version.changed, version.removed) for version in (first, second, third)]
    assert counts == [(2, 0, 0), (1, 1, 0), (0, 0, 1)]
    assert abs(third.at - datetime.now(UTC)) < timedelta(minutes=1)
    assert await _texts(ledger, 1) == {"a": "one", "b": "two"}
    assert await _texts(ledger, 2) == {"a": "one", "b": "zwei", "c": "three"}
    assert await _texts(ledger, 3) == {"a": "one", "c": "three"}
    assert await difference(ledger, 1, 3) == Difference(
        added=(("default", "c"),), changed=(), removed=(("default", "b"),)
    )
    assert (await difference(ledger, 3, 2)).added == (("default", "b"),)


@pytest.mark.parametrize("number", [0, 4])
async def test_a_version_that_is_not_kept_is_named(ledger: Ledger, number: int) -> None:
    for text in ("one", "two", "three"):
        await _step(ledger, _state(a=text))
    with pytest.raises(LedgerError, match=f"there is no version {number}; kept are 1 to 3"):
        await documents_of(ledger, number)


async def test_a_number_is_given_out_once(ledger: Ledger) -> None:
    first = await _step(ledger, _state(a="one"))
    await ledger.store({digest_of(passages): passages for passages in _state(a="two", b="three").values()})
    changes = [
        Change.between(
            await ledger.documents(1), {key: digest_of(passages) for key, passages in _state(**texts).items()}
        )
        for texts in ({"a": "two"}, {"b": "three"})
    ]
    winner, loser = (following(first, change, kind="sync") for change in changes)
    await ledger.commit(winner, changes[0])
    # A commit whose success was not heard of is repeated.
    await ledger.commit(winner, changes[0])
    with pytest.raises(SyncBusyError):
        await ledger.commit(loser, changes[1])
    assert await _texts(ledger, 2) == {"a": "two"}
    assert await ledger.head() == winner


async def test_contents_that_are_not_stored_are_not_committed(ledger: Ledger) -> None:
    change = Change.between({}, {("default", "a"): "0" * 64})
    with pytest.raises(SyncBusyError):
        await ledger.commit(following(None, change, kind="sync"), change)
    assert await ledger.head() is None


async def test_past_the_kept_versions_everything_goes(ledger: Ledger) -> None:
    for number in range(1, 6):
        await _step(ledger, _state(same="same", a=f"text {number}"))
    assert await ledger.tidy(2) is True
    assert [version.number for version in await ledger.versions()] == [5, 4]
    assert await _texts(ledger, 4) == {"same": "same", "a": "text 4"}
    gone = [digest_of(passages) for number in (1, 2, 3) for passages in _state(a=f"text {number}").values()]
    assert await ledger.passages(gone) == {}
    assert await ledger.tidy(2) is False
    await _step(ledger, _state(a="text 6"))
    assert await _texts(ledger, 6) == {"a": "text 6"}


async def test_what_a_killed_sync_stored_goes(ledger: Ledger) -> None:
    await _step(ledger, _state(a="one"))
    left = {digest_of(passages): passages for passages in _state(a="never committed").values()}
    await ledger.store(left)
    await ledger.store(left)
    assert await ledger.tidy(5) is True
    assert await ledger.passages(left) == {}
    assert await _texts(ledger, 1) == {"a": "one"}


async def test_an_erased_document_is_in_no_version(ledger: Ledger) -> None:
    await _step(ledger, _state(a="one", b="two"))
    await _step(ledger, _state(a="changed", b="two"))
    assert await ledger.named("a") == {("default", "a")}
    await ledger.erase([("default", "a")])
    await ledger.tidy(5)
    assert await _texts(ledger, 1) == await _texts(ledger, 2) == {"b": "two"}
    assert await ledger.named("a") == frozenset()
    assert len(await ledger.versions()) == 2


async def test_many_documents_take_several_transactions(ledger: Ledger) -> None:
    state = _state(**{f"d{number}": f"text {number}" for number in range(1203)})
    await _step(ledger, state)
    assert len(await _texts(ledger, 1)) == 1203
    version = await _step(ledger, {})
    assert version.removed == 1203
    assert await ledger.tidy(1) is True


async def test_erased_words_are_in_no_file_of_the_products_database(tmp_path: Path) -> None:
    secret = "the words that have to go 必须消失的话"
    file = tmp_path / "kefu.db"
    async with open_product_ledger(file) as ledger:
        await _step(ledger, _state(a=secret, b="stays"))
        assert _found(tmp_path, secret)
        await ledger.erase([("default", "a")])
        await ledger.tidy(5)
        await ledger.scrub()
        assert not _found(tmp_path, secret)
        assert _found(tmp_path, "stays")


async def test_words_that_somebody_still_reads_are_said_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.history.ledger.SCRUB_SECONDS", 0.0)
    file = tmp_path / "kefu.db"
    async with open_product_ledger(file) as ledger:
        await _step(ledger, _state(a="one", b="two"))
        # Two SQLite libraries in one process do not see each other's locks.
        reader = _sqlite_module().connect(str(file), isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT digest FROM knowledge_contents").fetchall()
        await ledger.erase([("default", "a")])
        await ledger.tidy(5)
        with pytest.raises(LedgerError, match="may still be on the disk"):
            await ledger.scrub()
        reader.close()
        await ledger.scrub()


def _found(folder: Path, words: str) -> bool:
    return any(words.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param(Chunk(id="a", document="d", title="", text=""), id="bare"),
        pytest.param(
            Chunk(id="a", document="d", title="t", text="x\u0000\n", question="", answer="答", url="u", tags=("1", "")),
            id="everything, and an empty question",
        ),
    ],
)
def test_a_passage_comes_back_as_it_was(chunk: Chunk) -> None:
    assert decode(encode([chunk])) == (chunk,)
    assert digest_of([chunk]) != digest_of([replace(chunk, text="y")])


def test_the_products_tables_are_those_that_the_ledger_declares() -> None:
    declared = declare(MetaData())
    for name in ("versions", "contents", "documents"):
        assert _columns(getattr(TABLES, name)) == _columns(getattr(declared, name))


def _sql(column: Column[object]) -> str:
    return column.type.compile(dialect=sqlite_dialect())


def _columns(table: Table) -> list[tuple[object, ...]]:
    return [
        (
            column.name,
            _sql(column),
            column.nullable,
            column.primary_key,
            bool(column.foreign_keys),
            column.index,
        )
        for column in table.columns
    ]
