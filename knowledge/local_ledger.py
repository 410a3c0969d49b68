"""The ledger as a SQLite file beside the index: for the knowledge without the bot."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    URL,
    Column,
    Connection,
    DateTime,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from knowledge.sql_ledger import LedgerTables, SqlLedger

T = TypeVar("T")

_BUSY_SECONDS = 30.0


def declare(metadata: MetaData) -> LedgerTables:
    """The three tables, as this file's own databases have them."""
    versions = Table(
        "knowledge_versions",
        metadata,
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("key", String(32), nullable=False),
        Column("at", DateTime(timezone=True), nullable=False),
        Column("kind", String(20), nullable=False),
        Column("collection", Text, nullable=False),
        Column("added", Integer, nullable=False),
        Column("changed", Integer, nullable=False),
        Column("removed", Integer, nullable=False),
        Column("basis", Integer, nullable=True),
    )
    contents = Table(
        "knowledge_contents",
        metadata,
        Column("digest", String(64), primary_key=True),
        Column("passages", Text, nullable=False),
    )
    documents = Table(
        "knowledge_documents",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("collection", Text, nullable=False),
        Column("document", Text, nullable=False),
        Column("digest", String(64), ForeignKey("knowledge_contents.digest"), nullable=False, index=True),
        Column("since", Integer, nullable=False),
        Column("until", Integer, nullable=True, index=True),
    )
    return LedgerTables(versions=versions, contents=contents, documents=documents)


class LocalTransactions:
    """One SQLite file, made at the first write; or, without a path, a database in memory."""

    def __init__(self, path: Path | None, metadata: MetaData) -> None:
        self._path = path
        self._metadata = metadata
        self._engine: Engine | None = None
        self._one_at_a_time = asyncio.Lock()

    async def read(self, work: Callable[[Connection], T]) -> T:
        """See `knowledge.sql_ledger.Transactions`. Reading makes no file."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._run, work, reading=True)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """See `knowledge.sql_ledger.Transactions`."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._run, work)

    async def scrub(self) -> None:
        """See `knowledge.sql_ledger.Transactions`. There is no write-ahead log here, and deleted pages are zeroed."""

    async def close(self) -> None:
        if self._engine is not None:
            await asyncio.to_thread(self._engine.dispose)

    def _run(self, work: Callable[[Connection], T], *, reading: bool = False) -> T:
        engine = self._engine
        if engine is None:
            not_there = reading and self._path is not None and not self._path.exists()
            engine = self._open(None if not_there else self._path)
            if not not_there:
                self._engine = engine
        with engine.begin() as connection:
            return work(connection)

    def _open(self, path: Path | None) -> Engine:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            URL.create("sqlite", database=str(path) if path else ":memory:"),
            poolclass=StaticPool,  # one transaction at a time
            connect_args={"check_same_thread": False, "timeout": _BUSY_SECONDS},
            hide_parameters=True,  # people's words, which errors would quote
        )
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        with engine.begin() as connection:
            self._metadata.create_all(connection)
        return engine


def _on_connect(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by the event above
    for pragma in ("secure_delete=ON", "foreign_keys=ON", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def local_ledger(path: Path | None) -> tuple[SqlLedger, LocalTransactions]:
    """The ledger in that file, None for one in memory; and what has to be closed in the end."""
    metadata = MetaData()
    tables = declare(metadata)
    transactions = LocalTransactions(path, metadata)
    return SqlLedger(transactions, tables, unavailable=(DBAPIError,)), transactions
