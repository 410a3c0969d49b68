"""F25: documents that are made to be expensive. Each ends soon, in little memory, and the loop beside them turns."""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from knowledge.chunking import chunk_document
from knowledge.cutting import LONGEST
from knowledge.documents import Converter, read_source
from knowledge.documents.conversion import RefusedError
from tests.faults.seeds import begin
from tests.knowledge.test_conversion import BOMBS

pytestmark = pytest.mark.faults

PROCESSOR_SECONDS = 10.0
"""What a document may take (P26), and a little for starting the next reader."""
STARTING_SECONDS = 3.0
READER_BYTES = 512 * 2**20
LAG_SECONDS = 0.25

TEXTS: dict[str, Callable[[], str]] = {
    "quotations in quotations.md": lambda: "> " * 50_000 + "x",
    "brackets.md": lambda: "[" * 500_000,
    "pictures.md": lambda: "![" * 100_000 + "](x)" * 100_000,
    "links that do not end.md": lambda: "[a](b" * 200_000,
    "backticks.md": lambda: "".join("`" * n + " " for n in range(1, 3_000)),
    "emphasis.md": lambda: "*a_ " * 500_000,
    "lists in lists.md": lambda: "\n".join("  " * n + "- x" for n in range(3_000)),
    "a table of 20,000 columns.md": lambda: f"|{'a|' * 20_000}\n|{'-|' * 20_000}\n" + f"|{'b|' * 20_000}\n" * 5,
    "headings.md": lambda: "# a\n" * 200_000,
    "references.md": lambda: "[x]: a\n" * 50_000 + "[x]" * 50_000,
    "entities.md": lambda: "&#0;" * 200_000,
    "one word.txt": lambda: "x" * 4_000_000,
    "one address.txt": lambda: "http://" + "a/" * 2_000_000,
    "one number.txt": lambda: "1 " * 2_000_000,
    "full stops.txt": lambda: "." * 3_000_000,
    "one sentence.txt": lambda: "好" * 4_000_000,
    "blanks.md": lambda: " " * 5_000_000 + "x",
    "nested.jsonl": lambda: '{"title":"a","text":' + "[" * 100_000 + "]" * 100_000 + "}\n",
    "half characters.jsonl": lambda: '{"title":"a","text":"' + "\\ud800" * 500_000 + '"}\n',
    "a cell without end.csv": lambda: 'question,answer\n"' + "x" * 10_000_000,
}


def _read(path: Path, converter: Converter) -> int:
    """The passages that come out, of which none is longer than anybody would read."""
    with suppress(RefusedError):
        passages = [
            passage for document in read_source(path, converter).documents for passage in chunk_document(document)
        ]
        assert all(len(passage.text) <= LONGEST for passage in passages)
        return len(passages)
    return 0


def _processor_seconds() -> float:
    """Of this process and of the readers that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


class _Watch:
    """How late the loop turns, and how large the readers become, until it is cancelled."""

    def __init__(self) -> None:
        self.lags: list[float] = []
        self.largest = 0

    async def run(self) -> None:
        own = psutil.Process(os.getpid())
        while True:
            due = time.perf_counter() + 0.01
            await asyncio.sleep(0.01)
            self.lags.append(time.perf_counter() - due)
            if len(self.lags) % 5 == 0:
                self.largest = max(self.largest, await asyncio.to_thread(_readers_bytes, own))


def _readers_bytes(own: psutil.Process) -> int:
    largest = 0
    for child in own.children(recursive=True):
        with suppress(psutil.Error):
            largest = max(largest, child.memory_info().rss)
    return largest


@pytest.mark.timeout(1200)
async def test_thirty_bombs_end_soon_and_in_little_memory(tmp_path: Path) -> None:
    _, report = begin("F25")
    made: dict[str, Callable[[], bytes | str]] = {f"{case.id}{case.values[0]}": case.values[1] for case in BOMBS}
    made |= TEXTS
    watch, slowest = _Watch(), ("", 0.0)
    for name, make in made.items():
        content = make()
        path = tmp_path / name.replace("/", " ")
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        del content
        watching = asyncio.create_task(watch.run())
        before = _processor_seconds()
        with Converter() as converter:
            await asyncio.to_thread(_read, path, converter)
        spent = _processor_seconds() - before
        watching.cancel()
        slowest = max(slowest, (name, spent), key=lambda each: each[1])
        path.unlink()
        assert spent < PROCESSOR_SECONDS + STARTING_SECONDS, f"{name} takes {spent:.1f} s"
    report["bombs"], report["slowest"] = len(made), f"{slowest[0]}: {slowest[1]:.1f} s"
    report["reader_mb"] = watch.largest >> 20
    report["lag_p99_ms"] = round(statistics.quantiles(watch.lags, n=100)[98] * 1000)
    report.print()
    assert len(made) >= 30
    assert 0 < watch.largest <= READER_BYTES
    assert statistics.quantiles(watch.lags, n=100)[98] < LAG_SECONDS
