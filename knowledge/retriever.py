"""Search: a question in, the best passages out, from the newest version of the index."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from knowledge.background import Background, Searching
from knowledge.disk import Signature
from knowledge.embedders.base import Vector
from knowledge.encoder import QueryEncoder
from knowledge.errors import IndexUnreadableError, KnowledgeError
from knowledge.hit_cache import Edition, HitCache, MemoryHits, SearchKey
from knowledge.index import LANCE_ERRORS, KnowledgeIndex
from knowledge.loading import load_snapshot
from knowledge.process import collected_rarely
from knowledge.reranking import CANDIDATES, Reranking
from knowledge.schema import IndexIdentity, mismatch
from knowledge.scope import Scope
from knowledge.snapshot import Snapshot
from knowledge.synonym_file import SynonymFile
from knowledge.values import DEFAULT_COLLECTION, CollectionSummary, Hit
from knowledge.wording import Wording

log = logging.getLogger(__name__)

# How often another process's sync is looked for, in seconds: a look at one file on this machine's disk, a request that
# costs money on an object store.
_LOCAL_CHECK_SECONDS = 0.25
_REMOTE_CHECK_SECONDS = 10.0


# A large knowledge takes seconds to load. Who asks meanwhile is answered from what was the newest so many seconds ago;
# after a longer silence the first to ask waits.
_STALE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Found:
    hits: tuple[Hit, ...]
    is_whole: bool = True
    """Not where the reranker could not be waited for: the next who asks may have more luck."""


class Retriever:
    """Searches the version of the index that is in use, following other processes' syncs within .25 s.

    Answers are kept by version, so that text a sync removed is never served from the cache. Equal questions
    at one time are searched once.
    """

    def __init__(
        self,
        index: KnowledgeIndex,
        encoder: QueryEncoder,
        identity: IndexIdentity,
        top_k: int,
        *,
        hits: HitCache | None = None,
        synonyms: SynonymFile | None = None,
        reranking: Reranking | None = None,
    ) -> None:
        """:param hits: where answers are kept; in this process unless said otherwise.
        :param synonyms: words of customers for those of the knowledge; the caller has read them once.
        :param reranking: sorts what was found once more.
        """
        self._index = index
        self._encoder = encoder
        self._identity = identity
        self._top_k = top_k
        self._synonyms = synonyms or SynonymFile(None)
        self._reranking = reranking
        self._snapshot: Snapshot | None = None
        self._signature: Signature | None = None
        self._checked = -float("inf")
        self._interval = _LOCAL_CHECK_SECONDS if index.is_local else _REMOTE_CHECK_SECONDS
        self._full_text = True
        self._lost = False
        self._words: Snapshot | None = None
        self._trouble: KnowledgeError | None = None
        self._refreshing = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None
        self._is_waited_for = True
        self._searching = Searching()
        self._background = Background()
        self._settling: asyncio.Task[None] | None = None
        self._hits: HitCache = hits or MemoryHits()
        self._flights: dict[SearchKey, asyncio.Task[tuple[Hit, ...]]] = {}
        self._expected: asyncio.Task[None] | None = None

    @property
    def version(self) -> int:
        """Of the knowledge being served, as the ledger counts; 0 before the first sync."""
        served = self._snapshot or self._words
        return served.number if served else 0

    @property
    def _followed(self) -> int:
        """The version of the table behind it."""
        return self._snapshot.version if self._snapshot else 0

    @property
    def collections(self) -> tuple[CollectionSummary, ...]:
        """What is being served."""
        served = self._snapshot or self._words
        return served.collections if served else ()

    @property
    def is_damaged(self) -> bool:
        """Whether a search has failed on the version being served, and failed again after it was opened anew."""
        return not self._full_text

    @property
    def stands_in_by(self) -> str:
        """How questions are answered while the index is not whole; for operators."""
        if self._snapshot is not None:
            return "answers come from the version in memory"
        return "answers come by words alone" if self._words is not None else "nothing can be answered"

    def stand_in(self, words: Snapshot | None) -> None:
        """Searches this where no version of the index can be searched. None: nothing stands in any longer."""
        self._words = words

    async def search(
        self,
        query: str,
        *,
        collections: Sequence[str] = (DEFAULT_COLLECTION,),
        tags: Sequence[str] = (),
        language: str = "",
        top_k: int | None = None,
    ) -> tuple[Hit, ...]:
        """The passages that fit best, best first; none when nothing is indexed. Of any of the collections, with all of
        the tags, in the language (see `knowledge.scope.Scope`).

        Takes up to 2 ms and the embedding of a new question. Raises KnowledgeError when the index cannot be
        searched at all; a damaged full-text half alone is logged, and the meaning decides.
        """
        snapshot = await self._newest()
        question = self._encoder.prepare(query)
        if snapshot is None or not question:
            return ()
        key = SearchKey(
            question=question,
            scope=Scope.of(collections, tags, language),
            top_k=top_k or self._top_k,
            edition=_edition(snapshot),
            manner=self._manner,
        )
        found = self._hits.at_hand(key)
        if found is not None:
            return found
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._search(key))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._land(key, done))
        # Shielded: one customer who hangs up must not take the answer from the others who asked it.
        return await asyncio.shield(flight)

    def expect(self, query: str, *, collections: Sequence[str], top_k: int) -> None:
        """Begins a search that will be asked for in a moment, unless others are under way: then it would only stand in
        their way. What becomes of it, whoever asks for it is told."""
        if not self._flights and self._expected is None and self._encoder.prepare(query):
            # At once, beside the look for a newer version.
            self._encoder.begin(query)
            self._expected = asyncio.create_task(self._search_ahead(query, collections, top_k))

    async def _search_ahead(self, query: str, collections: Sequence[str], top_k: int) -> None:
        try:
            await self.search(query, collections=collections, top_k=top_k)
        except Exception as error:  # noqa: BLE001 - whoever asks for it gets the error
            log.debug("a search ahead of its question failed", extra={"kind": type(error).__name__})
        finally:
            self._expected = None

    async def embed_query(self, text: str) -> Vector:
        """The question's vector, shape (dimension,), length 1. Kept for the questions asked last, so
        that intent detection and search embed a question once."""
        return await self._encoder.encode(text)

    async def embed_queries(self, texts: Sequence[str]) -> Vector:
        """Vectors of shape (len(texts), dimension), in one go: for start-up work. Not kept."""
        return await self._encoder.encode_all(texts)

    async def refresh(self) -> int:
        """Serves the newest version from here on; its number, 0 before the first sync.

        Raises KnowledgeError when there is one that cannot be read.
        """
        async with self._refreshing:
            await self._load(force=False)
        return self.version

    async def reload(self) -> None:
        """Opens the version in use anew. Raises KnowledgeError when it cannot be read; what is in memory is kept."""
        async with self._refreshing:
            await self._index.reopen()
            await self._load(force=True)
            self._trouble = None

    async def settled(self) -> None:
        """Returns when what is served is as quick to search as it will be."""
        if self._settling is not None:
            await asyncio.shield(self._settling)

    async def close(self) -> None:
        under_way: list[asyncio.Task[Any]] = [*self._flights.values()]
        under_way += [task for task in (self._expected, self._looking, self._settling) if task is not None]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._searching.close()
        await self._background.close()
        await self._synonyms.close()
        if self._reranking is not None:
            await self._reranking.close()

    # --- Following the index ------------------------------------------------------------------------

    async def _newest(self) -> Snapshot | None:
        """What is being served; None when nothing was ever indexed."""
        unseen = time.monotonic() - self._checked
        if unseen >= self._interval and self._looking is None:
            self._synonyms.look()
            snapshot = self._snapshot
            self._is_waited_for = snapshot is None or snapshot.is_small or unseen > self._interval + _STALE_SECONDS
            self._looking = asyncio.create_task(self._look_again())
        if self._looking is not None and self._is_waited_for:
            await asyncio.shield(self._looking)
        served = self._snapshot or self._words
        if served is None and self._trouble is not None:
            raise type(self._trouble)(*self._trouble.args)
        return served

    async def _look_again(self) -> None:
        try:
            async with self._refreshing:
                if time.monotonic() - self._checked >= self._interval:
                    await self._look()
        finally:
            self._looking = None

    async def _look(self, *, force: bool = False) -> None:
        """Follows the index; when that fails, what is in memory goes on being served."""
        try:
            await self._load(force=force)
        except KnowledgeError as error:
            self._checked = time.monotonic()
            if self._snapshot is not None and str(error) != str(self._trouble):
                log.warning("knowledge index cannot be followed", extra={"reason": str(error)})
            self._trouble = error
        else:
            self._trouble = None

    async def _load(self, *, force: bool) -> None:
        # Before the version is asked for: what changes in between is seen the next time.
        signature = await self._index.signature()
        if signature is not None and signature == self._signature and not (force or self._lost):
            self._checked = time.monotonic()
            return
        self._signature = None
        try:
            version = await self._index.live_version()
        except LANCE_ERRORS as error:
            raise IndexUnreadableError(f"the knowledge index cannot be read: {error}") from error
        if version is None and self._snapshot is not None:
            self._lost = True
            raise IndexUnreadableError("the knowledge index is gone")
        # One that was lost and made anew may count as before, in other files.
        if version is not None and (force or self._lost or version != self._followed):
            if self._lost:
                await self._index.reopen()
            former, self._snapshot = self._snapshot, await self._open()
            self._full_text, self._lost = True, False
            if former is not None:
                self._hits.follow(former.key, self._snapshot.key if self._snapshot else "")
            self._settle(self._snapshot)
            log.info("knowledge loaded", extra={"version": self.version})
        self._signature = signature
        self._checked = time.monotonic()

    def _settle(self, snapshot: Snapshot | None) -> None:
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        if snapshot is not None and not snapshot.is_settled:
            self._settling = asyncio.create_task(self._settle_quietly(snapshot))

    async def _settle_quietly(self, snapshot: Snapshot) -> None:
        try:
            await snapshot.settle(self._background)
        except Exception:  # it is searched as it is, and more slowly
            log.exception("the knowledge's inverted file was not made")

    async def _open(self) -> Snapshot | None:
        for attempt in (1, 2, 3):
            live = await self._index.open_live()
            if live is None:
                return None
            if live.identity != self._identity:
                raise mismatch(live.identity, self._identity)
            try:
                with collected_rarely():
                    return await load_snapshot(
                        live, self._snapshot, searching=self._searching, background=self._background
                    )
            except LANCE_ERRORS as error:
                # A sync that ended while we read has removed the version; the next one is there.
                if attempt == 3:
                    raise IndexUnreadableError(f"the knowledge index cannot be read: {error}") from error
        raise AssertionError("unreachable")

    def _land(self, key: SearchKey, flight: asyncio.Task[tuple[Hit, ...]]) -> None:
        self._flights.pop(key, None)
        if not flight.cancelled():
            flight.exception()  # seen: whoever waited may have left

    # --- Searching ----------------------------------------------------------------------------------

    async def _search(self, key: SearchKey) -> tuple[Hit, ...]:
        kept = await self._hits.get(key)
        if kept is not None:
            return kept
        by_words = self._snapshot is None
        found = await self._search_newest(key.question, key.scope, key.top_k)
        # Neither what another version says, nor what one half of a search found, is an answer to this key.
        if not by_words and found.is_whole and self._full_text and self._stands(key):
            self._hits.put(key, found.hits)
        return found.hits

    def _stands(self, key: SearchKey) -> bool:
        """Whether the same would be asked for now."""
        return self._snapshot is not None and (_edition(self._snapshot), self._manner) == (key.edition, key.manner)

    @property
    def _manner(self) -> str:
        """What decides an answer beside question and knowledge: another one, another answer."""
        reranker = self._reranking.name if self._reranking is not None else ""
        return f"{self._synonyms.current.digest}/{reranker}"

    async def _search_newest(self, question: str, scope: Scope, top_k: int) -> _Found:
        if self._snapshot is None:
            return await self._ask_words(question, scope, top_k)
        try:
            return await self._ask(question, scope, top_k)
        except LANCE_ERRORS:
            # Most likely a sync in another process has removed this version: open the one that follows it.
            log.info("knowledge version vanished", extra={"version": self._followed})
        vanished = self._snapshot
        async with self._refreshing:
            if self._snapshot is vanished:
                await self._look(force=True)
        try:
            return await self._ask(question, scope, top_k)
        except LANCE_ERRORS as error:
            log.warning("full-text search failed", extra={"reason": str(error)})
        # Until there is another version to try: this one does not heal.
        self._full_text = False
        try:
            return await self._ask(question, scope, top_k)
        except LANCE_ERRORS as error:
            if self._words is not None:
                return await self._ask_words(question, scope, top_k)
            raise IndexUnreadableError(f"the knowledge index cannot be searched: {error}") from error

    async def _ask_words(self, question: str, scope: Scope, top_k: int) -> _Found:
        assert self._words is not None
        wording = Wording(question, self._synonyms.current, self._encoder)
        try:
            return _Found(await self._words.search(wording.words, wording.vector, scope=scope, top_k=top_k))
        except LANCE_ERRORS as error:
            raise IndexUnreadableError(f"the knowledge cannot be searched by its words: {error}") from error

    async def _ask(self, question: str, scope: Scope, top_k: int) -> _Found:
        assert self._snapshot is not None
        wording = Wording(question, self._synonyms.current, self._encoder)
        wanted = top_k if self._reranking is None else max(top_k, CANDIDATES)
        hits = await self._snapshot.search(
            wording.words, wording.vector, scope=scope, top_k=wanted, full_text=self._full_text
        )
        if self._reranking is None:
            return _Found(hits)
        ranked = await self._reranking.sort(wording.words, hits)
        return _Found(hits[:top_k], is_whole=False) if ranked is None else _Found(ranked[:top_k])


def _edition(snapshot: Snapshot) -> Edition:
    return Edition(
        key=snapshot.key,
        embedder=snapshot.identity.embedder,
        dimension=snapshot.identity.dimension,
        table=0 if snapshot.key else snapshot.version,
    )
