"""Who is admitted: a person's rate and the queues' bounds. Kept in memory, on the monotonic clock."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

from bot.messages import ConversationRef

WINDOW_SECONDS = 60.0
NOTICE_SECONDS = 60.0
"""A person who is over a limit is told once in this time, not once a message."""
REMEMBERED = 20_000
"""People and conversations kept in memory; the longest silent are forgotten first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """Section `limits` of the settings."""

    user_per_minute: int
    queue_per_conversation: int
    queue_total: int
    max_message_chars: int


class Rates:
    """How many messages each person sent in the last minute."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._sent: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, person: str, now: float) -> bool:
        """Counts one message; False if it is over the limit, and then it is not counted."""
        times = self._sent.setdefault(person, deque())
        self._sent.move_to_end(person)
        while len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)
        while times and now - times[0] >= WINDOW_SECONDS:
            times.popleft()
        if len(times) >= self._per_minute:
            return False
        times.append(now)
        return True

    def give_back(self, person: str) -> None:
        """The message was a second copy: it does not count."""
        if times := self._sent.get(person):
            times.pop()


class Notices:
    """Who was told lately that they are over a limit."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[ConversationRef, str], float] = OrderedDict()

    def due(self, conversation: ConversationRef, person: str, now: float) -> bool:
        """Whether to tell them now; asking counts as telling."""
        key = (conversation, person)
        told = self._told.get(key)
        if told is not None and now - told < NOTICE_SECONDS:
            return False
        self._told[key] = now
        self._told.move_to_end(key)
        while len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return True
