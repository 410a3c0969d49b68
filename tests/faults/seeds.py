"""One seed a fault: printed always, settable by KEFU_FAULT_SEED, so that a finding can be seen again."""

from __future__ import annotations

import os
import random
import secrets
from dataclasses import dataclass, field

VARIABLE = "KEFU_FAULT_SEED"
_GIVEN = os.environ.get(VARIABLE)  # read now: inside a test no variable of the operator's is left


@dataclass(slots=True)
class Report:
    """Counts of one fault, printed as one line."""

    fault: str
    seed: int
    counts: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        words = " ".join(f"{name}={value}" for name, value in self.counts.items())
        return f"{self.fault} {words} seed={self.seed}"

    def __setitem__(self, name: str, value: object) -> None:
        self.counts[name] = value

    def print(self) -> None:
        """Shown with `-s` (`make test-faults`), and by pytest when the test fails."""
        print(f"\n{self}", flush=True)


def new_seed() -> int:
    """The operator's seed, or a fresh one."""
    return int(_GIVEN) if _GIVEN else secrets.randbelow(1_000_000)


def begin(fault: str) -> tuple[random.Random, Report]:
    """The source of chance and the report of one fault test."""
    seed = new_seed()
    return random.Random(f"{fault}:{seed}"), Report(fault, seed)
