"""Search by words alone, from the ledger: what answers while the index is being made anew.

No vectors are needed, so it is there in seconds, where embedding a large knowledge takes hours. It lives in memory and
leaves nothing on the disk.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np

from knowledge.background import Background
from knowledge.duplicates import distinct
from knowledge.errors import IndexUnreadableError
from knowledge.filters import expression_of, present_of
from knowledge.fusion import explained_share, question_terms
from knowledge.index import LANCE_ERRORS
from knowledge.lance import MatchQuery, connect_async
from knowledge.ledger import Ledger, Version
from knowledge.rows import Rows
from knowledge.schema import SHOWN_COLUMNS, IndexIdentity, search_terms, shown_columns, to_hit, to_table
from knowledge.scope import Scope
from knowledge.snapshot import CANDIDATES, Embedding, summarize
from knowledge.table_indexes import FULL_TEXT
from knowledge.values import CollectionSummary, Hit

_TABLE = "passages"


class WordSnapshot:
    """A `Snapshot` of the ledger's newest version. Its hits have no cosine: `dense` is 0, which no vector's is.
    `score` is how much of the question a passage's words explain, so that it says something across searches too."""

    def __init__(
        self,
        table: Any,
        version: Version,
        identity: IndexIdentity,
        *,
        collections: tuple[CollectionSummary, ...],
        passages: int,
    ) -> None:
        self.version = 0
        self.number = version.number
        self.key = version.key
        self.identity = identity
        self.collections = collections
        self._table = table
        self._passages = passages

    @property
    def is_small(self) -> bool:
        """See `Snapshot`."""
        return True

    @property
    def is_settled(self) -> bool:
        """See `Snapshot`."""
        return True

    async def settle(self, background: Background) -> None:
        """See `Snapshot`."""

    async def search(
        self, text: str, vector: Embedding, *, scope: Scope, top_k: int, full_text: bool = True
    ) -> tuple[Hit, ...]:
        """See `Snapshot`. The question is not embedded."""
        names = [summary.name for summary in self.collections]
        if not present_of(scope, names):
            return ()
        within = expression_of(scope, names)
        query = self._table.query().nearest_to_text(MatchQuery(search_terms(text), "terms"))
        if within is not None:
            query = query.where(within)
        # More than are wanted: some may repeat a better one.
        found = await query.select([*SHOWN_COLUMNS, "_score"]).limit(max(CANDIDATES, top_k)).to_arrow()
        return distinct(self._hits(text, found), top_k)

    def _hits(self, text: str, found: Any) -> Iterator[Hit]:
        scores = found.column("_score").to_pylist()
        columns, terms = shown_columns(found), question_terms(text)
        return (
            to_hit(
                columns,
                row,
                score=explained_share(score, terms, self._passages),
                dense=0.0,
                lexical=score / max(scores[0], 1e-9),
                version=self.number,
            )
            for row, score in enumerate(scores)
        )


async def load_words(ledger: Ledger, identity: IndexIdentity) -> WordSnapshot | None:
    """The newest version, searchable by its words: a second for 10,000 passages. None where there is none.

    :raises LedgerError: it can not be read.
    :raises IndexUnreadableError: it can not be made searchable.
    """
    head = await ledger.head()
    if head is None:
        return None
    documents = await ledger.documents(head.number)
    contents = await ledger.passages(set(documents.values()))
    rows = [(key[0], chunk) for key, digest in documents.items() for chunk in contents.get(digest, ())]
    return await searchable(rows, head, identity)


async def searchable(rows: Rows, version: Version, identity: IndexIdentity) -> WordSnapshot:
    """:param identity: of the index that this stands in for: what it found is an answer here too."""
    data = await asyncio.to_thread(_table_of, rows, version)
    try:
        connection = await connect_async("memory://")
        table = await connection.create_table(_TABLE, data=data, schema=data.schema)
        if rows:
            await table.create_index("terms", config=FULL_TEXT)
    except LANCE_ERRORS as error:
        raise IndexUnreadableError(f"the knowledge can not be searched by its words: {error}") from error
    collections = await asyncio.to_thread(summarize, data.column("collection"), data.column("document"))
    return WordSnapshot(table, version, identity, collections=collections, passages=len(rows))


def _table_of(rows: Rows, version: Version) -> Any:
    # The same columns as the index has, with vectors of next to nothing: what is stored and shown is decided once.
    nothing = np.zeros((len(rows), 1), dtype=np.float32)
    return to_table(rows, nothing, IndexIdentity(embedder="", dimension=1), version.stamp)
