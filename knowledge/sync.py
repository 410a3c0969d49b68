"""Everything that changes the knowledge: ledger and index go from one version to the next, in one step each.

The order of the steps, and what is there when the process is killed between two of them, is in
docs/decisions/0008-ledger.md.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from knowledge.cutter import Cutter
from knowledge.documents import SourceContents
from knowledge.embedders.base import Embedder
from knowledge.errors import (
    IndexMismatchError,
    IndexMissingError,
    IndexOutdatedError,
    IndexUnreadableError,
    LedgerError,
)
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
    documents_of,
    following,
)
from knowledge.process import in_thread_uncollected
from knowledge.rows import KnownVectors, Progress, RowMaker, rows_without
from knowledge.schema import IndexIdentity, mismatch, to_chunks
from knowledge.values import Document, Problem, Stamp, SyncReport

log = logging.getLogger(__name__)

Read = Callable[[], Awaitable[SourceContents]]
"""Reads a source, now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
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
class _Target:
    """What is to be the newest version."""

    documents: Mapping[DocumentKey, str]
    contents: Mapping[str, Passages]
    """By digest, those that the ledger may not have yet."""

    kind: VersionKind
    collection: str = ""
    basis: int | None = None
    read: int = 0
    """Documents that came from the source."""


class Sync:
    """Changes one index and its ledger. Every method is refused with SyncBusyError while another one runs, in this
    process or another; when one raises, ledger and index are as they were, or the next one makes them so."""

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
        self._cutter = Cutter(embedder)
        self._rows = RowMaker(index, embedder)

    async def sync(
        self, read: Read, *, collection: str, rebuild: bool, known: KnownVectors, progress: Progress | None
    ) -> SyncReport:
        """Makes `collection` equal to what is read; other collections stay as they are.

        `rebuild` writes the index anew, every collection embedded again with this embedder. `known` are vectors that
        need no embedding.

        Raises SourceError for a source that is not there, SyncBusyError, IndexMismatchError when the index
        belongs to another embedder (and not `rebuild`), IndexUnreadableError (likewise), LedgerError.
        """
        async with self._index.writing():
            # Inside: what another sync committed meanwhile must not be replaced by what was read before it.
            source, problems = await _read({collection: read})
            standing = await self._stand(anew=rebuild)
            others = {key: digest for key, digest in standing.documents.items() if key[0] != collection}
            # What is made anew is cut anew, too: the ledger itself may be what is damaged.
            before = {} if rebuild else standing.documents
            make = partial(self._target, others, source, before=before, kind="sync", collection=collection)
            target = await in_thread_uncollected(make)
            report = await self._become(target, standing, anew=rebuild, known=known, progress=progress)
        return _of_collection(report, problems, target)

    async def add_samples(self, sources: Mapping[str, Read], *, known: KnownVectors) -> SyncReport | None:
        """Fills a knowledge that was never filled with several collections, in one version. None when there is
        something, whatever it is. Raises as `sync` does."""
        if await self._is_filled():
            return None
        async with self._index.writing():
            if await self._is_filled():
                return None
            source, problems = await _read(sources)
            standing = await self._stand(anew=False)
            names = ", ".join(sources)
            target = await asyncio.to_thread(self._target, {}, source, before={}, kind="samples", collection=names)
            report = await self._become(target, standing, anew=False, known=known, progress=None)
        return _of_collection(report, problems, target)

    async def _is_filled(self) -> bool:
        return await self._index.live_version() is not None or await self._ledger.head() is not None

    async def mend(self, *, known: KnownVectors) -> None:
        """What a start does: ends a sync that was killed, makes an index anew that is gone. Raises as `sync` does."""
        head = await self._ledger.head()
        if head is None:
            return
        try:
            live = await self._index.open_live()
        except IndexOutdatedError as error:
            log.warning("the knowledge index is made anew from the ledger", extra={"reason": str(error)})
            await self.catch_up(damaged=False, known=known, progress=None)
            return
        if live is not None and live.stamp == head.stamp:
            return
        if live is None:
            log.warning("the knowledge index is gone; it is made anew from the ledger")
            await self.catch_up(damaged=False, known=known, progress=None)
            return
        async with self._index.writing():
            if not await self._index.finish(head.stamp):
                log.warning(
                    "the knowledge index is not the ledger's newest version; the next sync or rebuild makes it so",
                    extra={"version": live.number, "newest": head.number},
                )

    async def finish(self, stamp: Stamp) -> bool:
        """Whether a killed sync's rows of this version were all there, and are searched from here on. Raises
        SyncBusyError, IndexUnwritableError."""
        async with self._index.writing():
            return await self._index.finish(stamp)

    async def catch_up(self, *, damaged: bool, known: KnownVectors, progress: Progress | None) -> None:
        """Makes the index the ledger's newest version, embedding only what it lacks; the version stays what it is.
        Does nothing where the ledger is empty.

        :param damaged: what is there can not be read, and is thrown away; never an index of another embedder.

        Raises as `sync` does.
        """
        async with self._index.writing():
            head = await self._ledger.head()
            if head is None:
                return
            if damaged:
                await self._index.discard()
            await self._index.reopen()
            standing = await self._stand(anew=False)
            target = _Target(documents=standing.documents, contents={}, kind="sync")
            await self._become(target, standing, anew=False, known=known, progress=progress)

    async def rebuild(self, *, known: KnownVectors, progress: Progress | None) -> SyncReport:
        """Makes the index anew from the ledger, every passage embedded again; the version stays what it is.

        Raises IndexMissingError when the ledger is empty and there is no index either, or as `sync` does.
        """
        async with self._index.writing():
            standing = await self._stand(anew=True)
            if standing.head is None:
                raise IndexMissingError("nothing is indexed yet; run `kefu knowledge sync PATH`")
            target = _Target(documents=standing.documents, contents={}, kind="sync")
            return await self._become(target, standing, anew=True, known=known, progress=progress)

    async def rollback(self, number: int, *, known: KnownVectors, progress: Progress | None) -> SyncReport:
        """Makes the documents of an older version the newest one. Raises LedgerError for a version that is not kept,
        or as `sync` does."""
        async with self._index.writing():
            standing = await self._stand(anew=False)
            documents = await documents_of(self._ledger, number)
            target = _Target(documents=documents, contents={}, kind="rollback", basis=number)
            return await self._become(target, standing, anew=False, known=known, progress=progress)

    async def forget(self, document: str, *, collection: str | None, known: KnownVectors) -> SyncReport:
        """Takes a document out of the newest version and every older one. Raises LedgerError when none has it, or as
        `sync` does; forgetting again ends what was interrupted."""
        async with self._index.writing():
            standing = await self._stand(anew=False)
            named = await self._ledger.named(document)
            keys = {key for key in named if collection in (None, key[0])}
            if not keys:
                where = "" if collection is None else f" in collection {collection!r}"
                raise LedgerError(f"no kept version has a document {document!r}{where}")
            rest = {key: digest for key, digest in standing.documents.items() if key not in keys}
            target = _Target(documents=rest, contents={}, kind="forget", collection=collection or "")
            report = await self._become(target, standing, anew=False, known=known, progress=None)
            await self._ledger.erase(keys)
            await self._ledger.tidy(self._keep)
            # Also when nothing was left to erase: an interrupted one may have come this far.
            await self._ledger.scrub()
        return report

    def _target(
        self,
        others: Mapping[DocumentKey, str],
        source: Mapping[DocumentKey, Document],
        *,
        before: Mapping[DocumentKey, str],
        kind: VersionKind,
        collection: str,
    ) -> _Target:
        """What a source makes of the knowledge. What stands in `before` is not cut again."""
        digests, contents = self._cutter.cut_changed(source, before)
        return _Target(
            documents={**others, **digests}, contents=contents, kind=kind, collection=collection, read=len(digests)
        )

    # --- From one version to the next ---------------------------------------------------------------

    async def _stand(self, *, anew: bool) -> _Standing:
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
                return _Standing(head=head, documents=documents, live=live, is_head=True)
            live = None
        documents = {} if head is None else await self._ledger.documents(head.number)
        is_head = live is not None and head is not None and live.stamp == head.stamp
        return _Standing(head=head, documents=documents, live=live, is_head=is_head)

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

    async def _become(
        self, target: _Target, standing: _Standing, *, anew: bool, known: KnownVectors, progress: Progress | None
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
        target: _Target,
        change: Change,
        standing: _Standing,
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
            kept = await in_thread_uncollected(rows_without, present, change.dropped | change.put.keys())
        contents = await self._contents(target, {target.documents[key] for key in keys})
        fresh = [(key[0], chunk) for key in keys for chunk in contents[target.documents[key]]]
        rows, embedded = await self._rows.make(
            fresh, version.stamp, present=present, kept=kept, known=known, progress=progress
        )
        return await self._index.write(rows), embedded

    async def _contents(self, target: _Target, digests: set[str]) -> Mapping[str, Passages]:
        stored = await self._ledger.passages(digests - target.contents.keys())
        contents = {**target.contents, **stored}
        if missing := digests - contents.keys():
            raise LedgerError(
                f"the knowledge's ledger is damaged: {len(missing)} documents have no text; restore a copy"
            )
        return contents


def _found(rows: Any) -> _Target:
    """What an index without a ledger has. Its documents are not known, so that the next sync cuts them again."""
    documents = by_document(to_chunks(rows))
    digests = {key: digest_of(passages) for key, passages in documents.items()}
    contents = {digests[key]: passages for key, passages in documents.items()}
    return _Target(documents=digests, contents=contents, kind="found")


async def _read(sources: Mapping[str, Read]) -> tuple[dict[DocumentKey, Document], tuple[Problem, ...]]:
    documents: dict[DocumentKey, Document] = {}
    problems: list[Problem] = []
    for collection, read in sources.items():
        contents = await read()
        documents.update(((collection, document.id), document) for document in contents.documents)
        problems.extend(contents.problems)
    return documents, tuple(problems)


def _of_collection(report: SyncReport, problems: tuple[Problem, ...], target: _Target) -> SyncReport:
    """Counts of the synced collections alone."""
    return replace(report, problems=problems, unchanged=target.read - report.added - report.changed)
