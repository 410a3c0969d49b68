"""Windows in which so much may be said."""

from __future__ import annotations

from collections import defaultdict, deque

from tests.fakes.platform import MovableClock

PER_MEMBER = ((30, 60.0), (1000, 3600.0))
"""A member hears so much of an app in a minute and in an hour; what is more is dropped in silence."""
PER_CONVERSATION = PER_MEMBER
"""A conversation with the AI bot; a stream counts once, however often it is refreshed."""
PER_WEBHOOK = ((20, 60.0),)
WITHOUT_TOKEN = ((5, 60.0),)
"""sync_msg without the callback's token: "strictly limited" says the documentation, without a number."""


class Rates:
    """Counts what was said. Off until `on` is set, as tests of other things say much in little time."""

    def __init__(self, clock: MovableClock, *, on: bool = False) -> None:
        self.on = on
        self._clock = clock
        self._said: dict[str, deque[float]] = defaultdict(deque)

    def over(self, key: str, limits: tuple[tuple[int, float], ...]) -> bool:
        """Counts one more and says whether it is one too many; then it does not count."""
        now = self._clock.now()
        said = self._said[key]
        while said and said[0] <= now - limits[-1][1]:
            said.popleft()
        if self.on and any(sum(1 for at in said if at > now - seconds) >= most for most, seconds in limits):
            return True
        said.append(now)
        return False
