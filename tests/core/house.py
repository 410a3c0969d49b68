"""The real core (database, inbox, lanes, turns, outbox, desk) around a dialogue and channels of the test's choice.

Assembled as `bot.app` does it, without knowledge, engine and HTTP server, so that a start takes milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from bot.history import schema
from bot.history.database import Database
from bot.history.endings import Delivery
from bot.history.turns import Limits, unfinished
from bot.messages import ConversationRef, Reply, Turn, TurnResult
from bot.ports import Channel, Clock
from bot.telemetry import Metrics
from bot.tickets.desk import Desk
from bot.turns.delivery import Outbox
from bot.turns.inbox import Inbox
from bot.turns.lanes import Lanes
from bot.turns.limits import QueueLimits
from bot.turns.runner import TurnRunner
from tests.fakes.dialogue import ScriptedDialogue, busy

NO_LIMITS = QueueLimits(user_per_minute=10**6, queue_per_conversation=10**6, queue_total=10**6, max_message_chars=4000)
TURN_SECONDS = 90.0
FILE = "kefu.db"


@functools.cache
def _template() -> Path:
    """An empty database of the current schema, made once a process."""
    path = Path(mkdtemp(prefix="kefu-template-")) / FILE
    schema.upgrade(address(path))
    return path


def address(path: Path) -> str:
    """The file as `database.url`."""
    return f"sqlite+aiosqlite:///{path}"


def new_database(folder: Path) -> Path:
    """A fresh database file in the folder."""
    path = folder / FILE
    shutil.copyfile(_template(), path)
    return path


def copy_database(path: Path, folder: Path) -> Path:
    """What a crash would leave at this moment: the file and its write-ahead log."""
    for suffix in ("", "-wal"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            shutil.copyfile(source, folder / (FILE + suffix))
    return folder / FILE


class NoNotices:
    """Nobody asked to be told."""

    def of_turn(self, turn: Turn, result: TurnResult) -> Sequence[tuple[ConversationRef, Reply]]:
        return ()

    def stuck(self, delivery: Delivery, state: str, error: str) -> Sequence[tuple[ConversationRef, Reply]]:
        return ()


@dataclass(slots=True)
class House:
    """The parts of a running core."""

    database: Database
    inbox: Inbox
    lanes: Lanes
    runner: TurnRunner
    outbox: Outbox
    desk: Desk
    metrics: Metrics


@contextlib.asynccontextmanager
async def open_house(
    path: Path,
    channels: Sequence[Channel],
    dialogue: ScriptedDialogue,
    *,
    clock: Clock,
    limits: QueueLimits = NO_LIMITS,
    workers: int = 256,
    drain_seconds: float = 0.0,
    closing: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[House]:
    """Runs a core on this database file until the context is left.

    :param closing: how channels are closed that still write then: after the work has ended, before the database goes.
    """
    metrics = Metrics()
    by_account = {(channel.platform, channel.account): channel for channel in channels}
    async with Database(address(path), metrics=metrics) as database:
        outbox = Outbox(database, by_account, notices=NoNotices(), metrics=metrics, clock=clock)
        runner = TurnRunner(
            database, dialogue, dialogue, outbox, by_account, notices=NoNotices(),
            limits=Limits(history_turns=6, tokens_per_day=0), turn_seconds=TURN_SECONDS, metrics=metrics, clock=clock,
        )  # fmt: skip
        lanes = Lanes(runner.run_turn, workers=workers, metrics=metrics)
        inbox = Inbox(
            database, lanes, runner, outbox.wake,
            limits=limits, busy=busy, expect=dialogue.expect, metrics=metrics, clock=clock,
        )  # fmt: skip
        desk = Desk(database, prefix="TICKET", clock=clock, wake_outbox=outbox.wake)
        for channel in channels:
            take_up = functools.partial(unfinished, platform=channel.platform, account=channel.account)
            for conversation, suspect in await database.read(take_up):
                if suspect:
                    runner.suspect(conversation)
                lanes.wake(conversation)
        work = [asyncio.create_task(outbox.run()), asyncio.create_task(lanes.run())]
        work += [asyncio.create_task(channel.run(inbox)) for channel in channels]
        try:
            yield House(database, inbox, lanes, runner, outbox, desk, metrics)
        finally:
            if drain_seconds:
                await lanes.drain(drain_seconds)
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            if closing is not None:
                await closing()
