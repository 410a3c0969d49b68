"""What goes into the index: vectors, embedded only where they are not known, and rows made of them."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from knowledge.embedders.base import Embedder, Vector
from knowledge.index import KnowledgeIndex
from knowledge.process import giving_way
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
        vectors = await asyncio.to_thread(self._known, fresh, known, *await self._index.staged(self._identity), present)
        embedded = await self._embed_missing(fresh, vectors, progress)
        return await asyncio.to_thread(self._assemble, fresh, kept, vectors, stamp), embedded

    def _known(
        self, fresh: Rows, shipped: KnownVectors, staged_keys: Sequence[str], staged: Vector, present: Any | None
    ) -> dict[str, Vector]:
        """Every vector that need not be embedded: shipped ones, an unfinished sync's, those that the present table has
        of the passages."""
        vectors = dict(shipped)
        vectors.update(zip(staged_keys, staged, strict=True))
        if present is not None:
            wanted = self._missing(fresh, vectors)
            found = present.filter(pc.is_in(present.column("vector_key"), pa.array(list(wanted), pa.string())))
            matrix = vector_matrix(found.column("vector"), self._identity.dimension)
            vectors.update(zip(found.column("vector_key").to_pylist(), matrix, strict=True))
        return vectors

    def _missing(self, rows: Rows, vectors: KnownVectors) -> dict[str, Chunk]:
        """A passage for each vector that there is not."""
        keys = ((vector_key(chunk, self._identity), chunk) for _, chunk in giving_way(rows))
        return {key: chunk for key, chunk in keys if key not in vectors}

    async def _embed_missing(self, rows: Rows, vectors: dict[str, Vector], progress: Progress | None) -> int:
        """Adds the missing vectors to `vectors`, keeping them on disk as it goes. Returns how many."""
        missing = await asyncio.to_thread(self._missing, rows, vectors)
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
        for row, (_, chunk) in enumerate(giving_way(fresh)):
            matrix[row] = vectors[vector_key(chunk, self._identity)]
        table = to_table(fresh, matrix, self._identity, stamp)
        if kept is None:
            return table
        # Cast: what came back from disk carries LanceDB's own field metadata.
        return pa.concat_tables([kept.cast(table.schema), table])


def rows_without(table: Any, documents: Collection[tuple[str, str]]) -> Any:
    """The rows of a table that belong to none of the (collection, document) pairs."""
    names: dict[str, list[str]] = {}
    for collection, document in documents:
        names.setdefault(collection, []).append(document)
    for collection, left_out in names.items():
        # Arrow looks for them, without the interpreter's lock.
        named = pc.is_in(table.column("document"), pa.array(left_out, pa.string()))
        table = table.filter(pc.invert(pc.and_(pc.equal(table.column("collection"), collection), named)))
    return table
