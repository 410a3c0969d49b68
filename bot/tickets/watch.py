"""Tells operators when a channel has stopped working, through the channels that still do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sqlalchemy import Connection

from bot.errors import StoreUnavailable
from bot.history.database import Database
from bot.history.endings import insert_notice
from bot.messages import Language
from bot.ports import Channel, ChannelHealth, Clock
from bot.telemetry import get_logger
from bot.tickets.notices import OperatorNotices

GRACE_SECONDS = 60.0
"""A network that is gone for a moment is nobody's business, and neither is a channel that is just being started."""

News: TypeAlias = Literal["down", "up", "note"]

log = get_logger(__name__)


@dataclass(slots=True)
class Course:
    """One channel's health over time: decides when it is news. Times are the monotonic clock's."""

    down: bool = False
    """As last seen."""
    since: float | None = None
    """When that was first seen."""
    told_down: bool = False
    note: str = ""
    """What a channel that works has said of itself, and operators know."""

    def news(self, health: ChannelHealth, now: float) -> News | None:
        """What operators should be told now, once. A channel that was down and is up again is news only to those who
        know the first half."""
        if self.since is None or health.up == self.down:
            self.down, self.since = not health.up, now
        if now - self.since < GRACE_SECONDS:
            return None
        if self.down != self.told_down:
            self.told_down = self.down
            return "down" if self.down else "up"
        if not self.down and health.notice != self.note:
            self.note = health.notice
            return "note" if health.notice else None
        return None


class ChannelWatch:
    """Looks at every channel when it is told to."""

    def __init__(
        self,
        channels: Mapping[tuple[str, str], Channel],
        *,
        notices: OperatorNotices,
        language: Language,
        database: Database,
        wake_outbox: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._courses = [(channel, Course()) for channel in channels.values()]
        self._notices = notices
        self._language = language
        self._database = database
        self._wake_outbox = wake_outbox
        self._clock = clock

    async def look(self) -> None:
        """Writes down what is new for the operators; the outbox brings it to them."""
        for channel, course in self._courses:
            health = channel.health()
            news = course.news(health, self._clock.monotonic())
            if news is not None:
                reason = health.notice if news == "note" else health.detail
                await self._tell(channel.platform, news, reason)

    async def _tell(self, platform: str, news: News, reason: str) -> None:
        told, now = self._notices.of_channel(platform, news, reason, self._language), self._clock.now()

        def work(connection: Connection) -> None:
            for address, notice in told:
                insert_notice(connection, address, notice, None, now)

        log.warning("a channel's state is news", platform=platform, news=news, reason=reason, told=len(told))
        if told:
            try:
                await self._database.write(work)
            except StoreUnavailable as error:
                log.warning("operators can not be told of a channel", platform=platform, reason=str(error))
            self._wake_outbox()
