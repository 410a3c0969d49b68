"""What commands open: the desk for operators' tools, or the whole core behind a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bot.cli.common import configure_logging
from bot.clock import SystemClock
from bot.errors import KefuError
from bot.history import schema
from bot.history.database import Database
from bot.history.store import Store
from bot.settings import Settings
from bot.telemetry import Metrics
from bot.tickets.desk import Desk

if TYPE_CHECKING:  # half a second that tools without a conversation need not pay
    from adapters.terminal.channel import TerminalChannel
    from adapters.terminal.chat import Screen
    from knowledge.ledger import Ledger
    from knowledge.service import Knowledge

OPEN_SECONDS = 300.0
"""How long knowledge and engine may take to open: a large model is read from a slow disk in minutes."""
_UNLIMITED = 1_000_000_000


@contextlib.asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """The database alone, beside a bot that may run.

    :raises OperatorError: it can not be opened.
    """
    await asyncio.to_thread(schema.upgrade, settings.database.url)
    async with Database(settings.database.url, metrics=Metrics()) as database:
        yield database


@contextlib.asynccontextmanager
async def open_desk(settings: Settings) -> AsyncIterator[tuple[Desk, Store]]:
    """Tickets and deliveries, straight from the database; a bot that runs beside it sends what is decided here.

    :raises OperatorError: the database can not be opened.
    """
    async with open_database(settings) as database:
        clock = SystemClock()
        yield Desk(database, prefix=settings.tickets.prefix, clock=clock), Store(database, clock)


@contextlib.asynccontextmanager
async def open_ledger(settings: Settings) -> AsyncIterator[Ledger]:
    """What the knowledge is and was, straight from the database.

    :raises OperatorError: the database can not be opened.
    """
    from bot.ledger import product_ledger

    configure_logging(settings, quiet=True)
    url = settings.database.url
    await asyncio.to_thread(schema.upgrade, url)
    async with Database(url, metrics=Metrics()) as database:
        yield product_ledger(database, url)


@contextlib.asynccontextmanager
async def open_knowledge_to_change(settings: Settings) -> AsyncIterator[Knowledge]:
    """The knowledge with its ledger; a bot that runs beside it follows what is changed here.

    :raises OperatorError: the database can not be opened.
    :raises KnowledgeError: the knowledge can not.
    """
    from bot.answering import knowledge_config
    from bot.caching import open_cache
    from knowledge.service import open_knowledge

    # Nothing is searched for here: a reranker would be loaded for nothing.
    config = replace(knowledge_config(settings), reranker="", synonyms=None)
    async with (
        open_ledger(settings) as ledger,
        # What is changed must not live on in a Redis.
        open_cache(settings.cache, Metrics()) as cache,
        open_knowledge(config, ledger=ledger, cache=cache) as opened,
    ):
        yield opened


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


async def wait_until_open(opened: asyncio.Event) -> None:
    """Waits until answers come at once, so that their times are their own.

    :raises KefuError: knowledge and engine take too long.
    """
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            await opened.wait()
    except TimeoutError:
        raise KefuError(f"knowledge and engine were not open within {OPEN_SECONDS:g} s; see kefu doctor") from None


def terminal_channel(settings: Settings, screen: Screen | None = None) -> TerminalChannel:
    """The terminal for `open_terminal`; with a screen, what grows and what comes unasked is shown there."""
    from adapters.terminal.channel import TerminalChannel

    return TerminalChannel(
        SystemClock(),
        max_message_chars=settings.limits.max_message_chars,
        patience_factor=max(1.0, settings.model.timeout_seconds / 60),  # 60 s is usual
        on_snapshot=screen.snapshot if screen is not None else None,
        on_notice=screen.notice if screen is not None else None,
    )


@contextlib.contextmanager
def without_a_trace(settings: Settings) -> Iterator[Settings]:
    """The same settings over an empty database, in a folder that vanishes with the block.

    What else lies beside the operator's database and has a say in answers comes along: the examples of what words
    mean, and vectors that need not be computed again.
    """
    from bot.answering import INTENTS_FILE
    from bot.app import data_folder

    own = data_folder(settings)
    with tempfile.TemporaryDirectory(prefix="kefu-") as name:
        folder = Path(name)
        if (own / INTENTS_FILE).exists():
            shutil.copy(own / INTENTS_FILE, folder)
        if (own / "cache").is_dir():
            shutil.copytree(own / "cache", folder / "cache")
        url = f"sqlite+aiosqlite:///{folder / 'kefu.db'}"
        yield replace(settings, database=settings.database.model_copy(update={"url": url}))
