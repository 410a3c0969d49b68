"""The product's database as `knowledge.sql_ledger` uses it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from bot.errors import StoreUnavailable
from bot.history.database import Database, create_sync_engine

T = TypeVar("T")

PATIENCE_SECONDS = 60.0
"""How long a sync waits for a database that can not commit; then it fails, and may be tried again."""
SCRUB_SECONDS = 10.0
RETRY_SECONDS = 0.2


class LedgerTransactions:
    """Runs the ledger's transactions beside everybody else's."""

    def __init__(self, database: Database, url: str) -> None:
        self._database = database
        self._url = url

    async def read(self, work: Callable[[Connection], T]) -> T:
        """
        :raises StoreUnavailable: the database can not be read now.
        """
        return await self._database.read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """
        :raises StoreUnavailable: nothing could be committed for `PATIENCE_SECONDS`; nothing was kept.
        """
        return await self._database.write(work, patience=PATIENCE_SECONDS)

    async def scrub(self) -> None:
        """Takes what was deleted out of the database's files. SQLite's pages are zeroed when they are deleted
        (`secure_delete`); here the write-ahead log, which still has what they were, is written back and emptied.
        PostgreSQL's rows are vacuumed.

        :raises StoreUnavailable: somebody reads what was there before, for longer than `SCRUB_SECONDS`.
        """
        await asyncio.to_thread(self._scrub)

    def _scrub(self) -> None:
        # A connection of its own: the writer goes on committing turns while this one waits for readers.
        engine = create_sync_engine(self._url)
        try:
            if engine.dialect.name == "sqlite":
                _empty_log(engine)
            else:
                with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    connection.execute(text("VACUUM knowledge_contents, knowledge_documents"))
        except DBAPIError as error:
            raise StoreUnavailable(f"deleted rows can not be cleaned away: {error.orig}") from error
        finally:
            engine.dispose()


def _empty_log(engine: Engine) -> None:
    connection = engine.raw_connection()  # no transaction: one would stand in the way itself
    try:
        cursor = connection.cursor()
        deadline = time.monotonic() + SCRUB_SECONDS
        while True:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            outcome = cursor.fetchone()
            if outcome is not None and not outcome[0]:
                return
            if time.monotonic() > deadline:
                raise StoreUnavailable("deleted rows are still in the database's log, because somebody reads them")
            time.sleep(RETRY_SECONDS)
    finally:
        connection.close()
