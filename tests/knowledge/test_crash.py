"""A sync that is killed, and syncs in another process while this one searches. Real processes, real SIGKILL."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from knowledge.config import KnowledgeConfig
from knowledge.index import PASSAGES, STAGED
from knowledge.service import Knowledge, open_knowledge
from tests.knowledge.hashing import HashingEmbedder
from tests.knowledge.ledgers import assert_index_is_the_head, open_product_ledger
from tests.knowledge.syncing_process import STEPS

DOCUMENTS = 24
ROOT = Path(__file__).parents[2]
Write = Callable[..., Path]


@pytest.fixture
def states(write: Write) -> tuple[Path, Path]:
    """Two sources of one file name whose every document says which of the two it is of."""
    return tuple(  # type: ignore[return-value]
        write(
            f"{state}/faq.jsonl",
            [{"id": n, "title": f"question {n}", "text": f"answer {n} {state}"} for n in range(DOCUMENTS)],
        )
        for state in ("before", "after")
    )


@asynccontextmanager
async def _process(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
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


async def _state(knowledge: Knowledge) -> str:
    """Which of the two states is searched; fails when it is a mixture or a part of one."""
    # A question of its own, so that it is not answered from the cache.
    hits = await knowledge.retriever.search(f"question answer {random.random()}", top_k=DOCUMENTS)
    assert len({hit.document for hit in hits}) == DOCUMENTS
    (state,) = {hit.text.split()[-1] for hit in hits}
    return state


@pytest.mark.parametrize("step", STEPS)
async def test_a_sync_killed_at_any_step_leaves_one_whole_state(
    config: KnowledgeConfig, states: tuple[Path, Path], step: str
) -> None:
    before, after = states
    async with open_knowledge(config, embedder=HashingEmbedder()) as knowledge:
        await knowledge.sync([before])
    async with _process(config.uri, str(after), "--die-at", step) as process:
        assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL
    embedder = HashingEmbedder()
    async with open_knowledge(config, embedder=embedder) as knowledge:
        switched = step in ("after the switch", "before the cleanup")
        assert await _state(knowledge) == ("after" if switched else "before")
        report = await knowledge.sync([after])
        assert await _state(knowledge) == "after"
    committed = switched or step in ("after the commit", "before the switch")
    assert report.unchanged == (DOCUMENTS if committed else 0)
    if committed:
        assert report.embedded == 0
    if step == "after embedding":
        # 16 passages' vectors were on disk when it died.
        assert report.embedded == DOCUMENTS - 16
    await _nothing_left_behind(config)


async def test_kept_vectors_that_were_damaged_are_embedded_again(
    config: KnowledgeConfig, states: tuple[Path, Path]
) -> None:
    async with _process(config.uri, str(states[1]), "--die-at", "after embedding") as process:
        assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL
    kept = [path for path in (Path(config.uri) / f"{STAGED}.lance").rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        path.write_bytes(b"")
    async with open_knowledge(config, embedder=HashingEmbedder()) as knowledge:
        report = await knowledge.sync([states[1]])
        assert (report.added, report.embedded) == (DOCUMENTS, DOCUMENTS)
        assert await _state(knowledge) == "after"


async def test_a_start_ends_a_sync_that_was_killed_before_the_switch(
    config: KnowledgeConfig, states: tuple[Path, Path]
) -> None:
    async with open_knowledge(config, embedder=HashingEmbedder()) as knowledge:
        await knowledge.sync([states[0]])
    async with _process(config.uri, str(states[1]), "--die-at", "before the switch") as process:
        assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL
    embedder = HashingEmbedder()
    async with open_knowledge(config, embedder=embedder) as knowledge:
        assert await _state(knowledge) == "before"
        assert await knowledge.ensure_samples() is None
        assert await _state(knowledge) == "after"
    assert embedder.passages == []


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.faults)])
async def test_syncs_killed_at_random_never_leave_a_mixture(
    config: KnowledgeConfig, states: tuple[Path, Path], tmp_path: Path, kills: int
) -> None:
    """F29: ledger in the product's database, killed anywhere; a search beside it never fails."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    database = tmp_path / "kefu.db"
    async with (
        open_product_ledger(database) as ledger,
        open_knowledge(config, embedder=HashingEmbedder(), ledger=ledger) as knowledge,
    ):
        await knowledge.sync([states[0]])
        for _ in range(kills):
            async with _process(config.uri, str(states[1]), str(states[0]), "--database", str(database)) as process:
                assert process.stdout is not None
                assert await asyncio.wait_for(process.stdout.readline(), 60)
                # Anywhere in one of its next syncs, which take some 80 ms each.
                until = asyncio.get_running_loop().time() + rng.uniform(0, 0.3)
                while asyncio.get_running_loop().time() < until:
                    await _state(knowledge)
                process.kill()
                await process.wait()
            await knowledge.retriever.refresh()
            await _state(knowledge)
            if rng.random() < 0.5:  # else the next one finds what two killed ones left
                await knowledge.sync([states[rng.randrange(2)]])
                await assert_index_is_the_head(config.uri, ledger)
        await knowledge.sync([states[1]])
        assert await _state(knowledge) == "after"
        await assert_index_is_the_head(config.uri, ledger)
    await _nothing_left_behind(config)


async def test_searching_goes_on_while_another_process_syncs(
    config: KnowledgeConfig, states: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("knowledge.retriever._LOCAL_CHECK_SECONDS", 0.02)
    async with open_knowledge(config, embedder=HashingEmbedder()) as knowledge:
        await knowledge.sync([states[0]])
        seen: list[str] = []
        async with _process(config.uri, str(states[1]), str(states[0])) as process:
            assert process.stdout is not None
            for _ in range(8):
                line = asyncio.create_task(process.stdout.readline())
                while not line.done():
                    # Questions of its own, so that none is answered from the cache.
                    hits = await knowledge.retriever.search(f"question answer {len(seen)}", top_k=DOCUMENTS)
                    (state,) = {hit.text.split()[-1] for hit in hits}
                    seen.append(state)
                    await asyncio.sleep(0)
                assert await line
        assert {"before", "after"} == set(seen)


async def _nothing_left_behind(config: KnowledgeConfig) -> None:
    """One version, none of a killed writer's files, no kept vectors."""
    table = Path(config.uri) / f"{PASSAGES}.lance"
    assert not (Path(config.uri) / f"{STAGED}.lance").exists()
    assert len(list((table / "_versions").glob("*.manifest"))) == 1
    assert len(list((table / "data").iterdir())) == 1
    assert len(list((table / "_indices").iterdir())) == 1
    assert not list(table.rglob(".*"))
