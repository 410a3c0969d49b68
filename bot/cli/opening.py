"""What commands open: the desk for operators' tools, or the whole core behind a terminal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.clock import SystemClock
from bot.history import schema
from bot.history.database import Database
from bot.history.store import Store
from bot.settings import Settings
from bot.telemetry import Metrics
from bot.tickets.desk import Desk

if TYPE_CHECKING:  # half a second that tools without a conversation need not pay
    from adapters.terminal.channel import TerminalChannel

_UNLIMITED = 1_000_000_000


@contextlib.asynccontextmanager
async def open_desk(settings: Settings) -> AsyncIterator[tuple[Desk, Store]]:
    """Tickets and deliveries, straight from the database; a bot that runs beside it sends what is decided here.

    :raises OperatorError: the database can not be opened.
    """
    url = settings.database.url
    await asyncio.to_thread(schema.upgrade, url)
    async with Database(url, metrics=Metrics()) as database:
        clock = SystemClock()
        yield Desk(database, prefix=settings.tickets.prefix, clock=clock), Store(database, clock)


@contextlib.asynccontextmanager
async def open_terminal(settings: Settings, channel: TerminalChannel) -> AsyncIterator[asyncio.Event]:
    """The whole core with the terminal as its only channel, until the block ends.

    The event is set once knowledge and engine are open; what is asked before waits for them. Whoever sits at a
    terminal is the operator: the limits that protect the house from strangers do not hold.
    """
    from bot.app import open_app

    limits = settings.limits.model_copy(
        update={"user_per_minute": _UNLIMITED, "user_tokens_per_day": 0, "queue_per_conversation": _UNLIMITED}
    )
    stop, opened = asyncio.Event(), asyncio.Event()
    async with (
        open_app(replace(settings, limits=limits), channels=lambda _: [channel]) as app,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(app.serve(stop, ready=lambda _: opened.set()))
        try:
            yield opened
        finally:
            stop.set()
