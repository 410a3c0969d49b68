"""Showing an answer while it grows: one writer a reply, at the platform's pace, the latest snapshot wins."""

from __future__ import annotations

import asyncio

from bot.errors import SendError
from bot.messages import Turn
from bot.ports import Channel
from bot.telemetry import get_logger

FIRST_SHOW_SECONDS = 0.3
"""An answer that is ready sooner is simply sent."""
REFRESH_SECONDS = 4.0
"""What vanishes by itself is shown again this often (Telegram's "typing" lasts five seconds)."""
SHOW_SECONDS = 5.0
FAILURES = 2
"""After so many failures in a row nothing more is shown in this turn; the final reply does not depend on it."""

log = get_logger(__name__)


class Showing:
    """The snapshots of one turn. `show` is the dialogue's sink; `run` is the writer; `close` ends it."""

    def __init__(self, channel: Channel, turn: Turn, shown: str | None) -> None:
        """`shown`: what an earlier run of the same turn has left there."""
        self._channel = channel
        self._turn = turn
        # Where a person has the conversation, the bot will say little or nothing: no sign of it being at work.
        self._interval = None if turn.state.held_by else channel.show_interval(turn.conversation)
        self._placeholder_first = channel.placeholder_first(turn.conversation)
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self.latest = ""
        self.shown = shown
        """The platform's id of the message that the final text can be written into."""

    def show(self, text: str) -> None:
        """Takes the answer so far."""
        self.latest = text
        self._changed.set()

    async def run(self) -> None:
        """Shows snapshots until closed."""
        if self._interval is None:
            return
        if not self._placeholder_first and await self._ends_within(min(FIRST_SHOW_SECONDS, self._interval)):
            return
        failures = 0
        while failures < FAILURES:
            self._changed.clear()
            failures = 0 if await self._show_once() else failures + 1
            if await self._ends_within(self._interval) or not await self._has_news():
                return

    async def close(self, writer: asyncio.Task[None]) -> None:
        """Ends the writer. A placeholder that is just being sent is waited for: its id is worth it."""
        self._ended.set()
        self._changed.set()
        if self._placeholder_first:
            await asyncio.wait([writer], timeout=SHOW_SECONDS)
        writer.cancel()

    async def _show_once(self) -> bool:
        try:
            async with asyncio.timeout(SHOW_SECONDS):
                turn = self._turn
                self.shown = await self._channel.show(turn.conversation, self.latest, shown=self.shown, turn_id=turn.id)
        except (SendError, TimeoutError) as error:
            log.debug("a snapshot was dropped", reason=type(error).__name__)
            return False
        return True

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    async def _has_news(self) -> bool:
        """Waits for a new snapshot, or for the time to refresh an old one. False: the end."""
        vanishes = self.shown is None
        try:
            async with asyncio.timeout(REFRESH_SECONDS if vanishes else None):
                await self._changed.wait()
        except TimeoutError:
            return True
        return not self._ended.is_set()
