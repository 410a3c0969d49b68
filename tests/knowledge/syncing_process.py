"""A process that syncs, to be killed: `python -m tests.knowledge.syncing_process URI SOURCE… [--die-at STEP]
[--database FILE]`.

Syncs the sources in turn, round and round, into the collection "default"; a line on standard output for each
sync that is done. With `--die-at` it kills itself, with SIGKILL, at that step of its first sync.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

from knowledge import rows, table_indexes
from knowledge.config import KnowledgeConfig
from knowledge.index import KnowledgeIndex
from knowledge.service import open_knowledge
from knowledge.sql_ledger import SqlLedger
from tests.knowledge.hashing import HashingEmbedder

_Method = Callable[..., Awaitable[Any]]


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _before(method: _Method) -> _Method:
    async def dying(*arguments: Any, **options: Any) -> Any:
        _die()
        return await method(*arguments, **options)

    return dying


def _after(method: _Method) -> _Method:
    async def dying(*arguments: Any, **options: Any) -> Any:
        result = await method(*arguments, **options)
        _die()
        return result

    return dying


def _arm(step: str) -> None:
    """Replaces the method that `step` names by one that ends the process there."""
    when, _, name = step.partition(" ")
    wrap = {"before": _before, "after": _after}[when]
    from lancedb.table import AsyncTable  # after ours, which imports LanceDB in half the time

    owner: Any
    match name:
        case "embedding":
            rows._STAGE_SECONDS = -1.0
            owner, name = KnowledgeIndex, "stage"
        case "the full-text index":
            table_indexes.MAX_PASSAGES_IN_MEMORY = 1  # it is made for what is searched on the disk only
            owner, name = AsyncTable, "create_index"
        case "forcing it to the disk":
            owner, name = KnowledgeIndex, "_to_disk"
        case "the commit":
            owner, name = SqlLedger, "commit"
        case "the switch":
            owner, name = KnowledgeIndex, "_point"
        case "the cleanup":
            owner, name = AsyncTable, "optimize"
        case _:
            raise ValueError(step)
    setattr(owner, name, wrap(getattr(owner, name)))


STEPS = (
    "after embedding",
    "before the full-text index",
    "before forcing it to the disk",
    "before the commit",
    "after the commit",
    "before the switch",
    "after the switch",
    "before the cleanup",
)


async def _run(uri: str, sources: list[Path], die_at: str | None, database: Path | None) -> None:
    config = KnowledgeConfig(uri=uri, embedder="hashing")
    async with AsyncExitStack() as stack:
        ledger = None
        if database is not None:
            from tests.knowledge.ledgers import open_product_ledger  # half a second that the others need not wait

            ledger = await stack.enter_async_context(open_product_ledger(database))
        knowledge = await stack.enter_async_context(open_knowledge(config, embedder=HashingEmbedder(), ledger=ledger))
        if die_at:
            _arm(die_at)
        for source in cycle(sources):
            report = await knowledge.sync([source])
            print(report.version, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("uri")
    parser.add_argument("sources", nargs="+", type=Path)
    parser.add_argument("--die-at")
    parser.add_argument("--database", type=Path)
    options = parser.parse_args()
    asyncio.run(_run(options.uri, options.sources, options.die_at, options.database))


if __name__ == "__main__":
    main()
