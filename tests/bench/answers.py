"""`make eval-engines`: the labelled questions answered by each engine, side by side.

Every engine is a `kefu eval` in a process of its own, one after the other, over the sample knowledge and without any
other setting: nothing of the operator's is read. Without a fallback, so that a model that fails is seen to fail and
not to answer with another engine's words.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.cli.evaluation_tables import figure_rows
from tests.bench.models import environment_of

ROOT = Path(__file__).parents[2]
QUESTIONS = ROOT / "tests/data/answers.jsonl"
SPLITS = ("tune", "held")
# In the checkout, so that what is measured is what stands here, whatever is installed in the environment.
KEFU = ["-c", "from bot.cli import main; main()"]
LIMIT_SECONDS = 3 * 3600.0
"""For one engine and one split: 110 questions at a minute and a half each, one after the other."""

Report = dict[str, Any]
"""The object that `kefu eval --json` prints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One engine, and the Python whose environment has what it needs."""

    name: str
    python: str
    settings: Mapping[str, str]

    @classmethod
    def extractive(cls) -> Candidate:
        return cls(name="extractive", python=sys.executable, settings={"KEFU_MODEL__BACKEND": "extractive"})

    @classmethod
    def model(cls, folder: Path, python: Path) -> Candidate:
        """The weights in a folder, in vLLM."""
        settings = {**environment_of(folder), "KEFU_MODEL__FALLBACK": ""}
        return cls(name=folder.absolute().name, python=str(python), settings=settings)


def measure(candidate: Candidate, split: str, work: Path, *, options: Sequence[str] = ()) -> Report:
    """One `kefu eval`.

    :raises SystemExit: it could not measure; what it wrote says why.
    """
    config = work / "kefu.toml"
    config.touch()
    settings = {"KEFU_CONFIG": str(config), "KEFU_KNOWLEDGE__URI": str(work / "knowledge"), **candidate.settings}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("KEFU_")}
    command = [candidate.python, *KEFU, "eval", str(QUESTIONS), "--json", "--split", split, *options]
    done = subprocess.run(
        command, cwd=ROOT, env=environ | settings, stdout=subprocess.PIPE, text=True, timeout=LIMIT_SECONDS, check=False
    )
    # 1 says that some questions got no reply: those are part of the figures.
    # A model's libraries may write to standard output too, before and after.
    printed = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode not in (0, 1) or not printed:
        raise SystemExit(f"{candidate.name}, split {split}: kefu eval left with {done.returncode}")
    report: Report = json.loads(printed[-1])
    return report


def side_by_side(split: str, reports: Mapping[str, Report]) -> str:
    """One split's reports, by the engine's name, as a Markdown table with a column an engine."""
    columns = {name: dict([*figure_rows(report), *_confused(report)]) for name, report in reports.items()}
    questions = next(iter(reports.values()))["questions"]
    rows = [[f"{split}, {questions} questions", *columns], ["---"] + ["---:"] * len(columns)]
    rows += [[figure, *(column[figure] for column in columns.values())] for figure in next(iter(columns.values()))]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _confused(report: Report) -> list[tuple[str, str]]:
    return [
        (f"{expect} became {became}", str(count))
        for expect, row in report["confusion"].items()
        for became, count in row.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("models", type=Path, nargs="*", metavar="DIR", help="a folder with weights for vLLM")
    parser.add_argument("--python", type=Path, default=ROOT / ".venv-engine/bin/python", help="that has vLLM")
    parser.add_argument("--split", choices=SPLITS, action="append", dest="splits")
    parser.add_argument("--at-once", type=int, metavar="N", help="questions side by side, as for kefu eval")
    arguments = parser.parse_args()
    for needed in [*arguments.models, *([arguments.python] if arguments.models else [])]:
        if not needed.exists():
            parser.error(f"{needed} is not there")
    candidates = [Candidate.extractive(), *(Candidate.model(folder, arguments.python) for folder in arguments.models)]
    options = ["--at-once", str(arguments.at_once)] if arguments.at_once else []
    with tempfile.TemporaryDirectory(prefix="kefu-") as work:
        for split in arguments.splits or SPLITS:
            reports = {one.name: measure(one, split, Path(work), options=options) for one in candidates}
            print(side_by_side(split, reports), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
