"""The AI bot's channel with the real core behind it and a strict fake of WeCom before it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from adapters.wecom.bot.build import build
from adapters.wecom.bot.channel import BotChannel, CalledChannel
from adapters.wecom.bot.settings import CALLBACK_PATH, ChannelSettings
from adapters.wecom.bot.timing import BotTiming
from bot.clock import SystemClock
from bot.history import outbox
from bot.history.database import Database
from bot.messages import ConversationRef, DialogueState, HistoryEntry, Outcome, Reply, Turn, TurnResult
from bot.ports import SnapshotSink, Surroundings
from bot.telemetry import Metrics
from bot.turns.limits import QueueLimits
from tests.core.house import NO_LIMITS, House, address, new_database, open_house
from tests.fakes.dialogue import ScriptedDialogue
from tests.fakes.nothing import NoTickets, nothing_comes_back
from tests.fakes.wecom_aibot import FakeAiBot
from tests.fakes.wecom_api import FakeWeCom

Json = dict[str, Any]

APART, POLL_SECONDS = 0.3, 0.25
"""What stands for WeCom's second between two states of an answer, and between two of its own calls."""
FAST = BotTiming(
    apart=APART + 0.05,
    connect=1.0,
    answer=2.0,
    first_pause=0.02,
    longest_pause=0.1,
    refused_pause=0.3,
    open_after=0.3,
    look=0.02,
    ack=1.0,
    late_ack=0.1,
    line_wait=0.5,
    ping=0.2,
    silent=1.5,
    kicked_pause=600.0,
    lapsed_pause=0.1,
    lease_beat=0.1,
    lease_life=0.5,
    store_pause=0.05,
    frequency_pause=0.5,
    refresh_pause=0.5,
)
"""Waits of a test."""
REAL_SECOND = dataclasses.replace(FAST, apart=BotTiming().apart)


class NoRecords:
    """This channel never looks back."""

    async def replies(self, conversation: ConversationRef, *, after: int) -> tuple[tuple[int, Reply], ...]:
        raise AssertionError("not for this channel")

    async def history(self, conversation: ConversationRef, *, limit: int) -> tuple[HistoryEntry, ...]:
        raise AssertionError("not for this channel")

    async def engaged(self, conversation: ConversationRef) -> bool:
        raise AssertionError("not for this channel")


class LongDialogue(ScriptedDialogue):
    """Says more than one message holds."""

    TEXT = "。".join(f"第{number}句话是这样的" for number in range(1000))

    async def respond(self, turn: Turn, show: SnapshotSink) -> TurnResult:
        self.seen.append(turn)
        reply = Reply(outcome=Outcome.ANSWERED, text=self.TEXT, language="zh")
        return TurnResult(reply=reply, state=DialogueState(language="zh"), engine="script")


@dataclass
class Bench:
    """A database that outlives what runs on it, and ways to run something."""

    path: Path
    wecom: FakeAiBot | FakeWeCom
    timing: BotTiming = FAST
    settings: Json = field(default_factory=dict)
    dialogue: ScriptedDialogue = field(default_factory=ScriptedDialogue)
    limits: QueueLimits = NO_LIMITS

    def make(self, database: Database, timing: BotTiming | None = None, **more: Any) -> BotChannel:
        """A channel of the fake's bot."""
        values = {**self._of_the_fake(), **self.settings, **more}
        around = Surroundings(
            clock=SystemClock(),
            metrics=Metrics(),
            records=NoRecords(),
            tickets=NoTickets(),
            database=database,
            came_back=nothing_comes_back,
            public_url="",
            max_message_chars=4000,
            max_body_bytes=100_000,
        )
        return build(ChannelSettings.model_validate(values), around, timing=timing or self.timing)

    def _of_the_fake(self) -> Json:
        wecom = self.wecom
        if isinstance(wecom, FakeAiBot):
            return {"bot_id": wecom.bot_id, "secret": wecom.secret, "ws_url": wecom.ws_url}
        return {
            "transport": "callback",
            "bot_id": wecom.bot_id,
            "token": wecom.bot.token,
            "aes_key": wecom.bot.aes_key,
            "api_url": wecom.api_url,
        }

    @contextlib.asynccontextmanager
    async def running(self, timing: BotTiming | None = None, *, connected: bool = True) -> AsyncIterator[Run]:
        """The core and the channel, until the context is left."""
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(Database(address(self.path), metrics=Metrics()))
            channel = self.make(database, timing)
            stack.push_async_callback(channel.close)
            core = await stack.enter_async_context(
                open_house(self.path, [channel], self.dialogue, clock=SystemClock(), limits=self.limits)
            )
            if isinstance(channel, CalledChannel):
                assert isinstance(self.wecom, FakeWeCom)
                self.wecom.bot.url = await _served(channel, core, stack)
            elif connected:
                await until(lambda: channel.health() == dataclasses.replace(channel.health(), up=True, detail=""))
            yield Run(channel=channel, core=core, database=database)


@dataclass
class Run:
    """What runs now."""

    channel: BotChannel
    core: House
    database: Database


async def _served(channel: CalledChannel, core: House, stack: AsyncExitStack) -> str:
    """Where WeCom calls it."""
    application = web.Application()
    application.add_routes(channel.routes(core.inbox))
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}{CALLBACK_PATH}"


async def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Waits until something is so, and not for ever."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("what the test waits for did not happen")
        await asyncio.sleep(0.01)


async def all_sent(run: Run) -> None:
    """Waits until every reply is marked as sent, or given up."""
    async with asyncio.timeout(15):
        while {"waiting", "sending"} & set(await run.database.read(outbox.counts)):
            await asyncio.sleep(0.02)


async def fresh(folder: Path) -> Path:
    """An empty database."""
    return await asyncio.to_thread(new_database, folder)
