"""Everything that changes the knowledge: what each command, source and start makes of it.

How ledger and index then go to that version, in one step, is in `knowledge.transition`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from knowledge.cutter import Cutter
from knowledge.documents import SourceContents
from knowledge.errors import IndexMissingError, IndexOutdatedError, LedgerError
from knowledge.index import KnowledgeIndex
from knowledge.ledger import DocumentKey, Ledger, VersionKind, documents_of
from knowledge.process import collected_rarely, giving_way
from knowledge.rows import KnownVectors, Progress
from knowledge.transition import Target, Transition
from knowledge.values import Problem, Stamp, SyncReport

log = logging.getLogger(__name__)

Read = Callable[[], Awaitable[SourceContents]]
"""Reads a source, now."""


class Sync:
    """Changes one index and its ledger. Every method is refused with SyncBusyError while another one runs, in this
    process or another; when one raises, ledger and index are as they were, or the next one makes them so."""

    def __init__(
        self, index: KnowledgeIndex, ledger: Ledger, cutter: Cutter, transition: Transition, *, keep_versions: int
    ) -> None:
        """:param transition: of the same index and ledger."""
        self._index = index
        self._ledger = ledger
        self._cutter = cutter
        self._transition = transition
        self._keep = keep_versions

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        with collected_rarely():
            async with self._index.writing():
                yield

    async def sync(
        self, read: Read, *, collection: str, rebuild: bool, known: KnownVectors, progress: Progress | None
    ) -> SyncReport:
        """Makes `collection` equal to what is read; other collections stay as they are.

        `rebuild` writes the index anew, every collection embedded again with this embedder. `known` are vectors that
        need no embedding.

        Raises SourceError for a source that is not there, SyncBusyError, IndexMismatchError when the index
        belongs to another embedder (and not `rebuild`), IndexUnreadableError (likewise), LedgerError.
        """
        async with self._writing():
            # Inside: what another sync committed meanwhile must not be replaced by what was read before it.
            source = await _read({collection: read})
            standing = await self._transition.stand(anew=rebuild)
            # What is made anew is cut anew, too: the ledger itself may be what is damaged.
            before = {} if rebuild else standing.documents

            def make() -> tuple[Target, tuple[Problem, ...]]:
                documents = giving_way(standing.documents.items())
                others = {key: digest for key, digest in documents if key[0] != collection}
                return self._target(others, source, before=before, kind="sync", collection=collection)

            target, problems = await asyncio.to_thread(make)
            report = await self._transition.become(target, standing, anew=rebuild, known=known, progress=progress)
        return _of_collection(report, problems, target)

    async def add_samples(self, sources: Mapping[str, Read], *, known: KnownVectors) -> SyncReport | None:
        """Fills a knowledge that was never filled with several collections, in one version. None when there is
        something, whatever it is. Raises as `sync` does."""
        if await self._is_filled():
            return None
        async with self._writing():
            if await self._is_filled():
                return None
            source = await _read(sources)
            standing = await self._transition.stand(anew=False)
            names = ", ".join(sources)
            make = partial(self._target, {}, source, before={}, kind="samples", collection=names)
            target, problems = await asyncio.to_thread(make)
            report = await self._transition.become(target, standing, anew=False, known=known, progress=None)
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
        async with self._writing():
            if not await self._index.finish(head.stamp):
                log.warning(
                    "the knowledge index is not the ledger's newest version; the next sync or rebuild makes it so",
                    extra={"version": live.number, "newest": head.number},
                )

    async def finish(self, stamp: Stamp) -> bool:
        """Whether a killed sync's rows of this version were all there, and are searched from here on. Raises
        SyncBusyError, IndexUnwritableError."""
        async with self._writing():
            return await self._index.finish(stamp)

    async def catch_up(self, *, damaged: bool, known: KnownVectors, progress: Progress | None) -> None:
        """Makes the index the ledger's newest version, embedding only what it lacks; the version stays what it is.
        Does nothing where the ledger is empty.

        :param damaged: what is there can not be read, and is thrown away; never an index of another embedder.

        Raises as `sync` does.
        """
        async with self._writing():
            head = await self._ledger.head()
            if head is None:
                return
            if damaged:
                await self._index.discard()
            await self._index.reopen()
            standing = await self._transition.stand(anew=False)
            target = Target(documents=standing.documents, contents={}, kind="sync")
            await self._transition.become(target, standing, anew=False, known=known, progress=progress)

    async def rebuild(self, *, known: KnownVectors, progress: Progress | None) -> SyncReport:
        """Makes the index anew from the ledger, every passage embedded again; the version stays what it is.

        Raises IndexMissingError when the ledger is empty and there is no index either, or as `sync` does.
        """
        async with self._writing():
            standing = await self._transition.stand(anew=True)
            if standing.head is None:
                raise IndexMissingError("nothing is indexed yet; run `kefu knowledge sync PATH`")
            target = Target(documents=standing.documents, contents={}, kind="sync")
            return await self._transition.become(target, standing, anew=True, known=known, progress=progress)

    async def rollback(self, number: int, *, known: KnownVectors, progress: Progress | None) -> SyncReport:
        """Makes the documents of an older version the newest one. Raises LedgerError for a version that is not kept,
        or as `sync` does."""
        async with self._writing():
            standing = await self._transition.stand(anew=False)
            documents = await documents_of(self._ledger, number)
            target = Target(documents=documents, contents={}, kind="rollback", basis=number)
            return await self._transition.become(target, standing, anew=False, known=known, progress=progress)

    async def forget(self, document: str, *, collection: str | None, known: KnownVectors) -> SyncReport:
        """Takes a document out of the newest version and every older one. Raises LedgerError when none has it, or as
        `sync` does; forgetting again ends what was interrupted."""
        async with self._writing():
            standing = await self._transition.stand(anew=False)
            named = await self._ledger.named(document)
            keys = {key for key in named if collection in (None, key[0])}
            if not keys:
                where = "" if collection is None else f" in collection {collection!r}"
                raise LedgerError(f"no kept version has a document {document!r}{where}")
            rest = {key: digest for key, digest in standing.documents.items() if key not in keys}
            target = Target(documents=rest, contents={}, kind="forget", collection=collection or "")
            report = await self._transition.become(target, standing, anew=False, known=known, progress=None)
            await self._ledger.erase(keys)
            await self._ledger.tidy(self._keep)
            # Also when nothing was left to erase: an interrupted one may have come this far.
            await self._ledger.scrub()
        return report

    def _target(
        self,
        others: Mapping[DocumentKey, str],
        source: dict[str, SourceContents],
        *,
        before: Mapping[DocumentKey, str],
        kind: VersionKind,
        collection: str,
    ) -> tuple[Target, tuple[Problem, ...]]:
        """What sources make of the knowledge, and what was wrong with them. What stands in `before` is not cut again.
        Empties `source`, as `Cutter.cut_changed` does."""
        found = giving_way((name, document) for name, read in source.items() for document in read.documents)
        documents = {(name, document.id): document for name, document in found}
        problems = tuple(problem for read in source.values() for problem in read.problems)
        source.clear()
        digests, contents = self._cutter.cut_changed(documents, before)
        target = Target(
            documents={**others, **digests}, contents=contents, kind=kind, collection=collection, read=len(digests)
        )
        return target, problems


async def _read(sources: Mapping[str, Read]) -> dict[str, SourceContents]:
    return {collection: await read() for collection, read in sources.items()}


def _of_collection(report: SyncReport, problems: tuple[Problem, ...], target: Target) -> SyncReport:
    """Counts of the synced collections alone."""
    return replace(report, problems=problems, unchanged=target.read - report.added - report.changed)
