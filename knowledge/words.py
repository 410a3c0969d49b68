"""Search by words alone, from the ledger: what answers while the index is being made anew.

No vectors are needed, so it is there in seconds, where embedding a large knowledge takes hours. It lives in memory and
leaves nothing on the disk.
"""

import asyncio
from collections.abc import Iterator

import numpy as np

from knowledge.duplicates import distinct
from knowledge.filters import Mask
from knowledge.full_text import FullTextMaker
from knowledge.fusion import explained_share, question_terms
from knowledge.ledger import Ledger
from knowledge.passages import Passages
from knowledge.process import collected_rarely
from knowledge.rows import Rows
from knowledge.schema import IndexIdentity, to_table
from knowledge.scope import Scope
from knowledge.snapshot import CANDIDATES, Embedding, Settled
from knowledge.values import Hit, Stamp


class WordSnapshot(Settled):
    """A `Snapshot` of the ledger's newest version. Its hits have no cosine: `dense` is 0, which no vector's is.
    `score` is how much of the question a passage's words explain, so that it says something across searches too."""

    def __init__(self, passages: Passages, stamp: Stamp, identity: IndexIdentity) -> None:
        self.version = 0
        self.number = stamp.number
        self.key = stamp.key
        self.identity = identity
        self.collections = passages.collections
        self._passages = passages

    @property
    def is_small(self) -> bool:
        """See `Snapshot`."""
        return True

    async def search(
        self, text: str, vector: Embedding, *, scope: Scope, top_k: int, full_text: bool = True
    ) -> tuple[Hit, ...]:
        """See `Snapshot`. The question is not embedded."""
        inside = self._passages.inside(scope)
        # More than are wanted: some may repeat a better one.
        return distinct(self._hits(text, inside, max(CANDIDATES, top_k)), top_k)

    def _hits(self, text: str, inside: Mask | None, count: int) -> Iterator[Hit]:
        matches = self._passages.match(text, inside, count)
        terms = question_terms(text)
        for row, bm25 in zip(matches.rows.tolist(), matches.bm25.tolist(), strict=True):
            yield self._passages.hit(
                row,
                score=explained_share(bm25, terms, len(self._passages)),
                dense=0.0,
                lexical=bm25 / float(matches.bm25[0]),
            )


async def load_words(ledger: Ledger, identity: IndexIdentity) -> WordSnapshot | None:
    """The newest version, searchable by its words: a second for 10,000 passages. None where there is none.

    :raises LedgerError: it can not be read.
    """
    head = await ledger.head()
    if head is None:
        return None
    with collected_rarely():
        documents = await ledger.documents(head.number)
        contents = await ledger.passages(set(documents.values()))
        rows = [(key[0], chunk) for key, digest in documents.items() for chunk in contents.get(digest, ())]
        return await asyncio.to_thread(searchable, rows, head.stamp, identity)


def searchable(rows: Rows, stamp: Stamp, identity: IndexIdentity) -> WordSnapshot:
    """:param identity: of the index that this stands in for: what it found is an answer here too."""
    # The same columns as the index has, with vectors of next to nothing: what is stored and shown is decided once.
    nothing = np.zeros((len(rows), 1), dtype=np.float32)
    table = to_table(rows, nothing, IndexIdentity(embedder="", dimension=1), stamp)
    full_text = FullTextMaker()
    for terms in table.column("terms").chunks:
        full_text.add(terms)
    return WordSnapshot(Passages(table, full_text.made(), number=stamp.number), stamp, identity)
