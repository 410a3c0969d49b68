"""What goes wrong between the bot and Telegram, on order."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.fakes.botapi.errors import ApiError, too_many
from tests.fakes.botapi.state import Call, Json
from tests.fakes.faults import Planned, Program

Kind = Literal["flood", "error", "html", "truncated", "shape", "close", "cut", "reset", "hang", "slow"]
"""Beside those of `Planned`:

- flood: 429 with `retry_after` (any number; None leaves it out)
- error: `{"ok": false}` with `code`, `description`, `parameters`
"""


@dataclass(slots=True, kw_only=True)
class Fault(Planned):
    """`Planned`, of one of these kinds. Methods are named in any case; "*" is every method but getUpdates."""

    kind: Kind
    chat: int | None = None
    description: str = "Internal Server Error"
    parameters: Json | None = None
    retry_after: float | None = 1
    body: Any = field(default_factory=lambda: {"ok": True})

    def meant(self, call: Call) -> bool:
        name = call.method.lower()
        named = name != "getupdates" if self.method == "*" else name == self.method.lower()
        return named and self.chat in {None, call.chat} and self.contains in str(call.params)

    def error(self) -> ApiError:
        """The answer of the kinds that have one."""
        if self.kind == "flood" and self.retry_after is not None:
            return too_many(self.retry_after)
        if self.kind == "flood":
            return ApiError(429, "Too Many Requests: retry later")
        return ApiError(self.code, self.description, self.parameters)


class Faults(Program[Fault]):
    """What is ordered of them."""


class FloodLimits:
    """Telegram's own limits (telegram.constants.FloodLimit): about 1/s a chat, 20/min a group, 30/s in all."""

    WRITES = frozenset({"sendmessage", "editmessagetext", "sendrichmessage", "editmessagereplymarkup"})

    def __init__(self, *, burst: int = 3) -> None:
        self._burst = burst
        self._chats: dict[int, deque[float]] = defaultdict(deque)
        self._all: deque[float] = deque()

    def check(self, call: Call) -> None:
        """Counts a write.

        :raises ApiError: 429; the write does not count then.
        """
        if call.chat is None or call.method.lower() not in self.WRITES:
            return
        now = time.monotonic()
        chat = self._chats[call.chat]
        wait = max(_excess(self._all, now, 30, 1.0), _excess(chat, now, self._burst, float(self._burst)))
        if call.chat < 0:
            wait = max(wait, _excess(chat, now, 20, 60.0))
        if wait > 0:
            raise too_many(max(1, math.ceil(wait)))
        chat.append(now)
        self._all.append(now)
        while chat and chat[0] < now - 60.0:
            chat.popleft()
        while self._all and self._all[0] < now - 1.0:
            self._all.popleft()


def _excess(times: deque[float], now: float, limit: int, seconds: float) -> float:
    """Seconds until one more write fits into `limit` writes in `seconds`; 0 or less when it fits now."""
    if len(times) < limit:
        return 0.0
    return times[-limit] + seconds - now
