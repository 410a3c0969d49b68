"""Threads and memory of the process."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from knowledge.process import in_thread_uncollected, return_freed_memory, return_large_blocks, use_one_blas_thread


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


async def test_work_of_many_objects_is_not_interrupted_by_the_collector() -> None:
    def look() -> bool:
        return gc.isenabled()

    assert gc.isenabled()
    assert await in_thread_uncollected(look) is False
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        await in_thread_uncollected(lambda: 1 // 0)
    assert gc.isenabled()
