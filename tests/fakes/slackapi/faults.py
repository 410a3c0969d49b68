"""What goes wrong between the bot and Slack, on order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tests.fakes.faults import Planned, Program
from tests.fakes.slackapi.errors import RateLimited, Refused
from tests.fakes.slackapi.state import Call

Kind = Literal[
    "ratelimited",
    "error",
    "html",
    "truncated",
    "shape",
    "empty",
    "close",
    "reset",
    "cut",
    "hang",
    "slow",
    "stream_dies",
]
"""Beside those of `Planned`:

- ratelimited: 429 with `retry_after` (any number or words; None leaves the header out)
- error: `{"ok": false, "error": error}`
- stream_dies: the stream the call is about is over, so Slack refuses the call
"""


@dataclass(slots=True, kw_only=True)
class Fault(Planned):
    """`Planned`, of one of these kinds."""

    kind: Kind
    channel: str = ""
    team: str = ""
    error: str = "fatal_error"
    retry_after: float | str | None = 1
    body: Any = field(default_factory=lambda: {"ok": True})

    def meant(self, call: Call) -> bool:
        # Named in full: a dataclass with slots is made twice, and `super()` would mean the first one.
        there = self.channel in {"", call.channel} and self.team in {"", call.team}
        return there and Planned.meant(self, call)

    def refusal(self) -> Refused:
        """The answer of the kinds that have one."""
        return RateLimited(self.retry_after) if self.kind == "ratelimited" else Refused(self.error)


class Faults(Program[Fault]):
    """What is ordered of them."""
