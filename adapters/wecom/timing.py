"""How long we wait, for what, on all of WeCom's channels."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Waits and limits, in seconds. A channel with waits of its own inherits from this."""

    # -- Calling --

    connect: float = 5.0
    answer: float = 12.0
    """How long one request may take from its beginning to the last byte."""
    call: float = 40.0
    """… and a call with everything it repeats; below what a send may take altogether."""
    first_pause: float = 0.5
    longest_pause: float = 15.0
    token_early: float = 300.0
    """A token is replaced so long before WeCom ends it."""
    refused_pause: float = 31.0
    """Between two attempts at what only an operator can mend: not two calls a minute, or WeCom blocks us."""
    frequency_pause: float = 65.0
    """After "too often" (45009): WeCom counts by the minute."""

    # -- Sending --

    patience: float = 3.0
    """A final message waits here so long at most for its turn: its place is of use to others."""

    # -- Receiving --

    body: float = 4.0
    """For a body to arrive: after five WeCom has gone."""
    store_limit: float = 3.5
    """For one commit."""
    replay_window: float = 3600.0
    """How far a call's timestamp may be from our clock. Wide, for a tight one turns a wrong clock into loss; what is
    replayed inside it has no effect, since every message is taken once."""
    upkeep: float = 15.0
    """Between two looks at whether WeCom still knows us; with `answer`, its silence is noticed in half a minute."""


class Backoff:
    """Pauses that double, each drawn from its upper half, so that many callers do not come back as one."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._next = timing.first_pause

    def pause(self) -> float:
        now, self._next = self._next, min(self._next * 2, self._timing.longest_pause)
        return now * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        self._next = self._timing.first_pause
