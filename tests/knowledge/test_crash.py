"""A sync that is killed, and syncs in another process while this one searches. Real processes, real SIGKILL."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from knowledge.config import KnowledgeConfig
from knowledge.index import STAGED
from knowledge.service import open_knowledge
from tests.knowledge.crashing import DOCUMENTS, assert_nothing_left_behind, kill_syncs, process_of, state_of, two_states
from tests.knowledge.hashing import HashingEmbedder
from tests.knowledge.syncing_process import STEPS


@pytest.fixture
def states(tmp_path: Path) -> tuple[Path, Path]:
    return two_states(tmp_path)


@pytest.mark.parametrize("step", STEPS)
async def test_a_sync_killed_at_any_step_leaves_one_whole_state(
    config: KnowledgeConfig, states: tuple[Path, Path], step: str
) -> None:
    before, after = states
    async with open_knowledge(config, embedder=HashingEmbedder()) as knowledge:
        await knowledge.sync([before])
    async with process_of(config.uri, str(after), "--die-at", step) as process:
        assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL
    embedder = HashingEmbedder()
    async with open_knowledge(config, embedder=embedder) as knowledge:
        switched = step in ("after the switch", "before the cleanup")
        assert await state_of(knowledge) == ("after" if switched else "before")
        report = await knowledge.sync([after])
        assert await state_of(knowledge) == "after"
    committed = switched or step in ("after the commit", "before the switch")
    assert report.unchanged == (DOCUMENTS if committed else 0)
    if committed:
        assert report.embedded == 0
    if step == "after embedding":
        # 16 passages' vectors were on disk when it died.
        assert report.embedded == DOCUMENTS - 16
    await assert_nothing_left_behind(config)


async def test_kept_vectors_that_were_damaged_are_embedded_again(
    config: KnowledgeConfig, states: tuple[Path, Path]
) -> None:
    async with process_of(config.uri, str(states[1]), "--die-at", "after embedding") as process:
        assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL
    kept = [path for path in (Path(config.uri) / f"{STAGED}.lance").rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        path.write_bytes(b"")
    async with open_knowledge(config, embedder=HashingEmbedder()) as knowledge:
        report = await knowledge.sync([states[1]])
        assert (report.added, report.embedded) == (DOCUMENTS, DOCUMENTS)
        assert await state_of(knowledge) == "after"


async def test_a_start_ends_a_sync_that_was_killed_before_the_switch(
    config: KnowledgeConfig, states: tuple[Path, Path]
) -> None:
    async with open_knowledge(config, embedder=HashingEmbedder()) as knowledge:
        await knowledge.sync([states[0]])
    async with process_of(config.uri, str(states[1]), "--die-at", "before the switch") as process:
        assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL
    embedder = HashingEmbedder()
    async with open_knowledge(config, embedder=embedder) as knowledge:
        assert await state_of(knowledge) == "before"
        assert await knowledge.ensure_samples() is None
        assert await state_of(knowledge) == "after"
    assert embedder.passages == []


async def test_syncs_killed_at_random_never_leave_a_mixture(
    config: KnowledgeConfig, states: tuple[Path, Path], tmp_path: Path
) -> None:
    """The long form is tests/faults/test_f29_index.py."""
    await kill_syncs(config, states, tmp_path / "kefu.db", 2)


async def test_searching_goes_on_while_another_process_syncs(
    config: KnowledgeConfig, states: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("knowledge.retriever._LOCAL_CHECK_SECONDS", 0.02)
    async with open_knowledge(config, embedder=HashingEmbedder()) as knowledge:
        await knowledge.sync([states[0]])
        seen: list[str] = []
        async with process_of(config.uri, str(states[1]), str(states[0])) as process:
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
