"""Looks after streams: a sign of work where an answer takes a moment, and an end where none comes in time."""

from __future__ import annotations

import asyncio

from adapters.wecom.bot import phrases
from adapters.wecom.bot.lease import Lease
from adapters.wecom.bot.replies import ending
from adapters.wecom.bot.rows import Rows
from adapters.wecom.bot.streams import Ending, Stream, Streams, is_over, is_too_much
from adapters.wecom.bot.timing import BotTiming
from adapters.wecom.pacing import Pacer
from adapters.wecom.wire import Refused, WeComError
from bot.errors import StoreUnavailable
from bot.messages import Language
from bot.ports import Clock, Sleep
from bot.telemetry import get_logger

_MOST_TRIES = 5
"""Then WeCom will end it by itself, as it does with any."""

log = get_logger(__name__)


def late(language: Language) -> Ending:
    """The honest line: the reply will come, and not here."""
    return Ending(state="late", words=phrases.LATE[language])


def left_out(language: Language) -> Ending:
    """For a message that was too much."""
    return Ending(state="ended", words=phrases.TOO_MUCH[language], shed=True)


class Keeper:
    """One for all streams of a bot. Works in the process that holds the connection."""

    def __init__(
        self,
        streams: Streams,
        rows: Rows,
        pacer: Pacer,
        *,
        lease: Lease,
        clock: Clock,
        sleep: Sleep,
        timing: BotTiming,
    ) -> None:
        self._lease = lease
        self._streams = streams
        self._rows = rows
        self._pacer = pacer
        self._clock = clock
        self._sleep = sleep
        self._timing = timing
        self._busy: set[str] = set()

    async def run(self) -> None:
        """Looks again and again, until cancelled."""
        taken_up = False
        async with asyncio.TaskGroup() as tasks:
            while True:
                ours = self._lease.held.is_set()
                taken_up = ours and (taken_up or await self._take_up())
                now = self._clock.monotonic()
                for stream in self._streams.growing if ours else ():
                    if stream.id not in self._busy and self._is_due(stream, now):
                        self._busy.add(stream.id)
                        tasks.create_task(self._look_after(stream))
                await self._sleep(self._timing.look)

    async def _take_up(self) -> bool:
        """What the process before this one has left: its message's turn is run again, or its time is over."""
        try:
            left = await self._rows.unfinished()
        except StoreUnavailable as error:
            log.debug("wecom.streams_not_looked_up", reason=str(error))
            return False
        for answer in left:
            self._streams.take_up(answer, left_out(answer.language) if answer.shed else late(answer.language))
        return True

    def _is_due(self, stream: Stream, now: float) -> bool:
        return now >= stream.due or self._is_to_begin(stream, now)

    def _is_to_begin(self, stream: Stream, now: float) -> bool:
        waits = not stream.begun and not stream.unreachable and not self._streams.is_crowded(stream)
        return waits and now - stream.born >= self._timing.open_after

    async def _look_after(self, stream: Stream) -> None:
        try:
            if self._clock.monotonic() >= stream.due:
                await self._end(stream)
            else:
                await self._begin(stream)
        except Exception as error:  # a defect with one answer must not leave the others alone
            log.exception("wecom.stream_failed", error=type(error).__name__)
            stream.due = self._clock.monotonic() + self._timing.longest_pause
        finally:
            self._busy.discard(stream.id)

    async def _begin(self, stream: Stream) -> None:
        """Says that somebody is at work; best effort. Alone with the bot, WeCom shows that by itself."""
        if not stream.paid and not self._pacer.take_spare(stream.conversation.channel):
            return
        stream.paid = True
        try:
            await self._streams.show(stream, working(stream))
        except WeComError as error:
            log.debug("wecom.stream_not_begun", reason=str(error))
            if is_too_much(error):
                self._pacer.park(stream.conversation.channel, self._timing.frequency_pause)

    async def _end(self, stream: Stream) -> None:
        found = stream.ending
        shown = stream.text if found.state == "late" and stream.text != working(stream) else ""
        words = ending(shown, found.words)
        stream.tries += 1
        try:
            await self._streams.end(stream, Ending(state=found.state, words=words, turn=found.turn))
        except WeComError as error:
            if stream.tries < _MOST_TRIES and not (isinstance(error, Refused) and is_over(error)):
                pause = self._timing.frequency_pause if is_too_much(error) else self._timing.apart
                stream.due = self._clock.monotonic() + pause
                return
            log.warning("wecom.stream_not_ended", reason=str(error))
            self._streams.settle(stream, found.state, found.turn)
        await self._streams.close_row(stream)


def working(stream: Stream) -> str:
    """What a stream shows before there is anything to show."""
    return phrases.WORKING[stream.language] if stream.conversation.thread else ""
