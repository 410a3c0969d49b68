"""Syncs in processes of their own, killed; and what has to hold after it."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from knowledge.config import KnowledgeConfig
from knowledge.index import PASSAGES, STAGED
from knowledge.service import Knowledge, open_knowledge
from tests.knowledge.hashing import HashingEmbedder
from tests.knowledge.ledgers import assert_index_is_the_head, open_product_ledger

DOCUMENTS = 24
ROOT = Path(__file__).parents[2]


def two_states(folder: Path) -> tuple[Path, Path]:
    """Two sources of one file name whose every document says which of the two it is of."""

    def write(state: str) -> Path:
        path = folder / state / "faq.jsonl"
        path.parent.mkdir()
        rows = [{"id": n, "title": f"question {n}", "text": f"answer {n} {state}"} for n in range(DOCUMENTS)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write("before"), write("after")


@asynccontextmanager
async def process_of(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.knowledge.syncing_process",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def state_of(knowledge: Knowledge) -> str:
    """Which of the two states is searched; fails when it is a mixture or a part of one."""
    # A question of its own, so that it is not answered from the cache.
    hits = await knowledge.retriever.search(f"question answer {random.random()}", top_k=DOCUMENTS)
    assert len({hit.document for hit in hits}) == DOCUMENTS
    (state,) = {hit.text.split()[-1] for hit in hits}
    return state


async def kill_syncs(config: KnowledgeConfig, states: tuple[Path, Path], database: Path, kills: int) -> None:
    """Kills syncs of another process anywhere, so many times: one whole state is searched, beside them and after,
    and the next sync repairs the rest. The ledger is in the product's database."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    async with (
        open_product_ledger(database) as ledger,
        open_knowledge(config, embedder=HashingEmbedder(), ledger=ledger) as knowledge,
    ):
        await knowledge.sync([states[0]])
        for _ in range(kills):
            async with process_of(config.uri, str(states[1]), str(states[0]), "--database", str(database)) as process:
                assert process.stdout is not None
                assert await asyncio.wait_for(process.stdout.readline(), 60)
                # Anywhere in one of its next syncs, which take some 80 ms each.
                until = asyncio.get_running_loop().time() + rng.uniform(0, 0.3)
                while asyncio.get_running_loop().time() < until:
                    await state_of(knowledge)
                process.kill()
                await process.wait()
            await knowledge.retriever.refresh()
            await state_of(knowledge)
            if rng.random() < 0.5:  # else the next one finds what two killed ones left
                await knowledge.sync([states[rng.randrange(2)]])
                await assert_index_is_the_head(config.uri, ledger)
        await knowledge.sync([states[1]])
        assert await state_of(knowledge) == "after"
        await assert_index_is_the_head(config.uri, ledger)
    await assert_nothing_left_behind(config)


async def assert_nothing_left_behind(config: KnowledgeConfig, *, indexes: int = 0) -> None:
    """One version, none of a killed writer's files, no kept vectors."""
    table = Path(config.uri) / f"{PASSAGES}.lance"
    assert not (Path(config.uri) / f"{STAGED}.lance").exists()
    assert len(list((table / "_versions").glob("*.manifest"))) == 1
    assert len(list((table / "data").iterdir())) == 1
    # Only what is searched on the disk has one: the full text's.
    assert len(list((table / "_indices").glob("*"))) == indexes
    assert not list(table.rglob(".*"))
