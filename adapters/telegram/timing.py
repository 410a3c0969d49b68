"""How long we wait, for what."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Waits and limits, in seconds."""

    poll: float = 20.0
    """How long a poll may stay without news."""
    patience: float = 8.0
    """How much longer its answer may take: then it is given up, and the channel is down."""
    answer: float = 20.0
    """How long the answer to anything else may take."""
    first_pause: float = 0.5
    longest_pause: float = 15.0
    refused_pause: float = 35.0
    """Between two attempts with a token that is refused: not two calls a minute."""
    store_limit: float = 30.0
    """For one commit; the store has its own, shorter patience."""
    upkeep: float = 45.0
    """Between two looks at whether the webhook is still ours."""
    quiet: float = 6 * 86400.0
    """Without news for a week, Telegram starts its numbers anew at random: an old offset says nothing then."""


class Backoff:
    """Pauses that double, each drawn from its upper half, so that many bots do not come back as one."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._next = timing.first_pause

    def pause(self) -> float:
        now, self._next = self._next, min(self._next * 2, self._timing.longest_pause)
        return now * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        self._next = self._timing.first_pause
