"""What goes into the index: vectors, embedded only where they are not known, and rows made of them."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from knowledge.embedders.base import Embedder, Vector
from knowledge.index import KnowledgeIndex
from knowledge.process import in_thread_uncollected
from knowledge.schema import IndexIdentity, embed_chunks, to_table, vector_key, vector_matrix
from knowledge.values import Chunk, Stamp

Progress = Callable[[int, int], None]
"""Called on the event loop with the passages embedded so far and in all."""

KnownVectors = Mapping[str, Vector]
"""Vectors by key (schema.vector_key), shape (dimension,)."""

Rows = Sequence[tuple[str, Chunk]]
"""(collection, passage)."""

# Large enough to fill every core, small enough for a bar that moves: 2 to 5 s with e5.
_BATCH = 16
# A sync that is killed embeds at most this many seconds' work again.
_STAGE_SECONDS = 5.0


class RowMaker:
    """Makes the next content of the index, for `KnowledgeIndex.write`."""

    def __init__(self, index: KnowledgeIndex, embedder: Embedder) -> None:
        self._index = index
        self._embedder = embedder
        self._identity = IndexIdentity.of(embedder)

    async def make(
        self,
        fresh: Rows,
        stamp: Stamp,
        *,
        present: Any | None,
        kept: Any | None,
        known: KnownVectors,
        progress: Progress | None,
    ) -> tuple[Any, int]:
        """The rows, and how many vectors had to be embedded.

        :param fresh: passages that are written anew.
        :param present: a table whose vectors may be used, None for none.
        :param kept: rows of `present` that are taken as they are, None for none.
        :param known: further vectors that need no embedding.
        """
        vectors = await self._known(present, known)
        embedded = await self._embed_missing(fresh, vectors, progress)
        return await in_thread_uncollected(self._assemble, fresh, kept, vectors, stamp), embedded

    async def _known(self, present: Any | None, shipped: KnownVectors) -> dict[str, Vector]:
        """Every vector that need not be embedded: shipped ones, an unfinished sync's, the present table's."""
        keys, staged = await self._index.staged(self._identity)

        def gathered() -> dict[str, Vector]:
            vectors = dict(shipped)
            vectors.update(zip(keys, staged, strict=True))
            if present is not None:
                matrix = vector_matrix(present.column("vector"), self._identity.dimension)
                vectors.update(zip(present.column("vector_key").to_pylist(), matrix, strict=True))
            return vectors

        return await in_thread_uncollected(gathered)

    async def _embed_missing(self, rows: Rows, vectors: dict[str, Vector], progress: Progress | None) -> int:
        """Adds the missing vectors to `vectors`, keeping them on disk as it goes. Returns how many."""
        missing: dict[str, Chunk] = {}
        for _, chunk in rows:
            key = vector_key(chunk, self._identity)
            if key not in vectors:
                missing[key] = chunk
        keys = list(missing)
        unstaged: list[str] = []
        staged_at = time.monotonic()
        for start in range(0, len(keys), _BATCH):
            batch = keys[start : start + _BATCH]
            matrix = await asyncio.to_thread(embed_chunks, self._embedder, [missing[key] for key in batch])
            vectors.update(zip(batch, matrix, strict=True))
            unstaged.extend(batch)
            if time.monotonic() - staged_at > _STAGE_SECONDS:
                await self._index.stage(unstaged, np.stack([vectors[key] for key in unstaged]), self._identity)
                unstaged, staged_at = [], time.monotonic()
            if progress is not None:
                progress(min(start + _BATCH, len(keys)), len(keys))
        return len(keys)

    def _assemble(self, fresh: Rows, kept: Any | None, vectors: Mapping[str, Vector], stamp: Stamp) -> Any:
        matrix = np.empty((len(fresh), self._identity.dimension), dtype=np.float32)
        for row, (_, chunk) in enumerate(fresh):
            matrix[row] = vectors[vector_key(chunk, self._identity)]
        table = to_table(fresh, matrix, self._identity, stamp)
        if kept is None:
            return table
        # Cast: what came back from disk carries LanceDB's own field metadata.
        return pa.concat_tables([kept.cast(table.schema), table])


def rows_without(table: Any, documents: Collection[tuple[str, str]]) -> Any:
    """The rows of a table that belong to none of the (collection, document) pairs."""
    if not documents:
        return table
    owners = zip(*table.select(["collection", "document"]).to_pydict().values(), strict=True)
    places = [place for place, owner in enumerate(owners) if owner not in documents]
    # Typed, for a list without a place in it has no type of its own.
    return table.take(pa.array(places, pa.int64()))
