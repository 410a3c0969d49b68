"""Rows of a database as knowledge, from SQLite files made here."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from knowledge.errors import SourceError
from knowledge.service import Knowledge
from knowledge.sources import database as database_module
from knowledge.sources.base import FileSource, read_all
from knowledge.sources.database import DatabaseSource, from_address

QUERY = "SELECT id, title, text, updated_at, tags, '12:30' AS opening FROM policies ORDER BY id"


@pytest.fixture
def table(tmp_path: Path) -> Callable[[Sequence[tuple[object, ...]]], Path]:
    def make(rows: Sequence[tuple[object, ...]]) -> Path:
        path = tmp_path / "crm.db"
        path.unlink(missing_ok=True)
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE policies (id, title, text, updated_at, tags)")
            connection.executemany("INSERT INTO policies VALUES (?, ?, ?, ?, ?)", rows)
        connection.close()
        return path

    return make


async def test_rows_are_read_in_batches_and_bad_ones_are_named(table: Callable[..., Path]) -> None:
    count = 2 * database_module.BATCH_ROWS + 7
    rows = [(number, f"t{number}", f"text {number}", "2026-11-01", "a;b") for number in range(count)]
    path = table([*rows, (count, "empty", "", "", "")])
    contents = await read_all([DatabaseSource("policies", f"sqlite:///{path}", QUERY)])
    assert len(contents.documents) == count
    last = contents.documents[-1]
    assert (last.id, last.title, last.tags) == (f"policies#{count - 1}", f"t{count - 1}", ("a", "b"))
    assert [str(problem) for problem in contents.problems] == [f"policies:{count + 1}: the text is empty"]


async def test_a_changed_row_is_what_is_found_after_one_sync(table: Callable[..., Path], knowledge: Knowledge) -> None:
    path = table([(1, "Refunds", "Refunds take three days.", "", ""), (2, "Shipping", "Free over 99.", "", "")])
    source = DatabaseSource("policies", f"sqlite:///{path}", QUERY)
    await knowledge.sync([source])
    assert (await knowledge.retriever.search("Refunds take how many days"))[0].text == "Refunds take three days."
    table([(1, "Refunds", "Refunds take five days.", "", "")])
    report = await knowledge.sync([source])
    assert (report.changed, report.removed) == (1, 1)
    assert (await knowledge.retriever.search("Refunds take how many days"))[0].text == "Refunds take five days."


@pytest.mark.parametrize(
    ("query", "says"),
    [
        pytest.param("SELECT title, text FROM policies", "no column id", id="no id"),
        pytest.param("SELECT id, title FROM policies", "neither title,text", id="no text"),
        pytest.param("SELECT NULL AS id, title, text FROM policies", "row 1 has no id", id="null id"),
        pytest.param("SELECT secret FROM policies", r"can not be read \(OperationalError\)", id="no such column"),
        pytest.param("WITH a AS (SELECT 1) DELETE FROM policies", "can not be read", id="writes"),
        pytest.param("DELETE FROM policies", "has to be a SELECT", id="plainly writes"),
    ],
)
async def test_a_query_that_does_not_fit_is_one_line_and_writes_nothing(
    table: Callable[..., Path], query: str, says: str
) -> None:
    path = table([(1, "t", "x", "", "")])
    with pytest.raises(SourceError, match=says):
        await read_all([DatabaseSource("policies", f"sqlite:///{path}", query)])
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM policies").fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("sqlite:///{}/missing.db", "there is no file"),
        ("sqlite+aiosqlite:///{}/missing.db", "asynchronous driver"),
        ("oracle+oracledb://u:hunter2@db.example/x", "no driver for oracle"),
        ("nothing://u:hunter2@db.example/x", "no driver for nothing"),
        ("postgresql+psycopg://u:hunter2@127.0.0.1:1/x", r"can not be read|no driver"),
    ],
)
async def test_an_address_that_does_not_work_is_one_line_without_its_password(
    tmp_path: Path, address: str, says: str
) -> None:
    source = DatabaseSource("crm", address.format(tmp_path), QUERY)
    for attempt in (source.check, lambda: read_all([source])):
        with pytest.raises(SourceError, match=says) as refused:
            await attempt()
        assert "hunter2" not in str(refused.value)
    assert not (tmp_path / "missing.db").exists()


async def test_a_query_that_gives_too_much_is_refused(
    table: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "MOST_ROWS", 2)
    path = table([(number, "t", "x", "", "") for number in range(3)])
    with pytest.raises(SourceError, match="more than 2 rows"):
        await read_all([DatabaseSource("crm", f"sqlite:///{path}", QUERY)])


async def test_an_address_of_the_command_line_holds_its_query(table: Callable[..., Path]) -> None:
    path = table([(1, "t", "x", "", "")])
    source = from_address(f"sqlite:///{path}?query=SELECT id, title, text FROM policies")
    assert [document.id for document in (await read_all([source])).documents] == ["crm.db#1"]
    assert "works" in await source.check()
    with pytest.raises(SourceError, match="needs") as refused:
        from_address("postgresql://u:hunter2@db.example/x")
    assert "hunter2" not in str(refused.value)


async def test_one_source_that_fails_leaves_the_knowledge_as_it_was(
    table: Callable[..., Path], tmp_path: Path, knowledge: Knowledge
) -> None:
    path = table([(1, "t", "kept words", "", "")])
    good = DatabaseSource("crm", f"sqlite:///{path}", QUERY)
    await knowledge.sync([good])
    with pytest.raises(SourceError):
        await knowledge.sync([good, FileSource(tmp_path / "gone")])
    assert (await knowledge.retriever.search("kept words"))[0].id == "crm#1"
