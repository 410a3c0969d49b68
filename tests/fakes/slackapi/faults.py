"""What goes wrong between the bot and Slack, on order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

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
"""
- ratelimited: 429 with `retry_after` (any number or words; None leaves the header out)
- error: `{"ok": false, "error": error}`
- html: status `code` with a page of a proxy in front
- truncated: 200 and the first half of the JSON; shape: 200 and `body`; empty: 200 and nothing
- close: the connection ends without a byte; reset: with RST; cut: in the middle of the answer's body
- hang: no answer for `seconds`, then the connection ends
- slow: the true answer, `seconds` later
- stream_dies: the stream the call is about is over, so Slack refuses the call
"""


@dataclass(slots=True, kw_only=True)
class Fault:
    """One programmed fault. It hits matching calls number skip+1, skip+1+every, … at most `times` times."""

    kind: Kind
    method: str = "*"
    """A method, "chat.*" for a family, or "*" for all."""
    times: int | None = None
    every: int = 1
    skip: int = 0
    channel: str = ""
    team: str = ""
    contains: str = ""
    """Only calls whose arguments have these words."""
    apply: bool = False
    """The call has its effect first: the caller cannot know."""
    code: int = 500
    error: str = "fatal_error"
    retry_after: float | str | None = 1
    seconds: float = 3600.0
    body: Any = field(default_factory=lambda: {"ok": True})
    seen: int = 0
    fired: int = 0

    def hits(self, call: Call) -> bool:
        """Counts the call if it matches, and says whether the fault strikes now."""
        if not (self.method in {"*", call.method} or (
            self.method.endswith("*") and call.method.startswith(self.method[:-1])
        )):  # fmt: skip
            return False
        if (self.channel and call.channel != self.channel) or (self.team and call.team != self.team):
            return False
        if self.contains not in str(call.params):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.seen - self.skip - 1) % self.every:
            return False
        if self.times is not None and self.fired >= self.times:
            return False
        self.fired += 1
        return True

    def refusal(self) -> Refused:
        """The answer of the kinds that have one."""
        return RateLimited(self.retry_after) if self.kind == "ratelimited" else Refused(self.error)


class Faults:
    """The program: the first fault that hits wins."""

    def __init__(self) -> None:
        self.program: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        self.program.append(fault)
        return fault

    def clear(self) -> None:
        self.program.clear()

    def pick(self, call: Call) -> Fault | None:
        return next((fault for fault in self.program if fault.hits(call)), None)
