"""How fast WeCom lets us speak: so many messages a minute and an hour to one conversation.

On the monotonic clock, over windows that slide, so that no minute however it is cut holds too many. A meter may be
overdrawn: what is taken in advance is a place in the queue, so messages leave in the order they were asked for.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from bot.errors import NotSent
from bot.ports import Clock, Sleep

MINUTE, HOUR = 60.0, 3600.0
_METERS_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Never more than `limit` in any `window` seconds."""

    limit: int
    window: float


# A little below what WeCom says: 30 a minute and 1,000 an hour, 20 a minute for a group's robot. Messages may travel
# for longer than they are apart, and what is over a member's limit is dropped without a word.
CONVERSATION = (Rate(limit=28, window=MINUTE), Rate(limit=960, window=HOUR))
ROBOT = (Rate(limit=18, window=MINUTE),)


class _Meter:
    __slots__ = ("_rates", "_taken", "parked_until")

    def __init__(self, rates: Sequence[Rate]) -> None:
        self._rates = rates
        self._taken: deque[float] = deque(maxlen=max(rate.limit for rate in rates))
        self.parked_until = 0.0

    def delay(self, now: float, spare: int = 0) -> float:
        """Seconds until one more may leave, and `spare` more after it."""
        waits = [self.parked_until - now]
        for rate in self._rates:
            room = max(rate.limit - spare, 1)
            if len(self._taken) >= room:
                oldest = next(islice(reversed(self._taken), room - 1, None))
                waits.append(oldest + rate.window - now)
        if self._taken:
            waits.append(self._taken[-1] - now)  # nobody passes those who wait
        return max(0.0, *waits)

    def take(self, leaves_at: float) -> None:
        self._taken.append(leaves_at)


class Pacer:
    """Says when a message may leave. Keys name conversations, and one pacer serves all of a channel."""

    def __init__(
        self, clock: Clock, sleep: Sleep, *, rates: Sequence[Rate] = CONVERSATION, patience: float = 3.0
    ) -> None:
        """:param patience: seconds a final message waits here; then it gives its place to other conversations."""
        self._clock = clock
        self._sleep = sleep
        self._rates = tuple(rates)
        self._patience = patience
        self._meters: OrderedDict[str, _Meter] = OrderedDict()
        self._parked_until = 0.0

    def take(self, key: str) -> bool:
        """Whether a message may leave at once; if so, its place is taken."""
        return self._take(key, spare=0)

    def take_spare(self, key: str, *, spare: int = 6) -> bool:
        """As `take`, for one that nobody needs: it leaves room for `spare` more."""
        return self._take(key, spare=spare)

    async def wait(self, key: str) -> None:
        """Waits until a message may leave, and takes its place.

        :raises NotSent: it would take too long; `retry_after` says how long.
        """
        now = self._clock.monotonic()
        meter = self._meter(key)
        delay = meter.delay(now)
        if delay > self._patience:
            raise NotSent("WeCom lets no more messages through there now", retry_after=delay)
        meter.take(now + delay)
        if delay > 0:
            await self._sleep(delay)

    def park(self, key: str, seconds: float) -> None:
        """No more to this conversation for so long."""
        meter = self._meter(key)
        meter.parked_until = max(meter.parked_until, self._clock.monotonic() + seconds)

    def park_all(self, seconds: float) -> None:
        """WeCom asked the whole app for silence."""
        self._parked_until = max(self._parked_until, self._clock.monotonic() + seconds)

    def _take(self, key: str, *, spare: int) -> bool:
        now = self._clock.monotonic()
        meter = self._meter(key)
        free = meter.delay(now, spare) <= 0
        if free:
            meter.take(now)
        return free

    def _meter(self, key: str) -> _Meter:
        meter = self._meters.get(key)
        if meter is None:
            meter = self._meters[key] = _Meter(self._rates)
            if len(self._meters) > _METERS_REMEMBERED:
                self._meters.popitem(last=False)
        self._meters.move_to_end(key)
        meter.parked_until = max(meter.parked_until, self._parked_until)
        return meter
