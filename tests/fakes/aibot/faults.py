"""What goes wrong between the bot and WeCom, on order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.fakes.aibot.errors import BUSY
from tests.fakes.aibot.state import Heard

Kind = Literal["error", "no_ack", "slow", "twice", "garbage", "close", "silence", "kick"]
"""
- error: the acknowledgement carries `code`
- no_ack: nothing is answered
- slow: the true acknowledgement, `seconds` later
- twice: the true acknowledgement, two times
- garbage: something that is no JSON instead of the acknowledgement
- close: the connection breaks instead
- silence: from now on nothing comes through, and the connection stays open
- kick: another connection of the same bot subscribes at this moment
"""


@dataclass(slots=True, kw_only=True)
class Fault:
    """One programmed fault. It hits matching frames number skip+1, skip+1+every, … at most `times` times."""

    kind: Kind
    cmd: str = "*"
    """A command, or "*" for all."""
    times: int | None = 1
    every: int = 1
    skip: int = 0
    contains: str = ""
    """Only frames whose body has these words."""
    apply: bool = False
    """The frame has its effect first: the bot cannot know."""
    code: int = BUSY
    seconds: float = 1.0
    seen: int = 0
    fired: int = 0

    def hits(self, heard: Heard) -> bool:
        """Counts the frame if it matches, and says whether the fault strikes now."""
        if self.cmd not in {"*", heard.cmd} or self.contains not in str(heard.body):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.seen - self.skip - 1) % self.every:
            return False
        if self.times is not None and self.fired >= self.times:
            return False
        self.fired += 1
        return True


class Faults:
    """The program: the first fault that hits wins."""

    def __init__(self) -> None:
        self.program: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        self.program.append(fault)
        return fault

    def clear(self) -> None:
        self.program.clear()

    def pick(self, heard: Heard) -> Fault | None:
        return next((fault for fault in self.program if fault.hits(heard)), None)
