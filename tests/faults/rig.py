"""The real core and the real Telegram and web channels in the test's own process, beside the fake Bot API."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from adapters.telegram.build import build as build_telegram
from adapters.telegram.settings import ChannelSettings as TelegramSettings
from adapters.telegram.timing import Timing
from adapters.web.build import build as build_web
from adapters.web.settings import ChannelSettings as WebSettings
from bot.history.store import Store
from bot.messages import ConversationRef, HistoryEntry, Reply
from bot.ports import HttpChannel, Surroundings
from bot.telemetry import Metrics
from bot.turns.limits import QueueLimits
from tests.core.house import NO_LIMITS, House, new_database, open_house
from tests.fakes.dialogue import ScriptedDialogue
from tests.fakes.nothing import NoDatabase, NoTickets, nothing_comes_back
from tests.fakes.telegram_api import FakeTelegram
from tests.faults import oracle

ORIGIN = "https://kefu.example"
SECRET = "s3cret_of-the-webhook"
QUICK = Timing(poll=2.0, patience=5.0, first_pause=0.05, longest_pause=0.5, refused_pause=0.5, upkeep=1.0)


class ShiftedClock:
    """The machine's clocks; the test may move the wall clock."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def monotonic(self) -> float:
        return time.monotonic()


class _Records:
    """`bot.ports.Records` of whichever life runs now."""

    def __init__(self) -> None:
        self.store: Store | None = None

    async def replies(self, conversation: ConversationRef, *, after: int) -> tuple[tuple[int, Reply], ...]:
        assert self.store is not None
        return await self.store.replies(conversation, after=after)

    async def history(self, conversation: ConversationRef, *, limit: int) -> tuple[HistoryEntry, ...]:
        assert self.store is not None
        return await self.store.history(conversation, limit=limit)

    async def engaged(self, conversation: ConversationRef) -> bool:
        assert self.store is not None
        return await self.store.engaged(conversation)


@dataclass(slots=True)
class Rig:
    """One database, lived on by one process life after another. `async with rig.life():` is one of them."""

    telegram: FakeTelegram
    path: Path
    transport: str = "polling"
    limits: QueueLimits = NO_LIMITS
    dialogue: ScriptedDialogue = field(default_factory=ScriptedDialogue)
    clock: ShiftedClock = field(default_factory=ShiftedClock)
    url: str = ""
    """The HTTP server of the life that runs now."""
    house: House = field(init=False)

    @contextlib.asynccontextmanager
    async def life(self, *, drain_seconds: float = 5.0, seconds: float = 5.0) -> AsyncIterator[House]:
        """Starts everything, waits until Telegram is heard, that long at most, and ends it in order."""
        records = _Records()
        around = Surroundings(
            clock=self.clock, metrics=Metrics(), records=records, tickets=NoTickets(), database=NoDatabase(),
            came_back=nothing_comes_back,
            public_url="", max_message_chars=4000, max_body_bytes=2**20,
        )  # fmt: skip
        telegram = build_telegram(self._telegram_settings(), around, timing=QUICK)
        site = build_web(WebSettings.model_validate({}), around)
        opening = open_house(
            self.path, [telegram, site], self.dialogue, clock=self.clock, limits=self.limits,
            drain_seconds=drain_seconds,
        )  # fmt: skip
        try:
            async with opening as house:
                records.store = Store(house.database, self.clock)
                self.house = house
                async with self._server(house, [telegram, site]):
                    await _until(lambda: telegram.health().up, seconds)
                    try:
                        yield house
                    finally:
                        await site.close()
        finally:
            await telegram.close()

    def _telegram_settings(self) -> TelegramSettings:
        given: dict[str, Any] = {"token": self.telegram.token, "api_url": self.telegram.url}
        if self.transport == "webhook":
            given |= {
                "transport": "webhook",
                "webhook_url": f"{ORIGIN}/telegram/webhook",
                "webhook_secret": SECRET,
            }
        return TelegramSettings.model_validate(given)

    @contextlib.asynccontextmanager
    async def _server(self, house: House, channels: list[HttpChannel]) -> AsyncIterator[None]:
        application = web.Application(client_max_size=2**20)
        for channel in channels:
            application.add_routes(channel.routes(house.inbox))
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self.telegram.sender.proxies[ORIGIN] = self.url
        try:
            yield
        finally:
            self.telegram.sender.proxies[ORIGIN] = "http://127.0.0.1:1"  # nobody: Telegram comes again
            await runner.cleanup()

    async def rest(self, seconds: float = 30.0) -> None:
        """Waits until everything was taken and has come to its end.

        :raises TimeoutError: it has not.
        """
        deadline = time.monotonic() + seconds
        while (left := await asyncio.to_thread(oracle.open_work, self.path)) or self.telegram.unconfirmed():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not taken: {len(self.telegram.unconfirmed())}, still open: {left}")
            await asyncio.sleep(0.05)


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def new_rig(telegram: FakeTelegram, folder: Path, **about: Any) -> Rig:
    """A rig on a fresh database."""
    return Rig(telegram, await asyncio.to_thread(new_database, folder), **about)
