"""The real core and the real Slack channel in the test's own process, beside the strict fake."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from aiohttp import web
from sqlalchemy import Connection

from adapters.slack.build import build as build_slack
from adapters.slack.channel import SlackChannel
from adapters.slack.settings import EVENTS_PATH, ChannelSettings
from adapters.slack.timing import Timing
from bot.clock import SystemClock
from bot.history.database import Database
from bot.history.store import Store
from bot.messages import ConversationRef, HistoryEntry, Outcome, Reply, Ticket, Turn, TurnResult
from bot.ports import Channel, SnapshotSink, Surroundings
from bot.telemetry import Metrics
from tests.core.house import House, new_database, open_house
from tests.fakes.dialogue import END, ScriptedDialogue, final_tokens, tokens
from tests.fakes.slack_api import FakeSlack, Seen
from tests.faults import oracle

TOKEN_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
QUICK = Timing(
    connect=2.0, answer=3.0, flush=0.05, update=0.2, refused_pause=0.5, ping=0.5, silent=3.0, hello=3.0,
    first_pause=0.02, longest_pause=0.2, upkeep=0.3,
)  # fmt: skip
NOBODY = "http://127.0.0.1:1"
T = TypeVar("T")


@dataclass(slots=True)
class Storyteller(ScriptedDialogue):
    """The scripted dialogue that can also grow a long answer: to "tell T5" it tells `stories["T5"]`."""

    stories: dict[str, str] = field(default_factory=dict)
    seconds: float = 1.0
    """A story takes so long."""
    steps: int = 16

    async def respond(self, turn: Turn, show: SnapshotSink) -> TurnResult:
        told = [self.stories[token] for token in tokens(turn.text) if token in self.stories]
        if "tell " not in turn.text or not told:
            # Named in full: a dataclass with slots is made twice, and `super()` would mean the first one.
            return await ScriptedDialogue.respond(self, turn, show)
        text = "\n\n".join(told)
        for step in range(1, self.steps + 1):
            show(text[: len(text) * step // self.steps])
            await asyncio.sleep(self.seconds / self.steps)
        reply = Reply(outcome=Outcome.ANSWERED, text=text, language="zh", turn_id=turn.id)
        return TurnResult(reply=reply, state=turn.state, engine="script")


class Core:
    """What a channel is given of the house (`Records`, `Tickets`, `Transactions`): that of the life that runs now."""

    def __init__(self) -> None:
        self._house: House | None = None
        self._store: Store | None = None

    def stands(self, house: House) -> Self:
        self._house, self._store = house, Store(house.database, SystemClock())
        return self

    @property
    def house(self) -> House:
        assert self._house is not None
        return self._house

    @property
    def store(self) -> Store:
        assert self._store is not None
        return self._store

    async def replies(self, conversation: ConversationRef, *, after: int) -> tuple[tuple[int, Reply], ...]:
        return await self.store.replies(conversation, after=after)

    async def history(self, conversation: ConversationRef, *, limit: int) -> tuple[HistoryEntry, ...]:
        return await self.store.history(conversation, limit=limit)

    async def engaged(self, conversation: ConversationRef) -> bool:
        return await self.store.engaged(conversation)

    def new_number(self) -> str:
        return self.house.desk.new_number()

    async def find(self, number: str, *, requester: str) -> Ticket | None:
        return await self.house.desk.find(number, requester=requester)

    async def recent(self, *, requester: str, limit: int) -> tuple[Ticket, ...]:
        return await self.house.desk.recent(requester=requester, limit=limit)

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self.house.database.write(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self.house.database.read(work)

    async def came_back(self, conversation: ConversationRef, delivery: int, message_id: str, reason: str) -> bool:
        return await self.house.outbox.came_back(conversation, delivery, message_id, reason)


@dataclass(slots=True, kw_only=True)
class SlackRig:
    """One database, lived on by one process life after another. `async with rig.life():` is one of them."""

    slack: FakeSlack
    path: Path
    transport: str = "socket"
    sockets: int = 2
    many: bool = False
    """Several workspaces: their installations have to stand in the database (`installed`)."""
    api_url: str = ""
    """Through something that stands before the fake."""
    timing: Timing = QUICK
    dialogue: Storyteller = field(default_factory=Storyteller)
    beside: Sequence[Channel] = ()
    """Other channels of the same house."""
    channel: SlackChannel = field(init=False)
    house: House = field(init=False)
    url: str = ""

    @contextlib.asynccontextmanager
    async def life(self, *, seconds: float = 10.0) -> AsyncIterator[House]:
        """Starts everything, waits until Slack is heard, that long at most, and ends it in order."""
        core = Core()
        around = Surroundings(
            clock=SystemClock(), metrics=Metrics(), records=core, tickets=core, database=core,
            came_back=core.came_back,
            public_url="https://help.example", max_message_chars=4000, max_body_bytes=2**20,
        )  # fmt: skip
        self.channel = build_slack(self._settings(), around, timing=self.timing)
        opening = open_house(
            self.path, [self.channel, *self.beside], self.dialogue, clock=SystemClock(), drain_seconds=5.0
        )
        try:
            async with opening as house:
                self.house = core.stands(house).house
                async with self._server(house):
                    await until(lambda: self.channel.health().up, seconds)
                    yield house
        finally:
            await self.channel.close()

    def _settings(self) -> ChannelSettings:
        given: dict[str, Any] = {"api_url": self.api_url or self.slack.api_url, "transport": self.transport}
        if self.transport == "socket":
            given |= {"app_token": self.slack.app_token, "sockets": self.sockets}
        else:
            given |= {"signing_secret": self.slack.signing_secret}
        if self.many:
            about = {"client_id": self.slack.client_id, "client_secret": self.slack.client_secret}
            return ChannelSettings.model_validate(given | about | {"token_key": TOKEN_KEY})
        return ChannelSettings.model_validate(given | {"bot_token": self.slack.bot_token})

    @contextlib.asynccontextmanager
    async def _server(self, house: House) -> AsyncIterator[None]:
        application = web.Application(client_max_size=2**20)
        application.add_routes(self.channel.routes(house.inbox))
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        if self.transport == "http":
            self.slack.feed.transport = "http"
            self.slack.feed.request_url = self.url + EVENTS_PATH
        try:
            yield
        finally:
            self.slack.feed.request_url = NOBODY  # Slack comes again
            await runner.cleanup()

    async def rest(self, seconds: float = 30.0) -> None:
        """Waits until everything was taken and has come to its end.

        :raises TimeoutError: it has not.
        """
        deadline = time.monotonic() + seconds
        while (left := await self.open_work()) or self.on_the_way():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not taken: {self.on_the_way()}, still open: {left}")
            await asyncio.sleep(0.03)

    async def open_work(self) -> int:
        """Messages and replies that have not come to an end."""
        return await asyncio.to_thread(oracle.open_work, self.path)

    def on_the_way(self) -> int:
        """What Slack has not been told that it was taken, and has not given up."""
        return sum(not delivery.fate for delivery in self.slack.feed.deliveries.values())

    async def query(self, statement: str) -> list[dict[str, Any]]:
        return await asyncio.to_thread(oracle.query, self.path, statement)

    async def stored(self) -> Counter[str]:
        """How often each token is stored."""
        return Counter(token for row in await self.query("SELECT text FROM inbound") for token in tokens(row["text"]))

    async def states(self) -> Counter[str]:
        """How many replies are in which state."""
        return Counter(row["state"] for row in await self.query("SELECT state FROM deliveries"))


async def new_rig(slack: FakeSlack, folder: Path, **about: Any) -> SlackRig:
    """A rig on a fresh database. A message that nobody takes is sent again soon."""
    slack.feed.schedule = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0)
    return SlackRig(slack=slack, path=await asyncio.to_thread(new_database, folder), **about)


@contextlib.asynccontextmanager
async def slack_rig(folder: Path, *, rate_limits: bool = False, **about: Any) -> AsyncIterator[SlackRig]:
    """A fake Slack, and a rig beside it."""
    async with FakeSlack(rate_limits=rate_limits) as slack:
        yield await new_rig(slack, folder, **about)


@contextlib.asynccontextmanager
async def opened_database(rig: SlackRig) -> AsyncIterator[Database]:
    """The database while no life runs on it."""
    async with Database(f"sqlite+aiosqlite:///{rig.path}", metrics=Metrics()) as database:
        yield database


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """:raises TimeoutError: it does not come true in time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def said(messages: Sequence[Seen]) -> Counter[str]:
    """How often each token stands in what the bot has said for good."""
    return Counter(token for message in messages for token in final_tokens(message.text))


def story(token: str, paragraphs: int = 6, words: int = 12) -> str:
    """A text of which every paragraph names its token and its number."""
    lines = [f"{token} 第 {number} 段：" + "一二三四五六七八九十 " * words for number in range(1, paragraphs + 1)]
    return "\n\n".join([*(line.strip() for line in lines), f"{token} {END}"])


def squeezed(text: str) -> str:
    """Without white space, which Markdown may set otherwise."""
    return "".join(text.split())
