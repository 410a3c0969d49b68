"""The passages on disk: one LanceDB table, and which of its versions is the one in use.

A change writes the whole table as a new version, with indexes where it is to be searched on the disk
(`knowledge.table_indexes`), forces all of it to disk, and then moves the tag `live` to it. Readers follow the tag, so
they see the old state or the new one, whenever the writer dies. Writing everything costs a second per 100,000
passages, and in return nothing deleted stays behind: LanceDB's own delete leaves rows in their files until a tenth of a
file is gone, and words in the full-text index for good.

It follows the ledger (`knowledge.ledger`): each version of the table says in its schema's metadata which version of
the knowledge it holds.

Every LanceDB address works. Forcing to disk and the lock against a second writer are for folders on this
machine; an object store has the first by itself and does not have the second.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from knowledge.disk import Signature, fsync_tree, remove_unfinished, signature_of
from knowledge.embedders.base import Vector
from knowledge.errors import IndexUnreadableError, IndexUnwritableError
from knowledge.indexing_apart import make_indexes_apart
from knowledge.lance import Session, connect_async
from knowledge.locks import exclusive
from knowledge.process import lower_lance_threads
from knowledge.schema import IndexIdentity, embedder_of, read_identity, read_stamp, vector_array, vector_matrix
from knowledge.table_indexes import indexed_columns, make_indexes
from knowledge.values import Stamp

log = logging.getLogger(__name__)

PASSAGES = "passages"
STAGED = "staged_vectors"
LIVE = "live"

# What LanceDB raises for a table, version or file that is not there or is damaged: it has no
# error classes of its own for them.
LANCE_ERRORS = (RuntimeError, OSError, ValueError)

# Where LanceDB keeps the tag. It writes another file each time and gives it the name of the former one. Were it
# elsewhere one day, there would be no signature.
_TAG_FILE = Path(f"{PASSAGES}.lance", "_refs", "tags", f"{LIVE}.json")

# From so many passages on their indexes are made by a process apart: one starts within a second.
_APART_FROM = 20_000

# LanceDB's own limits are 6 and 1 GiB, for what every version that was ever opened left there.
_INDEX_CACHE = 64 * 1024 * 1024
_METADATA_CACHE = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTable:
    """The version in use, opened: reads see exactly it, for as long as its files are there."""

    table: Any
    version: int
    """LanceDB's, which also counts what maintenance does."""

    identity: IndexIdentity
    stamp: Stamp | None
    """The version of the ledger that it holds; None where it was written before there was one."""

    @property
    def number(self) -> int:
        return self.stamp.number if self.stamp else 0

    @property
    def key(self) -> str:
        return self.stamp.key if self.stamp else ""


