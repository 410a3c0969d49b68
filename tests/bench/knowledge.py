"""A large knowledge, and Chroma with the same passages and vectors beside it.

    python -m tests.bench.knowledge ../shared/data --chroma .venv-chroma/bin/python

Makes 100,000 passages (a minute or two the first time, kept in build/bench/knowledge), then lets each side take them
in, be searched by 1, 8 and 32 callers at rest, and be searched while 1,000 changed passages go in. The sides run one
after the other, each in a process of its own; nothing else should run on the machine.

Embedding is on neither side: vectors are looked up. "Dense" is by meaning alone, which is what Chroma does; "hybrid"
is what kefu does for a question. What kefu syncs is all 100,000 documents, of which it has to find out which
1,000 changed, and each sync is forced to the disk; Chroma is handed the 1,000.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.callers import CALLERS
from tests.bench.material import make_material

FOLDER = Path("build/bench/knowledge")
_TARGET_CALLERS = "8"
_TARGET_P99 = 25.0
_TARGET_RECALL = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--passages", type=int, default=100_000, metavar="N")
    parser.add_argument("--chroma", metavar="PYTHON", help="an interpreter with chromadb; without one, kefu alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here")
    options = parser.parse_args()
    material = FOLDER / str(options.passages)
    make_material(material, options.data, options.passages)
    sides = {"kefu": _side([sys.executable, "-m", "tests.bench.knowledge_kefu"], material)}
    if options.chroma:
        sides["chroma"] = _side([options.chroma, "-m", "tests.bench.knowledge_chroma"], material)
    if options.json:
        options.json.write_text(json.dumps(sides, indent=1), encoding="utf-8")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, {options.passages:,} passages")
    for line in table(sides["kefu"], sides.get("chroma")):
        print(line)


def _side(command: list[str], material: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=FOLDER) as work:
        result = subprocess.run([*command, str(material), work], stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        sys.exit(f"{command[2]} failed")
    figures: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return figures


def table(kefu: dict[str, Any], chroma: dict[str, Any] | None) -> list[str]:
    """Markdown: a row a figure, kefu beside Chroma."""
    version = f"Chroma {chroma['version']}" if chroma else "Chroma"
    rows = [f"| | kefu, dense | {version}, dense | kefu, hybrid |", "|---|---:|---:|---:|"]
    rows.append(_row("passages a second, in and searchable", kefu, chroma, _rate))
    rows.append(
        _row("on the disk, MB (kefu: with the ledger, its past included)", kefu, chroma, _megabytes("disk_bytes"))
    )
    rows.append(_row("of it the index", kefu, chroma, _megabytes("index_bytes")))
    rows.append(_row("more resident memory, MB", kefu, chroma, _megabytes("resident_bytes")))
    rows.append(_row("recall@10 (target .95)", kefu, chroma, lambda side: f"{side['recall']:.3f}"))
    rows.append(_row("recall@10 after the syncs", kefu, chroma, lambda side: f"{side['recall_after']:.3f}"))
    for phase, said in (("rest", "at rest"), ("sync", "during a sync of 1,000")):
        for callers in map(str, CALLERS):
            cells = [_times(side, kind, phase, callers) for side, kind in _columns(kefu, chroma)]
            plural = "caller" if callers == "1" else "callers"
            rows.append(f"| {callers} {plural} {said}: p50, p99 ms | {' | '.join(cells)} |")
    seconds = [side[kind]["sync_seconds"] if side else None for side, kind in _columns(kefu, chroma)]
    cells = ["" if each is None else f"{each:.1f}" for each in seconds]
    rows.append(f"| a sync beside searches, s at most | {' | '.join(cells)} |")
    p99 = max(kefu["hybrid"][phase][_TARGET_CALLERS]["p99"] for phase in ("rest", "sync"))
    rows += ["", f"hybrid p99 at 8 callers {p99:.1f} ms, target {_TARGET_P99:.0f}: {_verdict(p99 <= _TARGET_P99)}"]
    rows.append(
        f"recall@10 {kefu['recall']:.3f}, target {_TARGET_RECALL}: {_verdict(kefu['recall'] >= _TARGET_RECALL)}"
    )
    return rows


def _columns(kefu: dict[str, Any], chroma: dict[str, Any] | None) -> list[tuple[dict[str, Any] | None, str]]:
    return [(kefu, "dense"), (chroma, "dense"), (kefu, "hybrid")]


def _row(name: str, kefu: dict[str, Any], chroma: dict[str, Any] | None, said: Any) -> str:
    return f"| {name} | {said(kefu)} | {said(chroma) if chroma else ''} | |"


def _rate(side: dict[str, Any]) -> str:
    return f"{side['passages'] / side['searchable_seconds']:,.0f}"


def _megabytes(key: str) -> Any:
    return lambda side: f"{side[key] / 1e6:.0f}"


def _times(side: dict[str, Any] | None, kind: str, phase: str, callers: str) -> str:
    if side is None:
        return ""
    times = side[kind][phase][callers]
    return f"{times['p50']:.1f}, {times['p99']:.1f}"


def _verdict(met: bool) -> str:
    return "met" if met else "missed"


if __name__ == "__main__":
    main()
