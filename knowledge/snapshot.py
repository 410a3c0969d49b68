"""One version of the index, ready to search.

Up to 200,000 passages live in memory (`knowledge.memory_snapshot`): LanceDB's scan of 10,000 vectors takes 9 ms of a
core where multiplying them with a question's takes .3 ms. Past that, LanceDB searches the disk
(`knowledge.disk_snapshot`).
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pyarrow as pa

from knowledge.background import Background
from knowledge.embedders.base import Vector
from knowledge.schema import IndexIdentity
from knowledge.scope import Scope
from knowledge.values import CollectionSummary, Hit

# Candidates that either half brings. Of the right passages in the measured sets, fewer than one in a thousand
# stands below the 50th place in both.
CANDIDATES = 50

Embedding = Callable[[], Awaitable[Vector]]
"""Gives the question's vector, shape (dimension,), length 1; the mean of several for a question in several wordings."""


class Snapshot(Protocol):
    """Searches one version. One on the disk may raise what LanceDB raises when that version's files are gone."""

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
        """The best of the scope first, none that repeats a better one. Collections that are not there are empty.
        Without `full_text`, by meaning alone: for when the full-text index on the disk is damaged."""

    @property
    def is_small(self) -> bool:
        """The next version can be waited for: it is loaded within half a second."""

    @property
    def is_settled(self) -> bool:
        """Nothing would be gained by `settle`."""

    async def settle(self, background: Background) -> None:
        """Makes searching quicker, while it is searched."""


class Settled:
    """Of a `Snapshot` that is as quick to search as it will be."""

    @property
    def is_settled(self) -> bool:
        """See `Snapshot`."""
        return True

    async def settle(self, background: Background) -> None:
        """See `Snapshot`."""


def summarize(collections: Any, documents: Any) -> tuple[CollectionSummary, ...]:
    """Counts from the two columns, by the collections' names."""
    table = pa.table({"name": collections, "document": documents})
    groups = table.group_by("name").aggregate([("document", "count_distinct"), ("document", "count")])
    summaries = (
        CollectionSummary(name=row["name"], documents=row["document_count_distinct"], passages=row["document_count"])
        for row in groups.to_pylist()
    )
    return tuple(sorted(summaries, key=lambda summary: summary.name))
