"""`make bench`: what a turn costs, how many a second, how much memory, how soon ready; each beside its target.

Every figure comes from a process of its own, one after the other: nothing else should run on the machine. Rented
machines slow down for minutes when their neighbours work, so every row says how fast a fixed piece of work ran on both
sides of it, against the fastest of the whole run.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.bench.corpus import write_passages

PASSAGES = 10_000
FOLDER = Path("build/bench")
E5, USE = "multilingual-e5-small", "use-multilingual"
STARTS = 3
KEFU = [sys.executable, "-P", "-c", "from bot.cli import main; main()"]

ROWS: tuple[tuple[str, str, str, str], ...] = (
    ("embedded embedder, 25 turns/s, every question new", E5, "steady-25", "p50 ≤ 30 ms, p99 ≤ 100 ms"),
    ("embedded embedder, 50 turns/s, questions asked before", E5, "steady-50-cached", "p50 ≤ 15 ms, p99 ≤ 60 ms"),
    ("use-multilingual, 50 turns/s, every question new", USE, "steady-50", "p50 ≤ 15 ms, p99 ≤ 60 ms"),
    ("embedded embedder, saturation, every question new", E5, "saturation", "≥ 60 turns/s"),
    ("embedded embedder, saturation, questions asked before", E5, "saturation-cached", "≥ 150 turns/s"),
    ("use-multilingual, saturation, every question new", USE, "saturation", "≥ 150 turns/s"),
    ("embedded embedder, 1,000 live conversations", E5, "memory", "≤ 450 MB"),
)


def main() -> None:
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {PASSAGES:,} passages")
    for embedder in (E5, USE):
        _prepare(embedder)
    fixed = [_fixed_work()]
    for title, embedder, mode, target in ROWS:
        command = [sys.executable, "-m", "tests.bench.turns", embedder, str(FOLDER), mode]
        before = _fixed_work()
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            sys.exit(f"{title}: {result.stderr.strip()}")
        figures = json.loads(result.stdout.splitlines()[-1])
        fixed.append((before + _fixed_work()) / 2)
        speed = f"machine at {min(fixed) / fixed[-1]:.0%}"
        print(f"{title:56} {_said(figures):44} {speed:16} target {target}", flush=True)
    seconds = min(_time_to_ready() for _ in range(STARTS))
    print(f"{'from start to ready, best of ' + str(STARTS):56} {seconds:.2f} s{'':54} target ≤ 3 s")


def _fixed_work() -> float:
    """Seconds of the same computing, now: what the interpreter does, on every core."""
    started = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(_count, [4_000_000] * (os.cpu_count() or 1)))
    return time.perf_counter() - started


def _count(times: int) -> int:
    total = 0
    for number in range(times):
        total += number & 7
    return total


def _said(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value}" for name, value in figures.items() if name != "rate")


def _prepare(embedder: str) -> None:
    """The index of ten thousand passages; kept for the next time, because embedding them takes minutes."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("kefu-*"):
        old.unlink()
    done = FOLDER / f"{embedder}.done"
    if done.exists():
        return
    source = FOLDER / "passages"
    source.mkdir(exist_ok=True)
    write_passages(source / "faq.csv", PASSAGES)
    shutil.rmtree(FOLDER / f"index-{embedder}", ignore_errors=True)
    started = time.monotonic()
    environ = os.environ | {
        "KEFU_KNOWLEDGE__URI": str(FOLDER / f"index-{embedder}"),
        "KEFU_KNOWLEDGE__EMBEDDER": embedder,
    }
    command = [*KEFU, "knowledge", "sync", str(source)]
    subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
    print(f"indexing {PASSAGES:,} passages with {embedder}: {time.monotonic() - started:.0f} s")
    done.touch()


def _time_to_ready() -> float:
    """Seconds from starting `kefu run` until /readyz says 200."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = os.environ | {
        "KEFU_HTTP__PORT": str(port),
        "KEFU_KNOWLEDGE__URI": str(FOLDER / f"index-{E5}"),
        "KEFU_DATABASE__URL": f"sqlite+aiosqlite:///{FOLDER}/kefu-start.db",
    }
    started = time.monotonic()
    process = subprocess.Popen([*KEFU, "run"], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while time.monotonic() - started < 60:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
                    if answer.status == 200:
                        return time.monotonic() - started
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.02)
        sys.exit("kefu run was not ready within a minute")
    finally:
        process.terminate()
        process.wait(40)


if __name__ == "__main__":
    main()
