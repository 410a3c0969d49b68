"""How fast Slack lets us speak: so many calls of a method a minute in a workspace, one post a second in a channel.

On the monotonic clock. A meter may be overdrawn: what is taken in advance is a place in the queue, so messages leave in
the order they were asked for. A `Retry-After` parks the method that got it in that workspace, and no other.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bot.errors import NotSent
from bot.ports import Clock, Sleep

MINUTE = 60.0
_METERS_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Never more than `limit` in any `window` seconds; `burst` at once, and then `per_second`."""

    limit: int
    window: float = MINUTE
    burst: float
    per_second: float
    spare: float
    """How many a snapshot has to leave for final messages."""


# A little below what Slack's tiers say: tier 2 is 20 a minute, tier 3 is 50, tier 4 is 100.
RATES: Final[Mapping[str, Rate]] = {
    "chat.startStream": Rate(limit=20, burst=20, per_second=20 / MINUTE, spare=0),
    "chat.appendStream": Rate(limit=90, burst=20, per_second=1.4, spare=0),
    "chat.stopStream": Rate(limit=20, burst=20, per_second=20 / MINUTE, spare=0),
    "chat.update": Rate(limit=48, burst=15, per_second=0.8, spare=5),
    "chat.postMessage": Rate(limit=3, window=2.0, burst=3, per_second=1.0, spare=1),
    "conversations.replies": Rate(limit=48, burst=15, per_second=0.8, spare=5),
    "conversations.history": Rate(limit=48, burst=15, per_second=0.8, spare=0),
    "assistant.threads.setStatus": Rate(limit=400, burst=50, per_second=10, spare=0),
    "agents.sessions.setStatus": Rate(limit=48, burst=20, per_second=0.8, spare=5),
}
_OTHERS = Rate(limit=45, burst=10, per_second=0.7, spare=0)
_PER_CHANNEL = frozenset({"chat.postMessage"})


class _Meter:
    __slots__ = ("_at", "_rate", "_taken", "_tokens", "parked_until")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._at = now
        self._taken: deque[float] = deque(maxlen=rate.limit)
        self.parked_until = 0.0

    def delay(self, now: float) -> float:
        """Seconds until one more may leave."""
        self._tokens = min(self._rate.burst, self._tokens + max(now - self._at, 0.0) * self._rate.per_second)
        self._at = max(self._at, now)
        short = 1.0 - self._tokens
        waits = [self.parked_until - now, short / self._rate.per_second if short > 1e-9 else 0.0]
        if len(self._taken) == self._rate.limit:
            waits.append(self._taken[0] + self._rate.window - now)
        return max(0.0, *waits)

    def take(self, leaves_at: float) -> None:
        self._tokens -= 1.0
        self._taken.append(leaves_at)

    def has_spare(self, now: float) -> bool:
        """Whether a call that nobody needs may leave at once."""
        return self.delay(now) <= 0 and self._tokens >= 1.0 + self._rate.spare

    def park(self, until: float) -> None:
        self.parked_until = max(self.parked_until, until)


class Pacer:
    """Says when a call may leave. One for the whole app."""

    def __init__(self, clock: Clock, sleep: Sleep, *, patience: float = 3.0, overall_patience: float = 20.0) -> None:
        """A final message waits here for `patience` seconds at most for the sake of its own channel, since it takes up
        a place that other conversations could use, and for `overall_patience` for the sake of its workspace."""
        self._clock = clock
        self._sleep = sleep
        self._patience = patience
        self._overall_patience = overall_patience
        self._meters: OrderedDict[tuple[str, str, str], _Meter] = OrderedDict()
        self._parked: dict[tuple[str, str], float] = {}

    def take(self, account: str, method: str, channel: str) -> bool:
        """Whether a call may leave at once; if so, its place is taken."""
        now = self._clock.monotonic()
        meter = self._meter(account, method, channel, now)
        free = meter.delay(now) <= 0
        if free:
            meter.take(now)
        return free

    def take_spare(self, account: str, method: str, channel: str) -> bool:
        """As `take`, for a call that nobody needs."""
        now = self._clock.monotonic()
        meter = self._meter(account, method, channel, now)
        free = meter.has_spare(now)
        if free:
            meter.take(now)
        return free

    async def wait(self, account: str, method: str, channel: str) -> None:
        """Waits until a call may leave, and takes its place.

        :raises NotSent: it would take too long; `retry_after` says how long.
        """
        now = self._clock.monotonic()
        meter = self._meter(account, method, channel, now)
        delay = meter.delay(now)
        if delay > (self._patience if method in _PER_CHANNEL else self._overall_patience):
            raise NotSent(f"{method} has to wait for its turn", retry_after=delay)
        meter.take(now + delay)
        if delay > 0:
            await self._sleep(delay)

    def park(self, account: str, method: str, seconds: float) -> None:
        """Slack asked for silence: no more of this method in this workspace for so long."""
        until = self._clock.monotonic() + seconds
        self._parked[account, method] = max(self._parked.get((account, method), 0.0), until)

    def is_parked(self, account: str, method: str) -> bool:
        return self._parked.get((account, method), 0.0) > self._clock.monotonic()

    def _meter(self, account: str, method: str, channel: str, now: float) -> _Meter:
        key = (account, method, channel if method in _PER_CHANNEL else "")
        meter = self._meters.get(key)
        if meter is None:
            meter = self._meters[key] = _Meter(RATES.get(method, _OTHERS), now)
            if len(self._meters) > _METERS_REMEMBERED:
                self._meters.popitem(last=False)
        self._meters.move_to_end(key)
        meter.park(self._parked.get((account, method), 0.0))
        return meter
