"""Which kind of snapshot a version of the index becomes."""

from knowledge import table_indexes
from knowledge.background import Background, Searching
from knowledge.disk_snapshot import load_from_disk
from knowledge.index import LiveTable
from knowledge.memory_snapshot import load_into_memory
from knowledge.snapshot import Snapshot


async def load_snapshot(
    live: LiveTable, former: Snapshot | None, *, searching: Searching, background: Background
) -> Snapshot:
    """:param former: what was searched until now; the new one takes over from it what it can."""
    count = await live.table.count_rows()
    if count <= table_indexes.MAX_PASSAGES_IN_MEMORY:
        snapshot = await load_into_memory(live, count, former, searching=searching, background=background)
        if snapshot is not None:
            return snapshot
    return await load_from_disk(live)
