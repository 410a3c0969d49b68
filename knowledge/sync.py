"""Makes a collection equal to its source: read, compare, embed what is new, commit in one step."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from knowledge.chunking import chunk_document
from knowledge.documents import SourceContents
from knowledge.embedders.base import Embedder, Vector
from knowledge.errors import IndexMismatchError, IndexUnreadableError
from knowledge.index import LANCE_ERRORS, KnowledgeIndex
from knowledge.schema import (
    IndexIdentity,
    content_hash,
    embed_chunks,
    mismatch,
    to_chunks,
    to_table,
    vector_key,
    vector_matrix,
)
from knowledge.sources.base import FileSource, Source, read_all
from knowledge.values import Chunk, Problem, SyncReport

Progress = Callable[[int, int], None]
"""Called on the event loop with the passages embedded so far and in all."""

KnownVectors = Mapping[str, Vector]
"""Vectors by key (schema.vector_key), shape (dimension,)."""

# Large enough to fill every core, small enough for a bar that moves: 2 to 5 s with e5.
_BATCH = 16
# A sync that is killed embeds at most this many seconds' work again.
_STAGE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    rows: tuple[tuple[str, Chunk], ...]
    """(collection, passage), the collection the same for all."""

    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    kept: Any
    """Rows of the present table that go into the next one as they are, None where there are none."""

    fresh: tuple[tuple[str, Chunk], ...]
    """Rows that are written anew."""

    added: int
    changed: int
    removed: int
    unchanged: int


async def sync(
    index: KnowledgeIndex,
    embedder: Embedder,
    sources: Sequence[Source],
    *,
    collection: str,
    rebuild: bool = False,
    progress: Progress | None = None,
    known: KnownVectors | None = None,
) -> SyncReport:
    """Makes `collection` equal to the documents of `sources`; other collections stay as they are.

    `rebuild` writes the index anew, every collection embedded again with this embedder; an index that
    cannot be read is then replaced by this collection alone. `known` are vectors that need no embedding.

    Raises SourceError for a source that is not there, SyncBusyError, IndexMismatchError when the index
    belongs to another embedder (and not `rebuild`), IndexUnreadableError.
    """
    identity = IndexIdentity.of(embedder)
    async with index.writing():
        source = await _read(sources, collection)
        present = await _present(index, identity, rebuild=rebuild)
        plan = await asyncio.to_thread(_compare, present, source, collection, rebuild=rebuild)
        embedded = 0
        if plan.added or plan.changed or plan.removed or present is None or rebuild:
            vectors = await _known_vectors(index, None if rebuild else present, known or {}, identity)
            embedded = await _embed_missing(index, embedder, plan.fresh, vectors, progress)
            rows = await asyncio.to_thread(_assemble, plan, vectors, identity)
            await index.replace(rows)
        # Also when there was nothing to do: a killed sync may have left something.
        await index.tidy()
        version = await index.live_version()
    return SyncReport(
        collection=collection,
        added=plan.added,
        changed=plan.changed,
        removed=plan.removed,
        unchanged=plan.unchanged,
        embedded=embedded,
        version=version or 0,
        problems=source.problems,
    )


async def index_once(
    index: KnowledgeIndex,
    embedder: Embedder,
    sources: Mapping[str, Sequence[Path]],
    *,
    known: KnownVectors,
) -> SyncReport | None:
    """Fills an index that was never filled with several collections (name to paths), in one step.

    None when there is one already, whatever it holds. Raises as `sync` does.
    """
    if await index.live_version() is not None:
        return None
    identity = IndexIdentity.of(embedder)
    async with index.writing():
        if await index.live_version() is not None:
            return None
        read = [await _read([FileSource(path) for path in paths], name) for name, paths in sources.items()]
        rows = tuple(row for source in read for row in source.rows)
        plan = _compare(None, _Source(rows=rows, problems=()), "", rebuild=False)
        vectors = await _known_vectors(index, None, known, identity)
        embedded = await _embed_missing(index, embedder, rows, vectors, None)
        await index.replace(await asyncio.to_thread(_assemble, plan, vectors, identity))
        await index.tidy()
        version = await index.live_version()
    return SyncReport(
        collection=", ".join(sources),
        added=plan.added,
        changed=0,
        removed=0,
        unchanged=0,
        embedded=embedded,
        version=version or 0,
        problems=tuple(problem for source in read for problem in source.problems),
    )


async def _read(sources: Sequence[Source], collection: str) -> _Source:
    contents = await read_all(sources)
    return await asyncio.to_thread(_chunked, contents, collection)


def _chunked(contents: SourceContents, collection: str) -> _Source:
    rows = tuple((collection, chunk) for document in contents.documents for chunk in chunk_document(document))
    return _Source(rows=rows, problems=contents.problems)


async def _present(index: KnowledgeIndex, identity: IndexIdentity, *, rebuild: bool) -> Any | None:
    """The table in use as it is, None where there is none or it is to be replaced unread."""
    try:
        live = await index.open_live()
        if live is None:
            return None
        if live.identity != identity and not rebuild:
            raise mismatch(live.identity, identity)
        return await live.table.to_arrow()
    except (IndexUnreadableError, IndexMismatchError):
        if not rebuild:
            raise
    except LANCE_ERRORS as error:
        if not rebuild:
            raise IndexUnreadableError(
                f"the knowledge index cannot be read ({error}); "
                "sync with --rebuild to make it anew from this source, then sync the other collections"
            ) from error
    await index.discard()
    return None


def _compare(present: Any | None, source: _Source, collection: str, *, rebuild: bool) -> _Plan:
    """What stays, what is written, and the documents counted. Pure."""
    old: dict[str, dict[str, str]] = {}
    places: dict[tuple[str, str], int] = {}
    others: list[int] = []
    if present is not None:
        columns = present.select(["collection", "document", "id", "hash"]).to_pydict()
        for place, (owner, document, passage, digest) in enumerate(zip(*columns.values(), strict=True)):
            if owner == collection:
                old.setdefault(document, {})[passage] = digest
                places[passage, digest] = place
            else:
                others.append(place)
    new: dict[str, dict[str, str]] = {}
    for _, chunk in source.rows:
        new.setdefault(chunk.document, {})[chunk.id] = content_hash(chunk)

    kept = [*others]
    fresh: list[tuple[str, Chunk]] = []
    for owner, chunk in source.rows:
        known = places.get((chunk.id, new[chunk.document][chunk.id]))
        if known is None or rebuild:
            fresh.append((owner, chunk))
        else:
            kept.append(known)
    if rebuild and present is not None:
        # Typed, for a list without a place in it has no type of its own.
        fresh.extend(to_chunks(present.take(pa.array(others, pa.int64()))))
        kept = []
    return _Plan(
        kept=present.take(kept) if present is not None and kept else None,
        fresh=tuple(fresh),
        added=len(new.keys() - old.keys()),
        changed=sum(old[document] != new[document] for document in old.keys() & new.keys()),
        removed=len(old.keys() - new.keys()),
        unchanged=sum(old[document] == new[document] for document in old.keys() & new.keys()),
    )


async def _known_vectors(
    index: KnowledgeIndex, present: Any | None, shipped: KnownVectors, identity: IndexIdentity
) -> dict[str, Vector]:
    """Every vector that need not be embedded: shipped ones, an unfinished sync's, the present table's."""
    vectors = dict(shipped)
    keys, staged = await index.staged(identity)
    vectors.update(zip(keys, staged, strict=True))
    if present is not None:
        matrix = await asyncio.to_thread(vector_matrix, present.column("vector"), identity.dimension)
        vectors.update(zip(present.column("vector_key").to_pylist(), matrix, strict=True))
    return vectors


async def _embed_missing(
    index: KnowledgeIndex,
    embedder: Embedder,
    rows: Sequence[tuple[str, Chunk]],
    vectors: dict[str, Vector],
    progress: Progress | None,
) -> int:
    """Adds the missing vectors to `vectors`, keeping them on disk as it goes. Returns how many."""
    identity = IndexIdentity.of(embedder)
    missing: dict[str, Chunk] = {}
    for _, chunk in rows:
        key = vector_key(chunk, identity)
        if key not in vectors:
            missing[key] = chunk
    keys = list(missing)
    unstaged: list[str] = []
    staged_at = time.monotonic()
    for start in range(0, len(keys), _BATCH):
        batch = keys[start : start + _BATCH]
        matrix = await asyncio.to_thread(embed_chunks, embedder, [missing[key] for key in batch])
        vectors.update(zip(batch, matrix, strict=True))
        unstaged.extend(batch)
        if time.monotonic() - staged_at > _STAGE_SECONDS:
            await index.stage(unstaged, np.stack([vectors[key] for key in unstaged]), identity)
            unstaged, staged_at = [], time.monotonic()
        if progress is not None:
            progress(min(start + _BATCH, len(keys)), len(keys))
    return len(keys)


def _assemble(plan: _Plan, vectors: Mapping[str, Vector], identity: IndexIdentity) -> Any:
    """The next content of the table."""
    matrix = np.empty((len(plan.fresh), identity.dimension), dtype=np.float32)
    for row, (_, chunk) in enumerate(plan.fresh):
        matrix[row] = vectors[vector_key(chunk, identity)]
    table = to_table(plan.fresh, matrix, identity)
    if plan.kept is None:
        return table
    # Cast: what came back from disk carries LanceDB's own field metadata.
    return pa.concat_tables([plan.kept.cast(table.schema), table])
