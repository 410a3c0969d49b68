"""How fast Telegram lets us speak: about one message a second in a chat, 20 a minute in a group, 30 a second in all.

Token buckets on the monotonic clock. A bucket may be overdrawn: what is taken in advance is a place in the queue, so
messages of one chat leave in the order they were asked for. A 429 parks the chat that got it and no other.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from bot.errors import NotSent
from bot.ports import Clock, Sleep

_CHATS_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """`burst` at once, then `per_second`. `spare` is how many a snapshot has to leave for final messages."""

    per_second: float
    burst: float
    spare: float


# Telegram's FAQ and telegram.constants.FloodLimit. 5 at once and 25 more in the next second: never more than 30 in any.
OVERALL = Rate(per_second=25.0, burst=5.0, spare=2.0)
PRIVATE = Rate(per_second=1.0, burst=2.0, spare=1.0)
# 5 at once and 15 more in the next 60 seconds: never more than 20 a minute.
GROUP = Rate(per_second=15 / 60, burst=5.0, spare=2.0)


class _Bucket:
    __slots__ = ("_at", "_rate", "_tokens", "parked_until")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._at = now
        self.parked_until = 0.0

    def delay(self, now: float) -> float:
        """Seconds until one more may leave."""
        self._fill(now)
        short = 1.0 - self._tokens
        return max(short / self._rate.per_second if short > 0 else 0.0, self.parked_until - now)

    def take(self) -> None:
        self._tokens -= 1.0

    def has_spare(self, now: float) -> bool:
        """Whether a message that nobody needs may leave at once."""
        return self.delay(now) <= 0 and self._tokens >= 1.0 + self._rate.spare

    def park(self, until: float) -> None:
        self.parked_until = max(self.parked_until, until)

    def _fill(self, now: float) -> None:
        self._tokens = min(self._rate.burst, self._tokens + max(now - self._at, 0.0) * self._rate.per_second)
        self._at = max(self._at, now)


class Pacer:
    """Says when a message may leave. One for the whole bot."""

    def __init__(
        self, clock: Clock, sleep: Sleep, *, chat_patience: float = 3.0, overall_patience: float = 30.0
    ) -> None:
        """A final message waits here for `chat_patience` seconds at most for the sake of its own chat, since it takes
        up a place that other chats could use, and for `overall_patience` when there are too many of them."""
        self._clock = clock
        self._sleep = sleep
        self._chat_patience = chat_patience
        self._overall_patience = overall_patience
        self._overall = _Bucket(OVERALL, clock.monotonic())
        self._chats: OrderedDict[str, _Bucket] = OrderedDict()

    def take_slot(self, chat: str, *, group: bool) -> bool:
        """Whether a final message may leave to this chat at once; if so, its place is taken."""
        now = self._clock.monotonic()
        bucket = self._bucket(chat, group, now)
        free = max(bucket.delay(now), self._overall.delay(now)) <= 0
        if free:
            self._take(bucket)
        return free

    async def wait_for_slot(self, chat: str, *, group: bool) -> None:
        """Waits until a final message may leave to this chat, and takes its place.

        :raises NotSent: it would take too long; `retry_after` says how long.
        """
        now = self._clock.monotonic()
        bucket = self._bucket(chat, group, now)
        for_chat, for_all = bucket.delay(now), self._overall.delay(now)
        delay = max(for_chat, for_all)
        if for_chat > self._chat_patience or for_all > self._overall_patience:
            raise NotSent("this chat has to wait for its turn", retry_after=delay)
        self._take(bucket)
        if delay > 0:
            await self._sleep(delay)

    def take_spare(self, chat: str, *, group: bool, counts: bool) -> bool:
        """Whether a snapshot may leave now; it never waits. `counts`: against the chat's own rate, as edits do."""
        now = self._clock.monotonic()
        bucket = self._bucket(chat, group, now)
        if not self._overall.has_spare(now) or bucket.parked_until > now or (counts and not bucket.has_spare(now)):
            return False
        if counts:
            bucket.take()
        self._overall.take()
        return True

    def park(self, chat: str, *, group: bool, seconds: float) -> None:
        """Telegram asked for silence in this chat."""
        now = self._clock.monotonic()
        self._bucket(chat, group, now).park(now + seconds)

    def _take(self, bucket: _Bucket) -> None:
        bucket.take()
        self._overall.take()

    def _bucket(self, chat: str, group: bool, now: float) -> _Bucket:
        bucket = self._chats.get(chat)
        if bucket is None:
            bucket = self._chats[chat] = _Bucket(GROUP if group else PRIVATE, now)
            if len(self._chats) > _CHATS_REMEMBERED:
                self._chats.popitem(last=False)
        self._chats.move_to_end(chat)
        return bucket
