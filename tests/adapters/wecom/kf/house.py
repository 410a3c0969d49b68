"""The real core and the 微信客服 channel beside the fake WeCom: what customers say comes in as in production."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy import Connection, text

from adapters.wecom.kf.build import build
from adapters.wecom.kf.channel import KfChannel
from adapters.wecom.kf.settings import CALLBACK_PATH, ChannelSettings
from adapters.wecom.kf.timing import Timing
from bot.errors import StoreUnavailable
from bot.history.database import Database
from bot.messages import (
    Author,
    ConversationRef,
    DialogueState,
    HistoryEntry,
    OpenTicket,
    Outcome,
    Reply,
    ReplyAction,
    Turn,
    TurnResult,
)
from bot.ports import SnapshotSink, Surroundings
from bot.telemetry import Metrics
from tests.adapters.wecom.kf.words import long_answer
from tests.core.house import House, open_house
from tests.fakes.dialogue import ScriptedDialogue, ticket_for
from tests.fakes.nothing import NoTickets
from tests.fakes.wecom_api import CORP_ID, KF, FakeWeCom

QUICK = Timing(
    connect=1.0,
    answer=2.0,
    call=4.0,
    first_pause=0.02,
    longest_pause=0.2,
    refused_pause=0.3,
    frequency_pause=0.3,
    upkeep=0.3,
    look=60.0,
    looks=10_000,
    settle=0.05,
)

T = TypeVar("T")


class ShiftedClock:
    """The machine's clocks; the test may move the wall clock."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def monotonic(self) -> float:
        return time.monotonic()


class Lent:
    """`Transactions` of whichever core runs now."""

    def __init__(self) -> None:
        self.database: Database | None = None

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self._open().write(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._open().read(work)

    def _open(self) -> Database:
        if self.database is None:
            raise StoreUnavailable("the core is not open yet")
        return self.database


class NothingSaid:
    async def replies(self, conversation: ConversationRef, *, after: int) -> tuple[tuple[int, Reply], ...]:
        return ()

    async def history(self, conversation: ConversationRef, *, limit: int) -> tuple[HistoryEntry, ...]:
        return ()

    async def engaged(self, conversation: ConversationRef) -> bool:
        return False


class Dialogue(ScriptedDialogue):
    """Knows more words: "person" hands over, "long 600" answers with so many characters of three bytes each, and
    "table" with 5,000 that have one."""

    async def respond(self, turn: Turn, show: SnapshotSink) -> TurnResult:
        words = turn.text
        if any(message.command == "person" for message in turn.messages) or "person" in words:
            ticket = ticket_for(turn)
            reply = Reply(outcome=Outcome.HANDOFF, text=f"为您转人工 {ticket.number}", language="zh", ticket=ticket)
            return TurnResult(
                reply=reply, state=DialogueState(language="zh"), effects=(OpenTicket(ticket=ticket),), engine="script"
            )
        if "long" in words or "table" in words:
            self.seen.append(turn)
            said = long_answer() if "table" in words else _sentences(int(words.split("long ")[1].split()[0]))
            return TurnResult(
                reply=Reply(outcome=Outcome.ANSWERED, text=said, language="zh", actions=(ReplyAction.FEEDBACK,)),
                state=DialogueState(language="zh"),
                engine="script",
            )
        return await super().respond(turn, show)


def _sentences(characters: int) -> str:
    return "".join(f"第{number}句话很长。" for number in range(characters))[:characters]


@dataclass(slots=True)
class Rig:
    """A running bot and its WeCom."""

    fake: FakeWeCom
    channel: KfChannel
    house: House
    dialogue: Dialogue
    clock: ShiftedClock
    server: TestServer

    async def until(self, condition: Callable[[], object], seconds: float = 10.0) -> None:
        """Waits until something is so, and not for ever."""
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)

    def passes(self, seconds: float) -> None:
        """So much time, for both sides."""
        self.fake.clock.advance(seconds)
        self.clock.offset += timedelta(seconds=seconds)
        self.fake.kf.skew += int(seconds)

    async def rows(self, statement: str, **values: Any) -> Sequence[Any]:
        """What the database says."""
        return await self.house.database.read(lambda connection: connection.execute(text(statement), values).all())

    async def agent_says(self, customer: str, words: str) -> int:
        """As `kefu tickets reply`, to the newest ticket of the customer; the delivery's number."""
        statement = "SELECT number FROM tickets WHERE person_id = :person ORDER BY created_at DESC"
        number = (await self.rows(statement, person=f"wecom_kf:{customer}"))[0].number
        return await self.house.desk.reply(number, words, agent="小林")

    async def delivery(self, number: int) -> Any:
        return (await self.rows("SELECT * FROM deliveries WHERE id = :number", number=number))[0]


def surroundings(database: Any, clock: ShiftedClock | None = None, *, max_body_bytes: int = 100_000) -> Surroundings:
    return Surroundings(
        clock=clock or ShiftedClock(),
        metrics=Metrics(),
        records=NothingSaid(),
        tickets=NoTickets(),
        database=database,
        public_url="",
        max_message_chars=4000,
        max_body_bytes=max_body_bytes,
    )


def settings_for(fake: FakeWeCom, **settings: object) -> ChannelSettings:
    return ChannelSettings.model_validate(
        {
            "corp_id": fake.corp_id,
            "secret": fake.kf_secret,
            "token": fake.kf.token,
            "aes_key": fake.kf.aes_key,
            "api_url": fake.api_url,
            **settings,
        }
    )


@contextlib.asynccontextmanager
async def open_rig(
    fake: FakeWeCom,
    path: Path,
    *,
    timing: Timing = QUICK,
    dialogue: Dialogue | None = None,
    clock: ShiftedClock | None = None,
    drain_seconds: float = 0.0,
    **settings: object,
) -> AsyncIterator[Rig]:
    """Runs the bot on this database until the context is left."""
    lent, clock, dialogue = Lent(), clock or ShiftedClock(), dialogue or Dialogue()
    around = surroundings(lent, clock)
    channel = await asyncio.to_thread(build, settings_for(fake, **settings), around, timing=timing)
    application = web.Application()
    try:
        async with open_house(path, [channel], dialogue, clock=clock, drain_seconds=drain_seconds) as house:
            lent.database = house.database
            application.add_routes(list(channel.routes(house.inbox)))
            async with TestServer(application) as server:
                fake.kf.url = str(server.make_url(CALLBACK_PATH))
                yield Rig(fake, channel, house, dialogue, clock, server)
    finally:
        await channel.close()


def conversation(customer: str, kf: str = KF) -> ConversationRef:
    return ConversationRef(platform="wecom_kf", account=CORP_ID, channel=kf, thread=customer)


def a_reply(words: str, **about: Any) -> Reply:
    return Reply(**({"outcome": Outcome.ANSWERED, "text": words, "language": "zh", "author": Author.BOT} | about))
