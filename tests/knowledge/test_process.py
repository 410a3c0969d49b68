"""Threads and memory of the process."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from knowledge.index import KnowledgeIndex
from knowledge.process import (
    NICENESS,
    collected_rarely,
    giving_way,
    let_go,
    note_search,
    rest_after,
    return_freed_memory,
    return_large_blocks,
    use_one_blas_thread,
)


def test_a_product_uses_no_thread_but_its_callers() -> None:
    assert use_one_blas_thread()
    matrix = np.ones((4000, 384), dtype=np.float32)
    clock, started = _others_cpu(), time.thread_time()
    for _ in range(200):
        matrix @ matrix[0]
    assert time.thread_time() - started > 0.01
    assert _others_cpu() - clock < 0.05


def _others_cpu() -> float:
    """Seconds of processor time of every thread of this process but the calling one."""
    own = threading.get_native_id()
    ticks = 0
    for task in Path("/proc/self/task").iterdir():
        if int(task.name) != own:
            fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / 100


def test_freed_memory_leaves_the_process() -> None:
    assert return_large_blocks()
    before = _resident_bytes()
    blocks = [np.ones(1_000_000, dtype=np.uint8) for _ in range(100)]
    assert _resident_bytes() - before > 80_000_000
    del blocks
    return_freed_memory()
    assert _resident_bytes() - before < 20_000_000


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_work_of_many_objects_is_looked_through_some_at_a_time_only() -> None:
    before, looked_at = gc.get_threshold(), []

    def watch(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            looked_at.append(info["generation"])

    def work() -> list[tuple[str, str]]:
        # Within it as well: two of them at a time end as one does.
        with collected_rarely():
            return [(f"{number}", "text") for number in range(100_000)]

    gc.callbacks.append(watch)
    try:
        with collected_rarely():
            kept = await asyncio.to_thread(work)
            assert gc.get_threshold() != before
        assert len(kept) == 100_000
        assert set(looked_at) == {0}
    finally:
        gc.callbacks.remove(watch)
    assert gc.get_threshold() == before
    assert not gc.is_tracked(kept[500]), "seen once, and left alone for good"
    with pytest.raises(ZeroDivisionError), collected_rarely():
        await asyncio.to_thread(lambda: 1 // 0)
    assert gc.get_threshold() == before


def test_many_items_are_handed_on_with_rests_while_there_are_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr("knowledge.process.time.sleep", rests.append)
    monkeypatch.setattr("knowledge.process._Searches.last", -float("inf"))
    assert list(giving_way([])) == []
    assert list(giving_way(map(_worked, range(320)))) == list(range(320))
    assert rests == []
    note_search()
    assert list(giving_way(map(_worked, range(96)))) == list(range(96))
    assert len(rests) >= 2
    assert all(0.003 < rest <= 0.01 for rest in rests)


def test_a_step_outside_of_the_interpreter_is_followed_by_as_long_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr("knowledge.process.time.sleep", rests.append)
    monkeypatch.setattr("knowledge.process._Searches.last", -float("inf"))
    rest_after(0.05)
    assert rests == []
    note_search()
    rest_after(0.05)
    rest_after(30.0)
    assert rests == [0.05, 0.1]


def test_tables_are_let_go_whole() -> None:
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    tables = [pa.table({"text": ["long enough to be counted"] * 50_000}) for _ in range(3)]
    tables.append(pa.concat_tables(tables))
    assert pool.bytes_allocated() > before + 3_000_000
    let_go(tables)
    assert tables == []
    assert pool.bytes_allocated() == before


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a niceness of their own on Linux alone")
async def test_lance_gives_way_and_nothing_else_does(tmp_path: Path) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    index = await KnowledgeIndex.connect(str(tmp_path / "index"))
    try:
        assert await index.open_live() is None
        niceness = {
            (task / "comm").read_text().strip(): int((task / "stat").read_text().rsplit(")", 1)[1].split()[16])
            for task in Path("/proc/self/task").iterdir()
        }
    finally:
        index.close()
    lance = {name: nice for name, nice in niceness.items() if name.startswith("lance")}
    assert lance
    assert set(lance.values()) == {max(NICENESS, own)}
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


def _worked(number: int) -> int:
    until = time.thread_time() + 0.0003
    while time.thread_time() < until:
        pass
    return number