class KnowledgeIndex:
    """One address. Reading needs no lock; writing happens inside `async with index.writing()`."""

    def __init__(self, connection: Any, uri: str) -> None:
        self._connection = connection
        self._uri = uri
        folder = _local_folder(uri)
        self._folder = None if folder is None else folder.absolute()

    @classmethod
    async def connect(cls, uri: str) -> "KnowledgeIndex":
        """Raises IndexUnreadableError when the address cannot be used."""
        try:
            folder = _local_folder(uri)
            if folder is not None:
                # LanceDB would make it too, but on the event loop.
                await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
            connection = await _connected(uri)
            await asyncio.to_thread(lower_lance_threads)
        except LANCE_ERRORS as error:
            raise IndexUnreadableError(
                f"the knowledge index at {_shown(uri)} cannot be opened: {_line(error)}"
            ) from error
        return cls(connection, uri)

    @property
    def is_local(self) -> bool:
        return self._folder is not None

    @property
    def folder(self) -> Path | None:
        """Where it is on this machine, None for an object store."""
        return self._folder

    async def reopen(self) -> None:
        """Forgets what was read: a table that was lost and made anew counts its versions as the former one did, and
        what LanceDB remembers of those must not be taken for it."""
        former, self._connection = self._connection, await _connected(self._uri)
        former.close()

    def close(self) -> None:
        self._connection.close()

    # --- Reading ------------------------------------------------------------------------------------

    async def signature(self) -> Signature | None:
        """As long as it stays the same, so does the version in use. None where only `live_version` can tell.

        LanceDB opens the table and reads its newest version to tell, with threads of its own: 3 ms.
        """
        if self._folder is None:
            return None
        with suppress(OSError):
            return await asyncio.to_thread(signature_of, self._folder / _TAG_FILE)
        return None

    async def live_version(self) -> int | None:
        """The version in use, None before the first sync."""
        table = await self._open(PASSAGES)
        return None if table is None else await _live(table)

    async def open_live(self) -> LiveTable | None:
        """None before the first sync.

        Raises IndexUnreadableError when it cannot be read, IndexMismatchError when another version of
        kefu wrote it.
        """
        # A sync that ends between reading the tag and opening its version takes that version away.
        for attempt in (1, 2, 3):
            try:
                table = await self._open(PASSAGES)
                version = None if table is None else await _live(table)
                if table is None or version is None:
                    return None
                await table.checkout(version)
                schema = await table.schema()
            except LANCE_ERRORS as error:
                if attempt == 3:
                    raise IndexUnreadableError(f"the knowledge index cannot be read: {_line(error)}") from error
            else:
                return LiveTable(table=table, version=version, identity=read_identity(schema), stamp=read_stamp(schema))
        raise AssertionError("unreachable")

    async def _open(self, name: str) -> Any | None:
        try:
            return await self._connection.open_table(name)
        except ValueError as error:
            if "not found" in str(error):
                return None
            raise

    # --- Writing ------------------------------------------------------------------------------------

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Raises SyncBusyError when another process, or another task of this one, is writing."""
        if self._folder is None:
            yield
            return
        lock = exclusive(self._folder / "sync.lock")
        await asyncio.to_thread(lock.__enter__)
        try:
            yield
        finally:
            lock.__exit__(None, None, None)

    async def write(self, rows: Any) -> int:
        """Makes `rows` (see schema.to_table) the whole content of a version that nobody follows yet, complete with its
        indexes and on the disk. Its number is for `switch`.

        Raises IndexUnwritableError when it cannot be written, say for want of space.
        """
        with _writing("what was there before stays in use"):
            return await self._write(rows)

    async def _write(self, rows: Any) -> int:
        # Overwriting what is not there works too, with a warning from Rust on the operator's screen.
        mode = "create" if await self._open(PASSAGES) is None else "overwrite"
        table = await self._connection.create_table(PASSAGES, data=rows, schema=rows.schema, mode=mode)
        columns = indexed_columns(rows)
        if columns and rows.num_rows > _APART_FROM and self._folder is not None:
            if await make_indexes_apart(self._folder, PASSAGES, columns):
                columns = ()
            else:
                log.warning("the knowledge's indexes were not made by a process apart; they are made in this one")
            await table.checkout_latest()
        await make_indexes(table, columns)
        version = int(await table.version())
        await self._to_disk(PASSAGES)
        return version

    async def switch(self, version: int) -> None:
        """Sends readers to a version that `write` made; `tidy` then removes the former one. Raises
        IndexUnwritableError."""
        with _writing("what was there before stays in use; the next sync goes on from here"):
            table = await self._open(PASSAGES)
            await self._point(table, version)
            await self._to_disk(PASSAGES)

    async def finish(self, stamp: Stamp) -> bool:
        """Sends readers to what a killed sync had written of this version, if it came to be complete. Whether it did.

        A version that the ledger has was complete and on the disk before the ledger had it.
        """
        try:
            table = await self._open(PASSAGES)
            if table is None or read_stamp(await table.schema()) != stamp:
                return False
            version = int(await table.version())
            if await _live(table) == version:
                return False
        except LANCE_ERRORS:  # what reads it next says what is wrong
            return False
        await self.switch(version)
        return True

    async def _point(self, table: Any, version: int) -> None:
        if await _live(table) is None:
            await table.tags.create(LIVE, version)
        else:
            await table.tags.update(LIVE, version)

    async def tidy(self) -> None:
        """Removes what no reader follows: older versions, what a killed sync left, kept vectors.

        The text of removed passages is gone from the disk after this. Harmless to repeat. Raises
        IndexUnwritableError.
        """
        with _writing("what was removed may still be on the disk"):
            await self._tidy()

    async def _tidy(self) -> None:
        await self.forget_staged()
        table = await self._open(PASSAGES)
        if table is None:
            return
        live = await _live(table)
        if live is None:
            return
        if live != await table.version():
            # A killed sync wrote a version that nobody follows. The cleanup below keeps the
            # newest one, so the one in use has to become it.
            await table.checkout(live)
            await table.restore()
            await self._to_disk(PASSAGES)
            await self._point(table, int(await table.version()))
        for attempt in (1, 2, 3):
            try:
                # A millisecond, not zero: the same, without LanceDB's warning about concurrent readers, which
                # here open the newer version and repeat the search. Unverified files are those of a
                # killed writer, for the lock keeps out living ones.
                await table.optimize(cleanup_older_than=timedelta(milliseconds=1), delete_unverified=self.is_local)
            except RuntimeError as error:
                if "tagged version" not in str(error) or attempt == 3:
                    raise
                # It compacted first, into a version of the same content.
                await self._to_disk(PASSAGES)
                await self._point(table, int(await table.version()))
            else:
                break
        if self._folder is not None:
            await asyncio.to_thread(remove_unfinished, self._folder / f"{PASSAGES}.lance")

    async def discard(self) -> None:
        """Drops everything: the way out when the index cannot be read."""
        for name in (PASSAGES, STAGED):
            await self._connection.drop_table(name, ignore_missing=True)

    async def vectors_left(self, identity: IndexIdentity) -> tuple[list[str], Vector]:
        """Keys and vectors of the table in use, whatever its format: of equal texts they are equal. Nothing where it is
        another embedder's or can not be read."""
        nothing: tuple[list[str], Vector] = ([], np.empty((0, identity.dimension), dtype=np.float32))
        try:
            table = await self._open(PASSAGES)
            if table is None or embedder_of(await table.schema()) != identity:
                return nothing
            data = await table.query().select(["vector_key", "vector"]).to_arrow()
        except LANCE_ERRORS:
            return nothing
        return data.column("vector_key").to_pylist(), vector_matrix(data.column("vector"), identity.dimension)

    # --- Vectors of a sync that is under way ---------------------------------------------------------

    async def stage(self, keys: Sequence[str], vectors: Vector, identity: IndexIdentity) -> None:
        """Keeps vectors until the next `tidy`, so that a sync that is killed does not embed them again.
        Raises IndexUnwritableError."""
        with _writing("what was there before stays in use"):
            await self._stage(keys, vectors, identity)

    async def _stage(self, keys: Sequence[str], vectors: Vector, identity: IndexIdentity) -> None:
        schema = pa.schema(
            [pa.field("key", pa.string()), pa.field("vector", pa.list_(pa.float32(), identity.dimension))]
        )
        data = pa.table({"key": list(keys), "vector": vector_array(vectors, identity.dimension)}, schema=schema)
        table = await self._open(STAGED)
        if table is not None and await table.schema() != schema:
            await self._connection.drop_table(STAGED)
            table = None
        if table is None:
            await self._connection.create_table(STAGED, data=data, schema=schema)
        else:
            await table.add(data)

    async def staged(self, identity: IndexIdentity) -> tuple[list[str], Vector]:
        """Keys and vectors, shape (keys, dimension), that an unfinished sync kept."""
        nothing: tuple[list[str], Vector] = ([], np.empty((0, identity.dimension), dtype=np.float32))
        try:
            table = await self._open(STAGED)
            data = None if table is None else await table.to_arrow()
        except LANCE_ERRORS:
            # Never forced to disk, for it is only ever a saving: after a power cut it may be half there.
            await self.forget_staged()
            return nothing
        if data is None or data.schema.field("vector").type.list_size != identity.dimension:
            return nothing
        return data.column("key").to_pylist(), vector_matrix(data.column("vector"), identity.dimension)

    async def forget_staged(self) -> None:
        await self._connection.drop_table(STAGED, ignore_missing=True)

    async def _to_disk(self, name: str) -> None:
        # LanceDB itself never calls fsync: after a power cut a version may be named whose files are empty.
        if self._folder is not None:
            await asyncio.to_thread(fsync_tree, self._folder / f"{name}.lance")


async def _connected(uri: str) -> Any:
    session = Session(index_cache_size_bytes=_INDEX_CACHE, metadata_cache_size_bytes=_METADATA_CACHE)
    return await connect_async(uri, session=session)


def _local_folder(uri: str) -> Path | None:
    if uri.startswith("file://"):
        return Path(uri.removeprefix("file://"))
    return None if "://" in uri else Path(uri)


@contextmanager
def _writing(consequence: str) -> Iterator[None]:
    try:
        yield
    except LANCE_ERRORS as error:
        raise IndexUnwritableError(f"the knowledge index cannot be written ({_line(error)}); {consequence}") from error


async def _live(table: Any) -> int | None:
    try:
        return int(await table.tags.get_version(LIVE))
    except LANCE_ERRORS as error:
        if "does not exist" in str(error) or "not found" in str(error).lower():
            return None
        raise


def _shown(uri: str) -> str:
    """Without user, password and query, which may hold credentials."""
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}" if separator else uri


def _line(error: Exception) -> str:
    return str(error).split("\n", 1)[0].split(", /", 1)[0]
