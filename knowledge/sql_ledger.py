"""The ledger in a SQL database: the product's own, or a file beside the index (`knowledge.local_ledger`)."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from itertools import islice
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Delete, Row, Table, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from knowledge.errors import LedgerError, SyncBusyError
from knowledge.ledger import Change, DocumentKey, Passages, Version, decode, encode
from knowledge.process import collected_rarely, giving_way

T = TypeVar("T")

# Turns of the bot commit between two of these.
_STORED_AT_ONCE = 200
# SQLite takes 32,766 parameters a statement, older ones 999.
_ASKED_AT_ONCE = 500
# Read of very many: what is let go in one stretch holds up every thread.
_READ_AT_ONCE = 1000


class Transactions(Protocol):
    """Who runs them: `bot.history.database.Database` is one."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Runs the work on a snapshot of what was committed."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Runs the work in a transaction; returns after the commit. It may run twice, the first undone."""

    async def scrub(self) -> None:
        """What was deleted is not to be found in the database's files any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerTables:
    """`knowledge.local_ledger.declare` says what they hold; the bot's migrations make them too."""

    versions: Table
    contents: Table
    documents: Table


class SqlLedger:
    """Implements `knowledge.ledger.Ledger`."""

    def __init__(
        self, transactions: Transactions, tables: LedgerTables, *, unavailable: tuple[type[Exception], ...] = ()
    ) -> None:
        """:param unavailable: what the transactions raise when the database can not be used."""
        self._transactions = transactions
        self._tables = tables
        self._unavailable = unavailable

    async def head(self) -> Version | None:
        """See `Ledger`."""
        newest = await self._read(lambda connection: self._versions(connection, 1))
        return newest[0] if newest else None

    async def versions(self) -> tuple[Version, ...]:
        """See `Ledger`."""
        return await self._read(self._versions)

    def _versions(self, connection: Connection, limit: int | None = None) -> tuple[Version, ...]:
        table = self._tables.versions
        rows = connection.execute(select(table).order_by(table.c.number.desc()).limit(limit)).all()
        return tuple(_version(row) for row in rows)

    async def documents(self, number: int) -> dict[DocumentKey, str]:
        """See `Ledger`."""
        table = self._tables.documents
        standing = (table.c.since <= number) & (table.c.until.is_(None) | (table.c.until > number))
        query = select(table.c.collection, table.c.document, table.c.digest).where(standing)

        def work(connection: Connection) -> dict[DocumentKey, str]:
            rows = connection.execute(query.execution_options(yield_per=_READ_AT_ONCE))
            with collected_rarely():
                return {(row[0], row[1]): row[2] for row in giving_way(rows)}

        return await self._read(work)

    async def passages(self, digests: Collection[str]) -> dict[str, Passages]:
        """See `Ledger`."""
        table = self._tables.contents
        found: dict[str, Passages] = {}
        for asked in _batches(digests, _ASKED_AT_ONCE):
            query = select(table.c.digest, table.c.passages).where(table.c.digest.in_(asked))
            found.update(await self._read(partial(_decoded, query=query)))
        return found

    async def store(self, contents: Mapping[str, Passages]) -> None:
        """See `Ledger`."""
        for batch in _batches(contents, _STORED_AT_ONCE):
            rows = {digest: {"digest": digest, "passages": encode(contents[digest])} for digest in batch}
            await self._write(partial(self._store, rows=rows))

    def _store(self, connection: Connection, rows: Mapping[str, Mapping[str, str]]) -> None:
        table = self._tables.contents
        there = set(connection.execute(select(table.c.digest).where(table.c.digest.in_(list(rows)))).scalars())
        if new := [row for digest, row in rows.items() if digest not in there]:
            connection.execute(insert(table), new)

    async def commit(self, version: Version, change: Change) -> None:
        """See `Ledger`."""
        try:
            await self._write(lambda connection: self._commit(connection, version, change))
        except IntegrityError as error:
            raise _overtaken() from error

    def _commit(self, connection: Connection, version: Version, change: Change) -> None:
        newest = self._versions(connection, 1)
        if newest and newest[0].stamp == version.stamp:
            return  # this very work, committed just before its commit was reported lost
        if (newest[0].number if newest else 0) != version.number - 1:
            raise _overtaken()
        documents = self._tables.documents
        row = {name: getattr(version, name) for name in _VERSION_COLUMNS}
        connection.execute(insert(self._tables.versions), row)
        gone = self._standing(connection, change.dropped | change.put.keys())
        if gone:
            ended = update(documents).where(documents.c.id == bindparam("row")).values(until=version.number)
            connection.execute(ended, [{"row": row_id} for row_id in gone])
        rows = [
            {"collection": collection, "document": document, "digest": digest, "since": version.number}
            for (collection, document), digest in change.put.items()
        ]
        if rows:
            connection.execute(insert(documents), rows)

    def _standing(self, connection: Connection, keys: Collection[DocumentKey]) -> list[int]:
        if not keys:
            return []
        table = self._tables.documents
        standing = select(table.c.id, table.c.collection, table.c.document).where(table.c.until.is_(None))
        rows = connection.execute(standing.execution_options(yield_per=_READ_AT_ONCE))
        return [row_id for row_id, collection, document in rows if (collection, document) in keys]

    async def named(self, document: str) -> frozenset[DocumentKey]:
        """See `Ledger`."""
        table = self._tables.documents
        query = select(table.c.collection, table.c.document).where(table.c.document == document).distinct()
        return frozenset(
            (row.collection, row.document)
            for row in await self._read(lambda connection: connection.execute(query).all())
        )

    async def erase(self, documents: Collection[DocumentKey]) -> None:
        """See `Ledger`."""
        table = self._tables.documents

        def work(connection: Connection) -> None:
            for collection, document in documents:
                named = (table.c.collection == collection) & (table.c.document == document)
                connection.execute(delete(table).where(named))

        await self._write(work)

    async def tidy(self, keep: int) -> bool:
        """See `Ledger`."""
        # Looked for by readers first: mostly there is nothing, and then nobody waits for the writer.
        if (oldest := await self._read(partial(self._oldest_kept, keep=keep))) is not None:
            await self._write(partial(self._prune, oldest=oldest))
        contents, documents = self._tables.contents, self._tables.documents
        unnamed = select(contents.c.digest).where(~contents.c.digest.in_(select(documents.c.digest)))
        left = await self._read(lambda connection: connection.execute(unnamed).scalars().all())
        for batch in _batches(left, _STORED_AT_ONCE):
            await self._write(partial(_execute, statement=delete(contents).where(contents.c.digest.in_(batch))))
        return bool(left)

    async def scrub(self) -> None:
        """See `Ledger`."""
        try:
            await self._transactions.scrub()
        except self._unavailable as error:
            raise LedgerError(f"what was deleted may still be on the disk ({_reason(error)})") from error

    def _oldest_kept(self, connection: Connection, keep: int) -> int | None:
        """The oldest of the newest `keep` versions, None where there is nothing older."""
        number = self._tables.versions.c.number
        newest = connection.execute(select(number).order_by(number.desc()).limit(keep + 1)).scalars().all()
        return newest[keep - 1] if len(newest) > keep else None

    def _prune(self, connection: Connection, oldest: int) -> None:
        versions, documents = self._tables.versions, self._tables.documents
        connection.execute(delete(documents).where(documents.c.until <= oldest))
        connection.execute(delete(versions).where(versions.c.number < oldest))

    # --- Transactions -------------------------------------------------------------------------------

    async def _read(self, work: Callable[[Connection], T]) -> T:
        return await self._guarded(self._transactions.read(work), "read")

    async def _write(self, work: Callable[[Connection], T]) -> T:
        return await self._guarded(self._transactions.write(work), "written")

    async def _guarded(self, waited: Awaitable[T], what: str) -> T:
        try:
            return await waited
        except IntegrityError:
            raise
        except self._unavailable as error:
            raise LedgerError(
                f"the knowledge's ledger can not be {what} ({_reason(error)}); what was there before stays in use"
            ) from error


_VERSION_COLUMNS = ("number", "key", "at", "kind", "collection", "added", "changed", "removed", "basis")


def _version(row: Row[Any]) -> Version:
    values = {name: getattr(row, name) for name in _VERSION_COLUMNS}
    # SQLite keeps no zone.
    values["at"] = row.at if row.at.tzinfo is not None else row.at.replace(tzinfo=UTC)
    return Version(**values)


def _decoded(connection: Connection, query: Any) -> dict[str, Passages]:
    return {digest: decode(stored) for digest, stored in connection.execute(query)}


def _execute(connection: Connection, statement: Delete) -> None:
    connection.execute(statement)


def _reason(error: Exception) -> object:
    """Without the lines that SQLAlchemy puts around it."""
    return getattr(error, "orig", None) or error


def _overtaken() -> SyncBusyError:
    return SyncBusyError("another sync of this knowledge was done meanwhile; run this one again")


def _batches(items: Iterable[str], size: int) -> Iterator[Sequence[str]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
