"""How long we wait, for what."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Waits and limits, in seconds."""

    # -- Calling --

    connect: float = 5.0
    answer: float = 12.0
    """How long a call may take from its beginning to the last byte; four of them fit into what a send may take."""
    refused_pause: float = 31.0
    """Between two attempts with a token that is refused: not two calls a minute."""
    patience: float = 3.0
    """A final message waits here so long at most for the sake of its own channel: its place is of use to others."""
    overall_patience: float = 20.0
    """… and so long for the sake of the workspace's rate."""

    # -- Showing --

    flush: float = 0.8
    """Between two additions to a stream."""
    update: float = 3.0
    """Between two edits, where there is no stream: 50 a minute are for the whole workspace."""
    stream_life: float = 240.0
    """After five minutes Slack ends a stream whatever is written into it; we end it before."""
    status: float = 60.0
    """Between two calls that say that somebody is at work; Slack shows it for two minutes."""
    unknown: float = 3600.0
    """How long we remember that a workspace does not know a method: its manifest may be mended meanwhile."""
    settling: float = 600.0
    """After the start, an answer that a killed process has left unfinished is looked for where we write first."""

    # -- Receiving --

    ping: float = 10.0
    """Between two pings on a socket."""
    silent: float = 30.0
    """A socket that has not been heard for so long is deaf, whatever TCP believes."""
    hello: float = 10.0
    """From the opening of a socket to Slack's "hello"."""
    first_pause: float = 0.5
    longest_pause: float = 15.0
    upkeep: float = 45.0
    """Between two looks at whether the token still works, where nothing is received by ourselves."""
    store_limit: float = 2.5
    """For one commit: Slack wants its acknowledgement within three seconds."""


class Backoff:
    """Pauses that double, each drawn from its upper half, so that many sockets do not come back as one."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._next = timing.first_pause

    def pause(self) -> float:
        now, self._next = self._next, min(self._next * 2, self._timing.longest_pause)
        return now * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        self._next = self._timing.first_pause
