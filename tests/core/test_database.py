"""The writer and the readers, on real SQLite files."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from bot.errors import SettingsError, StoreUnavailable
from bot.history.database import Database, create_sync_engine, sqlite_path
from bot.telemetry import Metrics
from tests.core.house import address


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(address(tmp_path / "t.db"), metrics=Metrics()) as database:
        await database.write(lambda connection: connection.execute(text("CREATE TABLE t (n INTEGER PRIMARY KEY)")))
        yield database


def add(n: int, *, then_fail: bool = False) -> object:
    def work(connection: Connection) -> int:
        connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": n})
        if then_fail:
            raise RuntimeError(f"no {n}")
        return n

    return work


async def holder(path: Path) -> asyncio.subprocess.Process:
    """Another process (locks belong to processes) that keeps the write lock until it is killed."""
    script = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); time.sleep(60)"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"held\n"
    return process


async def numbers(database: Database) -> list[int]:
    return await database.read(lambda c: list(c.execute(text("SELECT n FROM t ORDER BY n")).scalars()))


async def test_concurrent_writes_share_commits_and_all_arrive(database: Database) -> None:
    assert await asyncio.gather(*(database.write(add(n)) for n in range(500))) == list(range(500))
    assert await numbers(database) == list(range(500))


async def test_a_failing_write_undoes_itself_and_nothing_else(database: Database) -> None:
    results = await asyncio.gather(
        *(database.write(add(n, then_fail=n % 7 == 3)) for n in range(100)), return_exceptions=True
    )
    assert {n for n, result in enumerate(results) if isinstance(result, RuntimeError)} == set(range(3, 100, 7))
    assert await numbers(database) == [n for n in range(100) if n % 7 != 3]


async def test_a_write_that_fails_alone_is_undone(database: Database) -> None:
    with pytest.raises(RuntimeError):
        await database.write(add(1, then_fail=True))
    assert await numbers(database) == []


async def test_a_cancelled_caller_leaves_whole_transactions_only(database: Database) -> None:
    def two(connection: Connection, n: int) -> None:
        connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": n})
        connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": n + 1000})

    tasks = [asyncio.create_task(database.write(lambda c, n=n: two(c, n))) for n in range(300)]
    await asyncio.sleep(0.002)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    kept = await numbers(database)
    assert {n for n in kept if n < 1000} == {n - 1000 for n in kept if n >= 1000}
    assert {n for n, result in enumerate(results) if result is None} <= set(kept)
    assert await database.write(add(5000)) == 5000


async def test_every_file_is_a_synchronous_write_ahead_log(database: Database) -> None:
    def pragmas(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert await database.write(pragmas) == ["wal", 2, 1]


async def test_who_has_less_patience_goes_first(database: Database) -> None:
    order: list[str] = []

    def note(name: str, *, slow: bool = False) -> object:
        def work(connection: Connection) -> None:
            if slow:
                time.sleep(0.1)
            order.append(name)

        return work

    running = asyncio.create_task(database.write(note("running", slow=True)))
    await asyncio.sleep(0.03)
    waiting = [
        database.write(note("patient 1")),
        database.write(note("patient 2")),
        database.write(note("pressing"), patience=5.0),
        database.write(note("most pressing"), patience=2.0),
    ]
    await asyncio.gather(running, *waiting)
    assert order == ["running", "most pressing", "pressing", "patient 1", "patient 2"]


async def test_readers_can_not_write(database: Database) -> None:
    with pytest.raises(Exception, match="readonly"):
        await database.read(add(1))
    assert await numbers(database) == []


async def test_while_another_process_holds_the_lock_the_impatient_are_told_and_the_patient_wait(
    tmp_path: Path, database: Database
) -> None:
    other = await holder(tmp_path / "t.db")
    patient = asyncio.create_task(database.write(add(1)))
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await database.write(add(2), patience=0.3)
    assert time.monotonic() - started < 3
    await asyncio.sleep(1.0)
    assert not database.available
    assert not patient.done()
    other.kill()
    await other.wait()
    assert await asyncio.wait_for(patient, 5) == 1
    assert database.available
    assert await numbers(database) == [1]


async def test_what_is_asked_before_the_end_is_still_committed(tmp_path: Path) -> None:
    async with Database(address(tmp_path / "t.db"), metrics=Metrics()) as database:
        await database.write(lambda connection: connection.execute(text("CREATE TABLE t (n INTEGER PRIMARY KEY)")))
        last = [asyncio.ensure_future(database.write(add(n))) for n in range(50)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*last) == list(range(50))


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("sqlite+aiosqlite://", id="in memory"),
        pytest.param("sqlite+aiosqlite:///:memory:", id="in memory by name"),
        pytest.param("no address", id="not an address"),
    ],
)
def test_an_address_without_a_file_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"database\.url"):
        sqlite_path(url)


def test_a_driver_that_is_not_installed_is_named() -> None:
    with pytest.raises(SettingsError, match=r"kefu\[postgres\]"):
        create_sync_engine("postgresql+psycopg://nobody@127.0.0.1/none")


async def test_a_closed_database_refuses_at_once(tmp_path: Path) -> None:
    async with Database(address(tmp_path / "t.db"), metrics=Metrics()) as database:
        pass
    async with asyncio.timeout(1):
        with pytest.raises(StoreUnavailable, match="the database is closed"):
            await database.write(lambda connection: None)
