"""Slack's rate limits: per method and workspace in a minute, and one post a second in a channel."""

from __future__ import annotations

import math
from collections import defaultdict, deque

from tests.fakes.platform import MovableClock
from tests.fakes.slackapi.errors import RateLimited

TIER = {1: 1, 2: 20, 3: 50, 4: 100}
_METHODS: dict[str, int] = {
    "apps.connections.open": 20,  # tier 1, in practice more: every socket needs one
    "chat.startStream": TIER[2],
    "chat.stopStream": TIER[2],
    "chat.appendStream": TIER[4],
    "chat.update": TIER[3],
    "chat.delete": TIER[3],
    "chat.postEphemeral": TIER[4],
    "users.info": TIER[4],
    "files.info": TIER[4],
    "views.open": TIER[4],
    "views.update": TIER[4],
    "views.publish": TIER[4],
    "views.push": TIER[4],
    "oauth.v2.access": TIER[4],
    "auth.test": 600,
    "assistant.threads.setStatus": 600,
}
_OTHERS = TIER[3]
WINDOW = 60.0
POST_BURST = 4
"""Posts in a channel at once before "one a second" is held against the app."""


class Rates:
    """Counts calls. Off until `on` is set; `limits` may be changed by a test."""

    def __init__(self, clock: MovableClock, *, on: bool = False) -> None:
        self.on = on
        self.limits = dict(_METHODS)
        self._clock = clock
        self._calls: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._posts: dict[str, float] = {}

    def check(self, method: str, team: str, channel: str) -> None:
        """Counts the call.

        :raises RateLimited: it was too many; it does not count then.
        """
        if not self.on:
            return
        if method == "chat.postMessage":
            self._check_post(f"{team}/{channel}")
            return
        now = self._clock.now()
        calls = self._calls[method, team]
        while calls and calls[0] <= now - WINDOW:
            calls.popleft()
        if len(calls) >= self.limits.get(method, _OTHERS):
            raise RateLimited(max(1, math.ceil(calls[0] + WINDOW - now)))
        calls.append(now)

    def _check_post(self, place: str) -> None:
        """A bucket that one second fills by one, up to the burst."""
        now = self._clock.now()
        due = max(self._posts.get(place, 0.0), now - POST_BURST)
        if due + 1.0 > now:
            raise RateLimited(max(1, math.ceil(due + 1.0 - now)))
        self._posts[place] = due + 1.0
