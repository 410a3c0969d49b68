"""How much a bot may say in one conversation: 30 messages a minute and 1,000 an hour, replies and pushes together."""

from __future__ import annotations

from collections import defaultdict, deque

from tests.fakes.aibot.errors import TOO_OFTEN, Refused
from tests.fakes.aibot.state import Place
from tests.fakes.platform import MovableClock

WINDOWS = ((60.0, 30), (3600.0, 1000))
SUBSCRIBES = (60.0, 30)
"""The platform protects `aibot_subscribe` without saying at which number; this one is the fake's."""


class Rates:
    """Counts. `on` and the numbers may be changed by a test.

    `refreshes`: whether every refresh of a stream counts, and not only its first frame. WeCom's page does not say.
    """

    def __init__(self, clock: MovableClock) -> None:
        self.on = True
        self.refreshes = False
        self.windows: tuple[tuple[float, int], ...] = WINDOWS
        self.subscribes = SUBSCRIBES
        self._clock = clock
        self._sent: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._subscribed: deque[float] = deque()

    def check(self, place: Place) -> None:
        """Counts a message.

        :raises Refused: it was too many; it does not count then.
        """
        sent = self._sent[place.kind, place.id]
        for seconds, most in self.windows:
            if self.on and _within(sent, self._clock.now() - seconds) >= most:
                raise Refused(TOO_OFTEN, f"more than {most} messages in {seconds:.0f} s")
        sent.append(self._clock.now())

    def check_subscribe(self) -> None:
        """Counts an attempt to subscribe, also one that is refused.

        :raises Refused: it was too many.
        """
        seconds, most = self.subscribes
        self._subscribed.append(self._clock.now())
        if self.on and _within(self._subscribed, self._clock.now() - seconds) > most:
            raise Refused(TOO_OFTEN, f"more than {most} subscriptions in {seconds:.0f} s")


def _within(times: deque[float], since: float) -> int:
    return sum(1 for at in reversed(times) if at > since)
