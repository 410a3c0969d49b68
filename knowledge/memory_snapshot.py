"""A version in memory: every question is answered without the disk.

Past 20,000 passages every vector is looked at until an inverted file has been made of them
(`knowledge.inverted_file`), in the background.
"""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from knowledge.background import Background, Pause, Searching, no_pause
from knowledge.duplicates import distinct
from knowledge.embedders.base import Vector
from knowledge.filters import Mask
from knowledge.full_text import FullText, FullTextMaker, Matches
from knowledge.fusion import fuse, question_terms
from knowledge.index import LiveTable
from knowledge.inverted_file import FLAT_UP_TO, InvertedFile, Middles, sort_into, train
from knowledge.passages import Passages
from knowledge.process import let_go, note_search, return_freed_memory
from knowledge.schema import SHOWN_COLUMNS, vector_matrix
from knowledge.scope import Scope
from knowledge.snapshot import CANDIDATES, Embedding, Snapshot
from knowledge.table_indexes import MAX_TEXT_BYTES_IN_MEMORY
from knowledge.values import Hit
from knowledge.vectors import FlatVectors, Vectors, best

T = TypeVar("T")


class MemorySnapshot:
    """Vectors, texts and full text of a `Snapshot` in memory."""

    def __init__(
        self, live: LiveTable, shown: Any, matrix: Vector, full_text: FullText, *, searching: Searching
    ) -> None:
        """Texts, vectors and full text of the same rows, in the same order."""
        self.version = live.version
        self.number = live.number
        self.key = live.key
        self.identity = live.identity
        self.passages = Passages(shown, full_text, number=live.number)
        self.collections = self.passages.collections
        self.vectors: Vectors = FlatVectors(matrix)
        self._searching = searching

    @property
    def is_small(self) -> bool:
        """See `Snapshot`."""
        return len(self.passages) <= FLAT_UP_TO

    @property
    def is_settled(self) -> bool:
        """See `Snapshot`."""
        return self.is_small or isinstance(self.vectors, InvertedFile)

    async def settle(self, background: Background) -> None:
        """See `Snapshot`."""
        flat = self.vectors
        if self.is_settled or not isinstance(flat, FlatVectors):
            return

        def build(pause: Pause) -> InvertedFile:
            return InvertedFile(sort_into(train(flat.matrix, pause), flat.matrix, pause), flat.matrix, pause)

        self.vectors = await background.run(build)

    async def follow(self, former: "MemorySnapshot", background: Background) -> None:
        """Settles as the former version was, where that still suits the passages. Before anybody searches this one."""
        flat = self.vectors
        middles = former.middles
        if self.is_settled or middles is None or not isinstance(flat, FlatVectors):
            return

        def build(pause: Pause) -> InvertedFile | None:
            placed = sort_into(middles, flat.matrix, pause)
            return InvertedFile(placed, flat.matrix, pause, in_place=True) if placed.suits else None

        if (built := await background.run(build)) is not None:
            self.vectors = built

    @property
    def middles(self) -> Middles | None:
        return self.vectors.middles if isinstance(self.vectors, InvertedFile) else None

    async def search(
        self, text: str, vector: Embedding, *, scope: Scope, top_k: int, full_text: bool = True
    ) -> tuple[Hit, ...]:
        """See `Snapshot`."""
        inside = self.passages.inside(scope)
        if inside is not None and not inside.any():
            return ()
        words = text if full_text else ""
        count = max(CANDIDATES, top_k)
        match = partial(self.passages.match, words, inside, count)
        note_search()
        if self.vectors.is_quick(inside):
            # First, while the question is being embedded.
            matches = match()
            return distinct(self._ranked(words, await vector(), inside, matches, count), top_k)
        asked = await vector()
        return await self._searching.run(lambda: distinct(self._ranked(words, asked, inside, match(), count), top_k))

    def _ranked(self, text: str, asked: Vector, inside: Mask | None, matches: Matches, count: int) -> Iterator[Hit]:
        found = self.vectors.search(asked, inside, count=count, also=matches.rows)
        bm25 = np.zeros(len(found.rows), dtype=np.float32)
        bm25[np.searchsorted(found.rows, matches.rows)] = matches.bm25
        fused = fuse(
            cosines=found.cosines,
            mean=found.mean,
            bm25=bm25,
            sizes=self.passages.sizes[found.rows],
            terms=question_terms(text),
            passages=len(self.passages),
        )
        for at in best(fused.score, len(found.rows)):
            yield self.passages.hit(
                int(found.rows[at]),
                score=float(fused.score[at]),
                dense=float(found.cosines[at]),
                lexical=float(fused.lexical[at]),
            )


class _Reading:
    """What becomes of a table, batch by batch: read as one, its vectors would be in memory three times over."""

    def __init__(self, count: int, dimension: int) -> None:
        self.matrix = np.empty((count, dimension), dtype=np.float32)
        self._filled = 0
        self._shown: list[Any] = []
        self._bytes = 0
        self._full_text = FullTextMaker()

    @property
    def is_too_long(self) -> bool:
        return self._bytes > MAX_TEXT_BYTES_IN_MEMORY

    def take(self, batch: Any, pause: Pause) -> None:
        rows = slice(self._filled, self._filled + batch.num_rows)
        self.matrix[rows] = vector_matrix(batch.column("vector"), self.matrix.shape[1])
        self._filled = rows.stop
        pause()
        self._full_text.add(batch.column("terms"), pause)
        self._shown.append(batch.select(list(SHOWN_COLUMNS)))
        self._bytes += self._shown[-1].nbytes
        pause()

    def snapshot(self, live: LiveTable, schema: Any, searching: Searching, pause: Pause) -> MemorySnapshot:
        read = [pa.Table.from_batches(self._shown, schema)]
        self._shown.clear()
        made = MemorySnapshot(live, read[0], self.matrix, self._full_text.made(pause), searching=searching)
        let_go(read)
        return made


async def load_into_memory(
    live: LiveTable, count: int, former: Snapshot | None, *, searching: Searching, background: Background
) -> MemorySnapshot | None:
    """Its `count` passages: .2 s for 10,000. None when their texts are too long for memory.

    Of a large one's former version it takes over how the vectors are sorted, so that it is settled at once.
    """

    async def run(work: Callable[[Pause], T]) -> T:
        # What takes seconds gives way to the searches; what takes moments is waited for.
        return await (background.run(work) if count > FLAT_UP_TO else asyncio.to_thread(work, no_pause))

    reading = _Reading(count, live.identity.dimension)
    batches = await live.table.query().select([*SHOWN_COLUMNS, "terms", "vector"]).to_batches()
    async for batch in batches:
        await run(partial(reading.take, batch))
        if reading.is_too_long:
            return None
    schema = pa.schema([batches.schema.field(name) for name in SHOWN_COLUMNS])
    snapshot = await run(partial(reading.snapshot, live, schema, searching))
    if isinstance(former, MemorySnapshot):
        await snapshot.follow(former, background)
    await asyncio.to_thread(return_freed_memory)
    return snapshot
