"""Places where a test may have the process killed: `KEFU_FAILPOINT=name:n` kills it at the n-th passage of `name`.

Costs one attribute look-up where nothing is armed.
"""

from __future__ import annotations

import os
import signal

NAMES = frozenset(
    {
        "inbox.before_commit",
        "inbox.after_commit",
        "inbox.after_ack",
        "turn.begun",
        "turn.after_engine",
        "turn.before_commit",
        "turn.after_commit",
        "send.before",
        "send.after",
        "delivery.after_commit",
    }
)


class _Armed:
    name = ""
    passages_left = 0


def arm(specification: str) -> None:
    """Arms "name:n"; an empty text arms nothing.

    :raises ValueError: no such fail point, or n is not a positive number.
    """
    name, _, count = specification.partition(":")
    if specification and (name not in NAMES or not count.isdecimal() or int(count) < 1):
        raise ValueError(f"KEFU_FAILPOINT must be one of {', '.join(sorted(NAMES))}, then ':' and a count")
    _Armed.name, _Armed.passages_left = name, int(count or 0)


def reached(name: str) -> None:
    """Says that the process is at this point; does not return if it is to die here."""
    if _Armed.name != name:
        return
    _Armed.passages_left -= 1
    if _Armed.passages_left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
