"""The knowledge as one object: opened with the bot or a command, closed with it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from knowledge.config import KnowledgeConfig
from knowledge.cutter import Cutter
from knowledge.embedders import create_embedder, verify_weights
from knowledge.embedders.base import Embedder
from knowledge.encoder import QueryEncoder
from knowledge.errors import (
    IndexMismatchError,
    IndexMissingError,
    IndexUnreadableError,
    KnowledgeError,
    LedgerError,
    SyncBusyError,
)
from knowledge.hit_cache import HitCache, MemoryHits
from knowledge.index import KnowledgeIndex
from knowledge.ledger import Ledger
from knowledge.mending import LOOK_SECONDS, Mender
from knowledge.own_ledger import OwnLedger
from knowledge.process import (
    hand_over_soon,
    keep_arrow_in_the_systems_memory,
    return_large_blocks,
    use_one_blas_thread,
)
from knowledge.reranking import Reranker, Reranking, create_reranker
from knowledge.retriever import Retriever
from knowledge.rows import KnownVectors, Progress
from knowledge.samples import SAMPLE_SOURCES, load_vectors
from knowledge.schema import IndexIdentity
from knowledge.sources.base import FileSource, Source, read_all
from knowledge.sync import Read, Sync
from knowledge.synonym_file import SynonymFile
from knowledge.transition import Transition
from knowledge.values import DEFAULT_COLLECTION, CollectionSummary, SyncReport

log = logging.getLogger(__name__)


class Knowledge:
    """Made by `open_knowledge`. What changes it raises SyncBusyError while another change is under way, in this process
    or another, and then serves what it made."""

    def __init__(
        self,
        index: KnowledgeIndex,
        embedder: Embedder,
        retriever: Retriever,
        ledger: Ledger,
        hits: HitCache,
        *,
        keep_versions: int,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self.embedder = embedder
        self.retriever = retriever
        self._ledger = ledger
        self._hits = hits
        transition = Transition(index, embedder, ledger, keep_versions=keep_versions, switched=self._follow)
        self._sync = Sync(index, ledger, Cutter(embedder), transition, keep_versions=keep_versions)
        identity = IndexIdentity.of(embedder)
        self.mender = Mender(
            index, ledger, self._sync, retriever, identity, known=self._known, look_seconds=look_seconds
        )

    async def sync(
        self,
        sources: Sequence[Path | str | Source],
        *,
        collection: str = DEFAULT_COLLECTION,
        rebuild: bool = False,
        progress: Progress | None = None,
    ) -> SyncReport:
        """Makes a collection equal to its sources. See `knowledge.sync.Sync.sync`.

        Raises KnowledgeError; the knowledge is then as it was.
        """
        read = _read_of(sources)
        return await self.sync_from(read, collection=collection, rebuild=rebuild, progress=progress)

    async def sync_from(
        self,
        read: Read,
        *,
        collection: str = DEFAULT_COLLECTION,
        rebuild: bool = False,
        progress: Progress | None = None,
    ) -> SyncReport:
        """The same for any source. It is read once this sync has begun, so that it is not older than what others have
        committed before."""
        known = await self._known()
        async with self._changing():
            return await self._sync.sync(read, collection=collection, rebuild=rebuild, known=known, progress=progress)

    async def rebuild(self, *, progress: Progress | None = None) -> SyncReport:
        """Makes the index anew from the ledger. Raises KnowledgeError."""
        report = await self._sync.rebuild(known=await self._known(), progress=progress)
        await self.retriever.refresh()
        return report

    async def rollback(self, number: int, *, progress: Progress | None = None) -> SyncReport:
        """Makes an older version the newest one. Raises KnowledgeError, LedgerError for a version that is not kept."""
        known = await self._known()
        async with self._changing():
            return await self._sync.rollback(number, known=known, progress=progress)

    async def forget(self, document: str, *, collection: str | None = None) -> SyncReport:
        """Takes a document out of every version and off the disk, from one collection or (None) from all.

        Raises KnowledgeError, LedgerError when no kept version has it.
        """
        known = await self._known()
        async with self._changing():
            return await self._sync.forget(document, collection=collection, known=known)

    async def begin(self) -> SyncReport | None:
        """As `ensure_samples`, but without waiting for any embedding: what is not whole is searched by its words until
        `mender.run` has made it whole. None unless samples went in.

        :raises LedgerError: the ledger can not be read.
        :raises IndexMismatchError: the index is another embedder's, or a newer kefu's.
        """
        known = await asyncio.to_thread(load_vectors, self.embedder.name)
        await self.mender.begin()
        return None if self.mender.standing else await self._add_samples(known)

    async def ensure_samples(self) -> SyncReport | None:
        """Makes ready what there is: ends a sync that was killed, makes an index anew that is gone, and indexes the
        sample knowledge that ships with kefu when nothing was ever indexed here.

        Takes .3 s for the samples with the embedder the shipped vectors are of, seconds with another. None unless
        samples went in.
        """
        known = await asyncio.to_thread(load_vectors, self.embedder.name)
        try:
            await self._sync.mend(known=known)
        except SyncBusyError:
            return None
        except (IndexUnreadableError, IndexMismatchError) as error:
            # What searches it says so, and goes on trying.
            log.warning("knowledge index was not looked after", extra={"reason": str(error)})
            return None
        return await self._add_samples(known)

    async def _add_samples(self, known: KnownVectors) -> SyncReport | None:
        try:
            samples = {name: _read_of(paths) for name, paths in SAMPLE_SOURCES.items()}
            report = await self._sync.add_samples(samples, known=known)
        except SyncBusyError:
            return None
        except (IndexUnreadableError, IndexMismatchError) as error:
            # What searches it says so, and goes on trying.
            log.warning("knowledge index was not looked after", extra={"reason": str(error)})
            return None
        await self.retriever.refresh()
        return report

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[None]:
        """Serves what the block made, and leaves nothing of earlier versions in the cache."""
        before = await self._ledger.versions()
        try:
            yield
        except IndexUnreadableError:
            self.mender.doubt()
            raise
        await self.retriever.refresh()
        try:
            now = await self._ledger.versions()
        except LedgerError as error:  # the change stands
            log.warning("the cache was not looked through", extra={"reason": str(error)})
            return
        former = {version.key for version in (*before, *now[1:])} - {version.key for version in now[:1]}
        if former:
            await self._hits.drop(former)

    async def _follow(self) -> None:
        """While the former version can still be searched: a large one takes seconds to load."""
        with suppress(KnowledgeError):  # said where the change ends, by the same call
            await self.retriever.refresh()

    async def _known(self) -> KnownVectors:
        await asyncio.to_thread(verify_weights, self.embedder.name)
        return await asyncio.to_thread(load_vectors, self.embedder.name)

    async def collections(self) -> tuple[CollectionSummary, ...]:
        """Every collection of the newest version, by name; none before the first sync."""
        await self.retriever.refresh()
        return self.retriever.collections

    async def check(self) -> int:
        """How many passages are ready to be searched. Raises KnowledgeError that says what is wrong."""
        if not await self.retriever.refresh():
            raise IndexMissingError("nothing is indexed yet; run `kefu knowledge sync PATH`")
        return sum(summary.passages for summary in self.retriever.collections)


def _read_of(sources: Sequence[Path | str | Source]) -> Read:
    wanted = [FileSource(Path(source)) if isinstance(source, Path | str) else source for source in sources]
    return partial(read_all, wanted)


def _load(config: KnowledgeConfig) -> Embedder:
    return create_embedder(config.embedder, device=config.device, url=config.embedder_url, key=config.embedder_key)


def _suit_the_process() -> None:
    use_one_blas_thread()
    hand_over_soon()
    return_large_blocks()
    keep_arrow_in_the_systems_memory()


async def _reranking(config: KnowledgeConfig, given: Reranker | None) -> Reranking | None:
    if given is None and config.reranker:
        given = await asyncio.to_thread(create_reranker, config.reranker, device=config.device)
    return None if given is None else Reranking(given)


@asynccontextmanager
async def open_knowledge(
    config: KnowledgeConfig,
    *,
    embedder: Embedder | None = None,
    reranker: Reranker | None = None,
    ledger: Ledger | None = None,
    cache: HitCache | None = None,
    look_seconds: float = LOOK_SECONDS,
) -> AsyncIterator[Knowledge]:
    """Loads the embedder, opens the index and reads what is served from memory: .3 s for 10,000 passages.

    `embedder` and `reranker` stand in for the configured ones, for tests. `ledger` is the product's; without one, a
    file beside the index is, made at the first sync. `cache` keeps what was found, this process's memory without one;
    whoever opened it closes it. `look_seconds`: see `Mender`. Raises EmbedderError, RerankerError,
    IndexUnreadableError.
    An index of another embedder is no error yet, so that it can be synced with `rebuild`: searching it is.
    """
    model = embedder if embedder is not None else await asyncio.to_thread(_load, config)
    await asyncio.to_thread(_suit_the_process)
    reranking = await _reranking(config, reranker)
    synonyms = SynonymFile(config.synonyms)
    await synonyms.follow()
    index = await KnowledgeIndex.connect(config.uri)
    encoder = QueryEncoder(model)
    hits: HitCache = cache or MemoryHits()
    retriever = Retriever(
        index, encoder, IndexIdentity.of(model), config.top_k, hits=hits, synonyms=synonyms, reranking=reranking
    )
    own = OwnLedger(index.folder)
    try:
        yield Knowledge(
            index, model, retriever, ledger or own, hits, keep_versions=config.keep_versions, look_seconds=look_seconds
        )
    finally:
        await own.close()
        await retriever.close()
        if embedder is None:
            # Before the encoder, whose threads may wait for a server.
            await asyncio.to_thread(model.close)
        await encoder.close()
        index.close()
