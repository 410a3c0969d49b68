"""What goes wrong between the bot and Telegram, on order."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.fakes.botapi.errors import ApiError, too_many
from tests.fakes.botapi.state import Call, Json

Kind = Literal["flood", "error", "html", "truncated", "shape", "close", "cut", "reset", "hang", "slow"]
"""
- flood: 429 with `retry_after` (any number; None leaves it out)
- error: `{"ok": false}` with `code`, `description`, `parameters`
- html: `code` with a page of a proxy in front
- truncated: 200 and the first half of the JSON
- shape: 200 and `body` instead of the answer
- close: the connection ends without a byte; reset: with RST; cut: in the middle of the answer's body
- hang: no answer for `seconds`, then the connection ends
- slow: the true answer, `seconds` later
"""


@dataclass(slots=True, kw_only=True)
class Fault:
    """One programmed fault. It hits matching calls number skip+1, skip+1+every, … at most `times` times."""

    kind: Kind
    method: str = "*"
    """By name, any case; "*" for every method but getUpdates."""
    times: int | None = None
    every: int = 1
    skip: int = 0
    chat: int | None = None
    contains: str = ""
    """Only calls whose text has these words."""
    apply: bool = False
    """The call has its effect first: the caller cannot know."""
    code: int = 500
    description: str = "Internal Server Error"
    parameters: Json | None = None
    retry_after: float | None = 1
    seconds: float = 3600.0
    body: Any = field(default_factory=lambda: {"ok": True})
    seen: int = 0
    fired: int = 0

    def hits(self, call: Call) -> bool:
        """Counts the call if it matches, and says whether the fault strikes now."""
        name = call.method.lower()
        if self.method == "*" and name == "getupdates":
            return False
        if self.method not in {"*", call.method} and self.method.lower() != name:
            return False
        if (self.chat is not None and call.chat != self.chat) or self.contains not in str(call.params):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.seen - self.skip - 1) % self.every:
            return False
        if self.times is not None and self.fired >= self.times:
            return False
        self.fired += 1
        return True

    def error(self) -> ApiError:
        """The answer of the kinds that have one."""
        if self.kind == "flood" and self.retry_after is not None:
            return too_many(self.retry_after)
        if self.kind == "flood":
            return ApiError(429, "Too Many Requests: retry later")
        return ApiError(self.code, self.description, self.parameters)


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
