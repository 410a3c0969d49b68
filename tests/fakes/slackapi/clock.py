"""The fake's clock: the machine's, moved on by a test."""

from __future__ import annotations

import asyncio
import contextlib
import time


class SlackClock:
    """Whatever has a time here (stream lives, rates, triggers, retries, acknowledgements) asks this clock."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._moved = asyncio.Event()

    def now(self) -> float:
        """Seconds since 1970, as Slack's servers see them."""
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        """So much time passes at once; whoever sleeps long enough wakes up."""
        self._offset += seconds
        self._moved.set()
        self._moved = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Until that much has passed here."""
        await self.sleep_until(self.now() + seconds)

    async def sleep_until(self, deadline: float) -> None:
        """Until that time is reached here; not at all if it is over."""
        while (left := deadline - self.now()) > 0:
            moved = self._moved
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await moved.wait()
