"""One version of the index, ready to search.

Up to 200,000 passages live in memory: multiplying 10,000 vectors with a question's takes .3 ms and LanceDB's
scan of them 9 ms of a core. The full-text half is LanceDB's in all cases (1.5 ms). Past 20,000 every vector is
looked at until an inverted file has been made of them (`knowledge.inverted_file`), in the background. Past
200,000, LanceDB searches the vectors too, from disk.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from knowledge.background import Background, Pause
from knowledge.duplicates import distinct
from knowledge.embedders.base import Vector
from knowledge.filters import Mask, Masks, expression_of, present_of
from knowledge.fusion import fuse, question_terms
from knowledge.index import LiveTable
from knowledge.inverted_file import FLAT_UP_TO, InvertedFile, Middles, sort_into, train
from knowledge.lance import Expr, MatchQuery
from knowledge.process import return_freed_memory
from knowledge.schema import SHOWN_COLUMNS, IndexIdentity, search_terms, shown_columns, to_hit, vector_matrix
from knowledge.scope import Scope
from knowledge.table_indexes import MAX_PASSAGES_IN_MEMORY, MAX_TEXT_BYTES_IN_MEMORY
from knowledge.values import CollectionSummary, Hit
from knowledge.vectors import FlatVectors, Rows, Vectors, best

# Candidates that either half brings. Of the right passages in the measured sets, fewer than one in a thousand
# stands below the 50th place in both.
CANDIDATES = 50

Embedding = Callable[[], Awaitable[Vector]]
"""Gives the question's vector, shape (dimension,), length 1; the mean of several for a question in several wordings."""


class Snapshot(Protocol):
    """Searches one version. May raise what LanceDB raises when that version's files are gone."""

    @property
    def version(self) -> int:
        """The table's own, which also counts what maintenance does to it."""

    @property
    def number(self) -> int:
        """The ledger's, 0 for an index without one."""

    @property
    def key(self) -> str:
        """Its `Stamp.key`, "" for an index without a ledger."""

    @property
    def identity(self) -> IndexIdentity: ...

    @property
    def collections(self) -> tuple[CollectionSummary, ...]: ...

    async def search(
        self, text: str, vector: Embedding, *, scope: Scope, top_k: int, full_text: bool = True
    ) -> tuple[Hit, ...]:
        """The best of the scope first, none that repeats a better one. Collections that are not there are empty. The
        full text is searched while the question is being embedded. Without `full_text`, by meaning alone: for when the
        full-text index is damaged."""

    @property
    def is_small(self) -> bool:
        """The next version can be waited for: it is loaded within half a second."""

    @property
    def is_settled(self) -> bool:
        """Nothing would be gained by `settle`."""

    async def settle(self, background: Background) -> None:
        """Makes searching quicker, while it is searched."""


async def load_snapshot(live: LiveTable, former: Snapshot | None, background: Background) -> Snapshot:
    """Reads what the snapshot keeps in memory: .2 s for 10,000 passages. Of a large one's former version it takes over
    how the vectors are sorted, so that it is settled at once."""
    count = await live.table.count_rows()
    if count > MAX_PASSAGES_IN_MEMORY:
        return await _load_on_disk(live)
    matrix = np.empty((count, live.identity.dimension), dtype=np.float32)
    shown = await _read(live, matrix)
    if shown is None:
        return await _load_on_disk(live)
    snapshot = await asyncio.to_thread(MemorySnapshot, live, shown, matrix)
    if isinstance(former, MemorySnapshot):
        await snapshot.follow(former, background)
    await asyncio.to_thread(return_freed_memory)
    return snapshot


async def _read(live: LiveTable, matrix: Vector) -> Any | None:
    """Fills `matrix` and returns the texts beside it, as one table; None when they are too long for memory.

    Batch by batch: vectors read as one table would be in memory three times over.
    """
    query = live.table.query().select([*SHOWN_COLUMNS, "vector"]).with_row_id()
    if not len(matrix):
        return (await query.to_arrow()).drop_columns(["vector"])
    batches: list[Any] = []
    length = filled = 0
    async for batch in await query.to_batches():
        matrix[filled : filled + batch.num_rows] = vector_matrix(batch.column("vector"), live.identity.dimension)
        filled += batch.num_rows
        batches.append(batch.drop_columns(["vector"]))
        length += batches[-1].nbytes
        if length > MAX_TEXT_BYTES_IN_MEMORY:
            return None
    return await asyncio.to_thread(_one_table, batches)


