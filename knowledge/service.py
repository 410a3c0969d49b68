"""The knowledge as one object: opened with the bot or a command, closed with it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from knowledge.config import KnowledgeConfig
from knowledge.embedders import create_embedder, verify_weights
from knowledge.embedders.base import Embedder
from knowledge.encoder import QueryEncoder
from knowledge.errors import IndexMissingError, SyncBusyError
from knowledge.index import KnowledgeIndex
from knowledge.process import return_large_blocks, use_one_blas_thread
from knowledge.retriever import Retriever
from knowledge.samples import SAMPLE_SOURCES, load_vectors
from knowledge.schema import IndexIdentity
from knowledge.sources.base import FileSource, Source
from knowledge.sync import Progress, index_once, sync
from knowledge.values import DEFAULT_COLLECTION, CollectionSummary, SyncReport


class Knowledge:
    """Made by `open_knowledge`."""

    def __init__(self, index: KnowledgeIndex, embedder: Embedder, retriever: Retriever) -> None:
        self._index = index
        self.embedder = embedder
        self.retriever = retriever

    async def sync(
        self,
        sources: Sequence[Path | str | Source],
        *,
        collection: str = DEFAULT_COLLECTION,
        rebuild: bool = False,
        progress: Progress | None = None,
    ) -> SyncReport:
        """Makes a collection equal to its sources, and serves it from here on. See `knowledge.sync.sync`.

        Raises KnowledgeError; the index is then as it was.
        """
        await asyncio.to_thread(verify_weights, self.embedder.name)
        report = await sync(
            self._index,
            self.embedder,
            [FileSource(Path(source)) if isinstance(source, Path | str) else source for source in sources],
            collection=collection,
            rebuild=rebuild,
            progress=progress,
            known=await asyncio.to_thread(load_vectors, self.embedder.name),
        )
        await self.retriever.refresh()
        return report

    async def ensure_samples(self) -> SyncReport | None:
        """Indexes the sample knowledge that ships with kefu, when nothing was ever indexed here.

        Takes .3 s with the embedder the shipped vectors are of, seconds with another. None when there
        was something already, or another process is filling the index just now.
        """
        known = await asyncio.to_thread(load_vectors, self.embedder.name)
        try:
            report = await index_once(self._index, self.embedder, SAMPLE_SOURCES, known=known)
        except SyncBusyError:
            return None
        await self.retriever.refresh()
        return report

    async def collections(self) -> tuple[CollectionSummary, ...]:
        """Every collection of the newest version, by name; none before the first sync."""
        await self.retriever.refresh()
        return self.retriever.collections

    async def check(self) -> int:
        """How many passages are ready to be searched. Raises KnowledgeError that says what is wrong."""
        if not await self.retriever.refresh():
            raise IndexMissingError("nothing is indexed yet; run `kefu knowledge sync PATH`")
        return sum(summary.passages for summary in self.retriever.collections)


def _suit_the_process() -> None:
    use_one_blas_thread()
    return_large_blocks()


@asynccontextmanager
async def open_knowledge(config: KnowledgeConfig, *, embedder: Embedder | None = None) -> AsyncIterator[Knowledge]:
    """Loads the embedder, opens the index and reads what is served from memory: .3 s for 10,000 passages.

    `embedder` stands in for the configured one, for tests. Raises EmbedderError, IndexUnreadableError.
    An index of another embedder is no error yet, so that it can be synced with `rebuild`: searching it is.
    """
    model: Embedder = embedder if embedder is not None else await asyncio.to_thread(create_embedder, config.embedder)
    await asyncio.to_thread(_suit_the_process)
    index = await KnowledgeIndex.connect(config.uri)
    encoder = QueryEncoder(model)
    retriever = Retriever(index, encoder, IndexIdentity.of(model), config.top_k)
    try:
        yield Knowledge(index, model, retriever)
    finally:
        await retriever.close()
        await encoder.close()
        index.close()
