"""The product's ledger on a database of the test's own, and what has to agree with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.history.database import Database
from bot.ledger import product_ledger
from bot.telemetry import Metrics
from knowledge.index import KnowledgeIndex
from knowledge.ledger import Ledger
from knowledge.schema import content_hash
from tests.core.house import address, new_database


@asynccontextmanager
async def open_product_ledger(file: Path) -> AsyncIterator[Ledger]:
    """In this file, made if it is not there: `kefu.db` of its folder."""
    if not file.exists():
        assert await asyncio.to_thread(new_database, file.parent) == file
    url = address(file)
    async with Database(url, metrics=Metrics()) as database:
        yield product_ledger(database, url)


async def assert_index_is_the_head(uri: str, ledger: Ledger) -> None:
    """The index holds the newest version's passages, no other, and says so."""
    head = await ledger.head()
    assert head is not None
    digests = await ledger.documents(head.number)
    contents = await ledger.passages(set(digests.values()))
    wanted = sorted(
        (collection, chunk.id, content_hash(chunk))
        for (collection, _), digest in digests.items()
        for chunk in contents[digest]
    )
    index = await KnowledgeIndex.connect(uri)
    live = await index.open_live()
    assert live is not None
    assert live.stamp == head.stamp
    rows = (await live.table.to_arrow()).select(["collection", "id", "hash"]).to_pylist()
    assert sorted((row["collection"], row["id"], row["hash"]) for row in rows) == wanted
    index.close()
