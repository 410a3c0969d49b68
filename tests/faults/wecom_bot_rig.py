"""The real core and WeCom's AI bot in the test's own process, over either transport, beside the fake that speaks it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from adapters.wecom.bot.build import build
from adapters.wecom.bot.channel import BotChannel, CalledChannel
from adapters.wecom.bot.settings import CALLBACK_PATH, ChannelSettings
from adapters.wecom.bot.timing import BotTiming
from bot.clock import SystemClock
from bot.ports import Channel, Intake, Surroundings
from bot.telemetry import Metrics
from tests.core.house import House, new_database, open_house
from tests.fakes.dialogue import final_tokens, tokens
from tests.fakes.nothing import nothing_comes_back
from tests.fakes.wecom_aibot import Asked, FakeAiBot
from tests.fakes.wecom_api import Exchange, FakeWeCom
from tests.faults import oracle
from tests.faults.slack_rig import NOBODY, Core, Storyteller, until

WEBSOCKET, CALLBACK = "websocket", "callback"
APART, POLL_SECONDS = 0.3, 0.3
"""What stands for WeCom's second between two states of an answer, and between two of its own calls. The whole product,
which is killed in `test_wecom_bot_kill`, keeps to real seconds."""
QUICK = BotTiming(
    apart=APART + 0.05, connect=1.0, answer=2.0, first_pause=0.02, longest_pause=0.1, refused_pause=0.5,
    frequency_pause=0.5, ack=1.0, refresh_pause=0.5, open_after=0.3, look=0.03, late_ack=0.1, line_wait=0.5,
    ping=0.3, silent=1.2, lapsed_pause=0.1, kicked_pause=600.0, lease_beat=0.1, lease_life=0.6, store_pause=0.05,
    row_wait=2.0,
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class BotRig:
    """One database, lived on by one process life after another. `async with rig.life():` is one of them."""

    path: Path
    aibot: FakeAiBot | None = None
    called: FakeWeCom | None = None
    """One of the two: over the long connection, or over callbacks."""
    ws_url: str = ""
    """Through something that stands before the fake."""
    api_url: str = ""
    port: int = 0
    door: str = ""
    """Where WeCom calls us, if something stands before `port`."""
    timing: BotTiming = QUICK
    dialogue: Storyteller = field(default_factory=Storyteller)
    beside: Sequence[Channel] = ()
    """Other channels of the same house."""
    channel: BotChannel = field(init=False)
    house: House = field(init=False)
    core: Core = field(init=False)
    excused: set[str] = field(default_factory=set)
    """Rules of the fake that what is being shown has to break."""
    told: set[str] = field(default_factory=set)
    """Tokens of everything that was said."""

    @property
    def wecom(self) -> FakeAiBot:
        assert self.aibot is not None
        return self.aibot

    @property
    def caller(self) -> FakeWeCom:
        assert self.called is not None
        return self.called

    @contextlib.asynccontextmanager
    async def life(self, *, seconds: float = 10.0, connected: bool = True) -> AsyncIterator[House]:
        """Starts everything, waits until WeCom is heard, that long at most, and ends it in order."""
        self.core = Core()
        self.channel = self.another()
        everything = [self.channel, *self.beside]
        opening = open_house(
            self.path,
            everything,
            self.dialogue,
            clock=SystemClock(),
            drain_seconds=5.0,
            closing=self.channel.close,
        )
        try:
            async with opening as house:
                self.house = self.core.stands(house).house
                async with self._server(house.inbox):
                    if connected:
                        await until(self.is_heard, seconds)
                    yield house
        finally:
            await self.channel.close()

    def another(self, timing: BotTiming | None = None) -> BotChannel:
        """A channel of the same bot on the same database, as another process would have it."""
        around = Surroundings(
            clock=SystemClock(), metrics=Metrics(), records=self.core, tickets=self.core, database=self.core,
            came_back=nothing_comes_back,
            public_url="https://help.example", max_message_chars=4000, max_body_bytes=2**20,
        )  # fmt: skip
        return build(ChannelSettings.model_validate(self._settings()), around, timing=timing or self.timing)

    def is_heard(self) -> bool:
        """Whether this life's channel is the one that hears, and knows no trouble."""
        health = self.channel.health()
        return health.up and not health.detail

    def _settings(self) -> dict[str, Any]:
        if self.aibot is not None:
            url = self.ws_url or self.aibot.ws_url
            return {"bot_id": self.aibot.bot_id, "secret": self.aibot.secret, "ws_url": url}
        endpoint = self.caller.bot
        return {
            "transport": CALLBACK, "bot_id": self.caller.bot_id, "token": endpoint.token, "aes_key": endpoint.aes_key,
            "api_url": self.api_url or self.caller.api_url,
        }  # fmt: skip

    @contextlib.asynccontextmanager
    async def _server(self, intake: Intake) -> AsyncIterator[None]:
        if self.called is None:
            yield
            return
        async with served(self.channel, intake, self.port) as url:
            self.caller.bot.url = (self.door or url) + CALLBACK_PATH
            try:
                yield
            finally:
                self.caller.bot.url = NOBODY + CALLBACK_PATH

    # -- People --

    def says(self, number: int, words: str, *, chat: str = "") -> Asked | Exchange:
        """Colleague number so-and-so writes, alone with the bot or in a group."""
        user = person(number)
        self.told |= set(tokens(words))
        if self.aibot is not None:
            return self.aibot.people.says(words, user=user, chat=chat)
        return self.caller.chats.says(user, f"@Kefu {words}" if chat else words, chat=chat)

    def texts(self, place: str = "") -> list[str]:
        """What stands there finished."""
        if self.aibot is not None:
            return self.aibot.texts(place)
        running = {one.said.msgid for one in self.caller.chats.exchanges.values() if one.said and not one.finished}
        return [one.text for one in self.caller.messages("bot", place) if one.msgid not in running]

    def said(self) -> Counter[str]:
        """How often each token stands in what the bot has said for good."""
        return Counter(token for text in self.texts() for token in final_tokens(text))

    # -- The end --

    async def rest(self, seconds: float = 30.0, *, growing: bool = True) -> None:
        """Waits until everything was taken and has come to its end, growing answers too unless told otherwise.

        :raises TimeoutError: it has not.
        """
        deadline, left = time.monotonic() + seconds, 0
        # In the order in which work moves on, so that it is not looked for where it has been and where it will be.
        while (unread := await self.unread()) or (left := await self.open_work()) or (growing and await self.growing()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not stored: {unread}, still open: {left}, and growing: {await self.growing()}")
            await asyncio.sleep(0.05)

    async def unread(self) -> set[str]:
        """What was said and is not stored."""
        return self.told - set(await self.stored())

    async def growing(self) -> int:
        """Messages that WeCom still holds, and answers that have not come to an end."""
        if self.aibot is not None:
            return len(await self.query("SELECT 1 FROM growing_answers WHERE state = 'open'"))
        exchanges = self.caller.chats.exchanges.values()
        return sum(not (one.finished or (one.delivery and one.delivery.fate == "gave_up")) for one in exchanges)

    async def open_work(self) -> int:
        """Messages and replies that have not come to an end."""
        return await asyncio.to_thread(oracle.open_work, self.path)

    async def query(self, statement: str) -> list[dict[str, Any]]:
        return await asyncio.to_thread(oracle.query, self.path, statement)

    async def stored(self) -> Counter[str]:
        """How often each token is stored."""
        return Counter(token for row in await self.query("SELECT text FROM inbound") for token in tokens(row["text"]))

    async def states(self) -> Counter[str]:
        """How many replies are in which state."""
        return Counter(row["state"] for row in await self.query("SELECT state FROM deliveries"))


class Lines:
    """What the log says of the channel."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def since(self) -> tuple[int, int]:
        """How often it went down and up since the last look."""
        words = self.words()
        return words.count("event='wecom.down'"), words.count("event='wecom.up'")

    def words(self) -> str:
        return self._capture.readouterr().out


@contextlib.asynccontextmanager
async def bot_rig(folder: Path, transport: str, **about: Any) -> AsyncIterator[BotRig]:
    """A fake WeCom with its limits on, and a rig beside it. In the end no rule of WeCom's may have been broken."""
    path = await asyncio.to_thread(new_database, folder)
    if transport == WEBSOCKET:
        async with FakeAiBot() as aibot:
            aibot.streams.apart = APART
            yield BotRig(path=path, aibot=aibot, **about)
            assert aibot.violations == [], aibot.violations
    else:
        async with FakeWeCom(rate_limits=True) as called:
            called.bot.url, called.chats.poll_seconds = NOBODY + CALLBACK_PATH, POLL_SECONDS
            rig = BotRig(path=path, called=called, **about)
            yield rig
            broken = [one for one in called.violations if one.rule not in rig.excused]
            assert broken == [], broken


@contextlib.asynccontextmanager
async def served(channel: BotChannel, intake: Intake, port: int = 0) -> AsyncIterator[str]:
    """The channel's HTTP side; where it is."""
    assert isinstance(channel, CalledChannel)
    application = web.Application(client_max_size=2**20)
    application.add_routes(channel.routes(intake))
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def person(number: int) -> str:
    return f"user{number}"


def faster(timing: BotTiming = QUICK, **about: float) -> BotTiming:
    """With other waits."""
    return dataclasses.replace(timing, **about)