def _one_table(batches: Sequence[Any]) -> Any:
    return pa.Table.from_batches(batches).combine_chunks()


def summarize(collections: Any, documents: Any) -> tuple[CollectionSummary, ...]:
    """Counts from the two columns, by the collections' names."""
    table = pa.table({"name": collections, "document": documents})
    groups = table.group_by("name").aggregate([("document", "count_distinct"), ("document", "count")])
    summaries = (
        CollectionSummary(name=row["name"], documents=row["document_count_distinct"], passages=row["document_count"])
        for row in groups.to_pylist()
    )
    return tuple(sorted(summaries, key=lambda summary: summary.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matches:
    """Full-text hits: LanceDB's row ids and BM25 scores, best first."""

    row_ids: npt.NDArray[np.uint64]
    bm25: Vector


async def _no_matches() -> _Matches:
    return _Matches(row_ids=np.empty(0, dtype=np.uint64), bm25=np.empty(0, dtype=np.float32))


async def _match(table: Any, text: str, within: Expr | None, limit: int) -> _Matches:
    query = table.query().nearest_to_text(MatchQuery(search_terms(text), "terms"))
    if within is not None:
        # Before the search, not after it: the best 50 of everything may hold none of a small collection.
        query = query.where(within)
    # Row ids only: fetching even one column of the hits doubles the time.
    found = await query.with_row_id().select(["_score"]).limit(limit).to_arrow()
    return _Matches(row_ids=found.column("_rowid").to_numpy(), bm25=found.column("_score").to_numpy())


class MemorySnapshot:
    """Vectors and texts in memory, full text in LanceDB."""

    def __init__(self, live: LiveTable, shown: Any, matrix: Vector) -> None:
        self.version = live.version
        self.number = live.number
        self.key = live.key
        self.identity = live.identity
        self._table = live.table
        row_ids = shown.column("_rowid").to_numpy()
        # Full-text hits are found by bisection.
        if np.any(row_ids[1:] < row_ids[:-1]):
            order = np.argsort(row_ids)
            row_ids, shown, matrix = row_ids[order], shown.take(order), matrix[order]
        self._row_ids, self._shown = row_ids, shown_columns(shown)
        self._vectors: Vectors = FlatVectors(matrix)
        column = self._shown["collection"]
        self.collections = summarize(column, self._shown["document"])
        self._names = [summary.name for summary in self.collections]
        self._masks = Masks(column, self._shown["tags"], self._shown["language"])

    @property
    def is_small(self) -> bool:
        """See `Snapshot`."""
        return len(self._row_ids) <= FLAT_UP_TO

    @property
    def is_settled(self) -> bool:
        """See `Snapshot`."""
        return self.is_small or isinstance(self._vectors, InvertedFile)

    async def settle(self, background: Background) -> None:
        """See `Snapshot`."""
        flat = self._vectors
        if self.is_settled or not isinstance(flat, FlatVectors):
            return

        def build(pause: Pause) -> InvertedFile:
            return InvertedFile(sort_into(train(flat.matrix, pause), flat.matrix, pause), flat.matrix, pause)

        self._vectors = await background.run(build)

    async def follow(self, former: "MemorySnapshot", background: Background) -> None:
        """Settles as the former version was, where that still suits the passages. Before anybody searches this one."""
        flat = self._vectors
        middles = former.middles
        if self.is_settled or middles is None or not isinstance(flat, FlatVectors):
            return

        def build(pause: Pause) -> InvertedFile | None:
            placed = sort_into(middles, flat.matrix, pause)
            return InvertedFile(placed, flat.matrix, pause, in_place=True) if placed.suits else None

        if (built := await background.run(build)) is not None:
            self._vectors = built

    @property
    def middles(self) -> Middles | None:
        return self._vectors.middles if isinstance(self._vectors, InvertedFile) else None

    async def search(
        self, text: str, vector: Embedding, *, scope: Scope, top_k: int, full_text: bool = True
    ) -> tuple[Hit, ...]:
        if not present_of(scope, self._names):
            return ()
        inside = self._masks.of(scope)
        if inside is not None and not inside.any():
            return ()
        within = expression_of(scope, self._names)
        limit = max(CANDIDATES, top_k)
        matching = _match(self._table, text, within, limit) if full_text else _no_matches()
        asked, matches = await asyncio.gather(vector(), matching)
        if self._vectors.is_quick:
            return self._rank(text, asked, inside, matches, top_k)
        return await asyncio.to_thread(self._rank, text, asked, inside, matches, top_k)

    def _rank(self, text: str, asked: Vector, inside: Mask | None, matches: _Matches, top_k: int) -> tuple[Hit, ...]:
        matched: Rows = np.searchsorted(self._row_ids, matches.row_ids).astype(np.intp)
        found = self._vectors.search(asked, inside, count=max(CANDIDATES, top_k), also=matched)
        bm25 = np.zeros(len(found.rows), dtype=np.float32)
        bm25[np.searchsorted(found.rows, matched)] = matches.bm25
        fused = fuse(
            cosines=found.cosines,
            mean=found.mean,
            bm25=bm25,
            terms=question_terms(text),
            passages=len(self._row_ids),
        )
        ranked = (
            to_hit(
                self._shown,
                int(found.rows[at]),
                score=float(fused.score[at]),
                dense=float(found.cosines[at]),
                lexical=float(fused.lexical[at]),
                version=self.number,
            )
            for at in best(fused.score, len(found.rows))
        )
        return distinct(ranked, top_k)


class DiskSnapshot:
    """Everything in LanceDB but the mean of all vectors. For a knowledge too large for memory."""

    def __init__(
        self, live: LiveTable, collections: tuple[CollectionSummary, ...], mean: Vector, passages: int
    ) -> None:
        self.version = live.version
        self.number = live.number
        self.key = live.key
        self.identity = live.identity
        self.collections = collections
        self._table = live.table
        self._mean = mean
        self._passages = passages

    @property
    def is_small(self) -> bool:
        """See `Snapshot`."""
        return False

    @property
    def is_settled(self) -> bool:
        """See `Snapshot`. The writer made LanceDB's index before anybody followed this version."""
        return True

    async def settle(self, background: Background) -> None:
        """See `Snapshot`."""

    async def search(
        self, text: str, vector: Embedding, *, scope: Scope, top_k: int, full_text: bool = True
    ) -> tuple[Hit, ...]:
        names = [summary.name for summary in self.collections]
        if not present_of(scope, names):
            return ()
        within = expression_of(scope, names)
        limit = max(CANDIDATES, top_k)
        matching = _match(self._table, text, within, limit) if full_text else _no_matches()
        asked, matches = await asyncio.gather(vector(), matching)
        nearest = self._table.query().nearest_to(asked).distance_type("cosine").select(["_distance"])
        if within is not None:
            nearest = nearest.where(within)
        found = await nearest.with_row_id().limit(limit).to_arrow()
        row_ids = np.union1d(found.column("_rowid").to_numpy(), matches.row_ids)
        if not row_ids.size:
            return ()
        taken = (
            await self._table.take_row_ids([int(row_id) for row_id in row_ids])
            .select([*SHOWN_COLUMNS, "vector"])
            .with_row_id()
            .to_arrow()
        )
        return await asyncio.to_thread(self._rank, text, asked, taken, matches, top_k)

    def _rank(self, text: str, vector: Vector, taken: Any, matches: _Matches, top_k: int) -> tuple[Hit, ...]:
        columns = shown_columns(taken)
        cosines = vector_matrix(taken.column("vector"), self.identity.dimension) @ vector
        scores = dict(zip(matches.row_ids.tolist(), matches.bm25.tolist(), strict=True))
        bm25 = np.array([scores.get(row, 0.0) for row in taken.column("_rowid").to_pylist()], dtype=np.float32)
        fused = fuse(
            cosines=cosines,
            mean=float(self._mean @ vector),
            bm25=bm25,
            terms=question_terms(text),
            passages=self._passages,
        )
        ranked = (
            to_hit(
                columns,
                int(at),
                score=float(fused.score[at]),
                dense=float(cosines[at]),
                lexical=float(fused.lexical[at]),
                version=self.number,
            )
            for at in best(fused.score, len(cosines))
        )
        return distinct(ranked, top_k)


async def _load_on_disk(live: LiveTable) -> DiskSnapshot:
    names = await live.table.query().select(["collection", "document"]).to_arrow()
    collections = await asyncio.to_thread(summarize, names.column("collection"), names.column("document"))
    total = np.zeros(live.identity.dimension, dtype=np.float64)
    async for batch in await live.table.query().select(["vector"]).to_batches():
        total += vector_matrix(batch.column("vector"), live.identity.dimension).sum(axis=0)
    mean = (total / max(1, names.num_rows)).astype(np.float32)
    return DiskSnapshot(live, collections, mean, names.num_rows)
