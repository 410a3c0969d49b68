"""The step of the knowledge from one version to the next, in ledger and index.

The order of what is done, and what is there when the process is killed in between, is in docs/decisions/0008-ledger.md.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from knowledge.embedders.base import Embedder
from knowledge.errors import IndexMismatchError, IndexOutdatedError, IndexUnreadableError, LedgerError
from knowledge.index import LANCE_ERRORS, KnowledgeIndex, LiveTable
from knowledge.ledger import (
    Change,
    DocumentKey,
    Ledger,
    Passages,
    Version,
    VersionKind,
    by_document,
    digest_of,
    following,
)
from knowledge.process import let_go
from knowledge.rows import KnownVectors, Progress, RowMaker, rows_without
from knowledge.schema import IndexIdentity, mismatch, to_chunks
from knowledge.values import SyncReport

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where things stand when the work begins."""

    head: Version | None
    documents: Mapping[DocumentKey, str]
    live: LiveTable | None
    is_head: bool
    """The index has the rows of the newest version."""

    @property
    def is_stamped(self) -> bool:
        return self.live is not None and self.head is not None and self.live.stamp == self.head.stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is to be the newest version."""

    documents: Mapping[DocumentKey, str]
    contents: Mapping[str, Passages]
    """By digest, those that the ledger may not have yet."""

    kind: VersionKind
    collection: str = ""
    basis: int | None = None
    read: int = 0
    """Documents that came from the source."""


class Transition:
    """Where one index and its ledger stand, and what makes them another version. Called while the index is being
    written by nobody else (`KnowledgeIndex.writing`)."""

    def __init__(
        self,
        index: KnowledgeIndex,
        embedder: Embedder,
        ledger: Ledger,
        *,
        keep_versions: int,
        switched: Callable[[], Awaitable[None]],
    ) -> None:
        """:param switched: called when another version is the one to search, before the former one is removed."""
        self._index = index
        self._switched = switched
        self._identity = IndexIdentity.of(embedder)
        self._ledger = ledger
        self._keep = keep_versions
        self._rows = RowMaker(index, embedder)

    async def stand(self, *, anew: bool) -> Standing:
        """Where things stand, after a killed sync was ended and an index without a ledger taken over."""
        head = await self._ledger.head()
        if head is not None:
            await self._index.finish(head.stamp)
        live = await self._live(anew=anew, older=head is not None)
        if head is None and live is not None:
            rows = await self._table(live, anew=anew)
            if rows is not None:
                head = await self._take_over(live, rows)
                documents = await self._ledger.documents(head.number)
                return Standing(head=head, documents=documents, live=live, is_head=True)
            live = None
        documents = {} if head is None else await self._ledger.documents(head.number)
        is_head = live is not None and head is not None and live.stamp == head.stamp
        return Standing(head=head, documents=documents, live=live, is_head=is_head)

    async def _live(self, *, anew: bool, older: bool) -> LiveTable | None:
        """The table in use, None where there is none or it can not be opened and is made anew.

        :param older: one of an older format is made anew from the ledger.
        """
        try:
            live = await self._index.open_live()
            if live is not None and live.identity != self._identity and not anew:
                raise mismatch(live.identity, self._identity)
        except (IndexUnreadableError, IndexMismatchError) as error:
            if not anew and older and isinstance(error, IndexOutdatedError) and error.embedder_is(self._identity):
                return None
            if not anew:
                raise
            await self._index.discard()
            return None
        return live

    async def _table(self, live: LiveTable, *, anew: bool) -> Any | None:
        """All its rows; None where they can not be read and are made anew."""
        try:
            return await live.table.to_arrow()
        except LANCE_ERRORS as error:
            if not anew:
                raise IndexUnreadableError(
                    f"the knowledge index cannot be read ({error}); `kefu knowledge rebuild` makes it anew"
                ) from error
        await self._index.discard()
        return None

    async def _take_over(self, live: LiveTable, rows: Any) -> Version:
        """An index without a ledger is what the knowledge is: its passages become the ledger's first version."""
        target = await asyncio.to_thread(_found, rows)
        change = Change.between({}, target.documents)
        stamp = live.stamp if live.stamp is not None and live.stamp.number == 1 else None
        version = following(None, change, kind="found", key=stamp.key if stamp else None)
        await self._ledger.store(target.contents)
        await self._ledger.commit(version, change)
        return version

    async def become(
        self, target: Target, standing: Standing, *, anew: bool, known: KnownVectors, progress: Progress | None
    ) -> SyncReport:
        """The step from one version to the next. What may fail stands before the commit, so that it changes nothing."""
        change = await asyncio.to_thread(Change.between, standing.documents, target.documents)
        version, embedded = standing.head, 0
        if version is None or not change.is_empty:
            version = following(
                standing.head, change, kind=target.kind, collection=target.collection, basis=target.basis
            )
            await self._ledger.store(
                {digest: target.contents[digest] for digest in change.put.values() if digest in target.contents}
            )
        if version is not standing.head or anew or not standing.is_stamped:
            written, embedded = await self._write(
                target, change, standing, version, anew=anew, known=known, progress=progress
            )
            if version is not standing.head:
                await self._ledger.commit(version, change)
            await self._index.switch(written)
            await self._switched()
        # Also when there was nothing to do: a killed sync may have left something.
        await self._index.tidy()
        if await self._ledger.tidy(self._keep):
            await self._scrub()
        return SyncReport(
            collection=target.collection,
            added=change.added,
            changed=change.changed,
            removed=len(change.dropped),
            unchanged=len(target.documents) - len(change.put),
            embedded=embedded,
            version=version.number,
        )

    async def _scrub(self) -> None:
        try:
            await self._ledger.scrub()
        except LedgerError as error:  # the version stands; the next one that deletes something tries again
            log.warning("old passages were deleted and not cleaned away", extra={"reason": str(error)})

    async def _write(
        self,
        target: Target,
        change: Change,
        standing: Standing,
        version: Version,
        *,
        anew: bool,
        known: KnownVectors,
        progress: Progress | None,
    ) -> tuple[int, int]:
        """A version of the index that nobody follows yet, and how many vectors were embedded for it."""
        present = kept = None
        if standing.live is not None and not anew:
            present = await self._table(standing.live, anew=False)
        elif not anew:
            left = await self._index.vectors_left(self._identity)
            known = {**known, **dict(zip(*left, strict=True))}
        keys = target.documents.keys()
        if present is not None and standing.is_head:
            keys = change.put.keys()
            kept = await asyncio.to_thread(rows_without, present, change.dropped | change.put.keys())
        contents = await self._contents(target, {target.documents[key] for key in keys})
        fresh = [(key[0], chunk) for key in keys for chunk in contents[target.documents[key]]]
        rows, embedded = await self._rows.make(
            fresh, version.stamp, present=present, kept=kept, known=known, progress=progress
        )
        held = [table for table in (present, kept, rows) if table is not None]
        del present, kept
        try:
            written = await self._index.write(rows)
        finally:
            del rows
            await asyncio.to_thread(let_go, held)
        return written, embedded

    async def _contents(self, target: Target, digests: set[str]) -> Mapping[str, Passages]:
        stored = await self._ledger.passages(digests - target.contents.keys())
        contents = {**target.contents, **stored}
        if missing := digests - contents.keys():
            raise LedgerError(
                f"the knowledge's ledger is damaged: {len(missing)} documents have no text; restore a copy"
            )
        return contents


def _found(rows: Any) -> Target:
    """What an index without a ledger has. Its documents are not known, so that the next sync cuts them again."""
    documents = by_document(to_chunks(rows))
    digests = {key: digest_of(passages) for key, passages in documents.items()}
    contents = {digests[key]: passages for key, passages in documents.items()}
    return Target(documents=digests, contents=contents, kind="found")
