"""A version too large for memory: everything in LanceDB but the mean of all vectors."""

import asyncio
from typing import Any

import numpy as np

from knowledge.duplicates import distinct
from knowledge.embedders.base import Vector
from knowledge.filters import expression_of, present_of
from knowledge.full_text import Matches
from knowledge.fusion import fuse, question_terms
from knowledge.index import LiveTable
from knowledge.lance import Expr, MatchQuery
from knowledge.schema import SHOWN_COLUMNS, vector_matrix
from knowledge.scope import Scope
from knowledge.shown import Shown
from knowledge.snapshot import CANDIDATES, Embedding, Settled, summarize
from knowledge.terms import SEPARATOR, terms_of
from knowledge.values import CollectionSummary, Hit
from knowledge.vectors import best


class DiskSnapshot(Settled):
    """A `Snapshot`. The writer made LanceDB's indexes before anybody followed this version."""

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

    async def search(
        self, text: str, vector: Embedding, *, scope: Scope, top_k: int, full_text: bool = True
    ) -> tuple[Hit, ...]:
        """See `Snapshot`. The full text is searched while the question is being embedded."""
        names = [summary.name for summary in self.collections]
        if not present_of(scope, names):
            return ()
        within = expression_of(scope, names)
        limit = max(CANDIDATES, top_k)
        matching = self._match(text if full_text else "", within, limit)
        asked, matches = await asyncio.gather(vector(), matching)
        nearest = self._table.query().nearest_to(asked).distance_type("cosine").select(["_distance"])
        if within is not None:
            nearest = nearest.where(within)
        found = await nearest.with_row_id().limit(limit).to_arrow()
        row_ids = np.union1d(found.column("_rowid").to_numpy().astype(np.intp), matches.rows)
        if not row_ids.size:
            return ()
        taken = (
            await self._table.take_row_ids([int(row_id) for row_id in row_ids])
            .select([*SHOWN_COLUMNS, "vector"])
            .with_row_id()
            .to_arrow()
        )
        return await asyncio.to_thread(self._rank, text, asked, taken, matches, top_k)

    async def _match(self, text: str, within: Expr | None, limit: int) -> Matches:
        """Rows are LanceDB's row ids here."""
        terms = SEPARATOR.join(terms_of(text))
        if not terms:
            return Matches(rows=np.empty(0, dtype=np.intp), bm25=np.empty(0, dtype=np.float32))
        query = self._table.query().nearest_to_text(MatchQuery(terms, "terms"))
        if within is not None:
            # Before the search, not after it: the best 50 of everything may hold none of a small collection.
            query = query.where(within)
        # Row ids only: fetching even one column of the hits doubles the time.
        found = await query.with_row_id().select(["_score"]).limit(limit).to_arrow()
        return Matches(rows=found.column("_rowid").to_numpy().astype(np.intp), bm25=found.column("_score").to_numpy())

    def _rank(self, text: str, vector: Vector, taken: Any, matches: Matches, top_k: int) -> tuple[Hit, ...]:
        shown = Shown(taken)
        cosines = vector_matrix(taken.column("vector"), self.identity.dimension) @ vector
        scores = dict(zip(matches.rows.tolist(), matches.bm25.tolist(), strict=True))
        bm25 = np.array([scores.get(row, 0.0) for row in taken.column("_rowid").to_pylist()], dtype=np.float32)
        fused = fuse(
            cosines=cosines,
            mean=float(self._mean @ vector),
            bm25=bm25,
            sizes=shown.sizes(),
            terms=question_terms(text),
            passages=self._passages,
        )
        ranked = (
            shown.hit(
                int(at),
                score=float(fused.score[at]),
                dense=float(cosines[at]),
                lexical=float(fused.lexical[at]),
                version=self.number,
            )
            for at in best(fused.score, len(cosines))
        )
        return distinct(ranked, top_k)


async def load_from_disk(live: LiveTable) -> DiskSnapshot:
    """Reads every vector once, for their mean."""
    names = await live.table.query().select(["collection", "document"]).to_arrow()
    collections = await asyncio.to_thread(summarize, names.column("collection"), names.column("document"))
    total = np.zeros(live.identity.dimension, dtype=np.float64)
    async for batch in await live.table.query().select(["vector"]).to_batches():
        total += vector_matrix(batch.column("vector"), live.identity.dimension).sum(axis=0)
    mean = (total / max(1, names.num_rows)).astype(np.float32)
    return DiskSnapshot(live, collections, mean, names.num_rows)
