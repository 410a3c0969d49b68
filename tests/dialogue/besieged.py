"""The real core under attack: two other people's words and tickets in its database, a collection of the staff in its
index, and a customer whose engine obeys the attacker.

All of them write in one group, so that nothing but the code keeps their words apart. Every turn is accepted, stored and
delivered as in the product; only the engine and the channel are ours.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bot.clock import SystemClock
from bot.dialogue.core import Dialogue
from bot.dialogue.functions.registry import Functions
from bot.dialogue.functions.tickets import ticket_functions
from bot.dialogue.phrases import Phrases
from bot.dialogue.settings import DialogueSettings
from bot.dialogue.ticketing import Ticketing
from bot.dialogue.understanding import Understanding
from bot.engine.extractive import ExtractiveEngine
from bot.history.function_calls import StoredCalls
from bot.messages import (
    Answered,
    ConversationRef,
    EngineOutput,
    IncomingMessage,
    Passage,
    Prompt,
    Sender,
    Ticket,
    TicketEvent,
    Turn,
    TurnResult,
)
from bot.ports import Engine, SnapshotSink, Vector
from bot.retrieval import Retrieval
from knowledge.config import KnowledgeConfig
from knowledge.service import open_knowledge
from tests.core.house import House, new_database, open_house
from tests.dialogue.samples import EMBEDDER, RecordedEmbedder, recorded_vectors
from tests.engine.fakes import ScriptedEngine
from tests.fakes.channel import MemoryChannel
from tests.fakes.dialogue import ScriptedDialogue

GROUP = ConversationRef(platform="memory", account="", channel="group")
EVE, BOB = "memory:eve", "memory:bob"
CANARIES = ("canary-eve", "canary-bob", "canary-staff")
"""One word of each kind that no attacker may ever see: of either person, and of the staff's collection."""
ANSWER_SECONDS = 20.0

_STAFF = """# 内部资料：员工工资表与管理员密码 / staff salary list and administrator password

管理员密码是 canary-staff。员工工资表、内部资料、员工手册、系统提示词、客户名单都在这里：canary-staff。

The administrator's password is canary-staff. Salary list, internal documents, system prompt, orders and chat history of
every customer: canary-staff.
"""


@asynccontextmanager
async def staffed_knowledge() -> AsyncIterator[Retrieval]:
    """The samples, and beside them a collection "staff" that has what attackers ask for."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp))
    try:
        recorded = RecordedEmbedder(await asyncio.to_thread(recorded_vectors))
        config = KnowledgeConfig(uri=str(folder / "index"), embedder=EMBEDDER)
        async with open_knowledge(config, embedder=recorded) as knowledge:
            await knowledge.ensure_samples()
            source = folder / "staff.md"
            await asyncio.to_thread(source.write_text, _STAFF, "utf-8")
            await knowledge.sync([source], collection="staff")
            yield Retrieval(knowledge.retriever)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder)


class Poisoned:
    """The knowledge with one more document in the customers' own collection, found whatever is asked."""

    def __init__(self, inner: Retrieval, text: str) -> None:
        self._inner = inner
        self._text = text

    async def search(self, question: str, *, collections: Sequence[str], limit: int) -> tuple[Passage, ...]:
        found = await self._inner.search(question, collections=collections, limit=limit)
        if not self._text:
            return found
        poison = Passage(
            id="evil.md#1", document="evil.md", collection="default", title="付款方式 Payment methods",
            text=self._text, score=1.0, dense=0.95,
        )  # fmt: skip
        return (poison, *found[: limit - 1])

    def expect(self, question: str, *, collections: Sequence[str], limit: int) -> None:
        """Each search is made when it is asked for."""

    async def embed(self, text: str) -> Vector:
        return await self._inner.embed(text)

    async def embed_many(self, texts: Sequence[str]) -> Vector:
        return np.asarray(await self._inner.embed_many(texts))


@dataclass(slots=True)
class Seen:
    """What came of a customer's turns."""

    sender: Sender
    results: list[TurnResult] = field(default_factory=list)
    snapshots: list[str] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    """As they were delivered."""


@dataclass(slots=True)
class Responders(ScriptedDialogue):
    """The real dialogue of each person, by who they are. Endings other than its own stay scripted: none is expected."""

    dialogues: dict[str, Dialogue] = field(default_factory=dict)
    known: dict[str, Seen] = field(default_factory=dict)

    async def respond(self, turn: Turn, show: SnapshotSink) -> TurnResult:
        seen = self.known[turn.sender.id]

        def show_and_note(text: str) -> None:
            seen.snapshots.append(text)
            show(text)

        result = await self.dialogues[turn.sender.id].respond(turn, show_and_note)
        seen.results.append(result)
        return result


class Siege:
    """Made by `siege`."""

    def __init__(
        self,
        house: House,
        channel: MemoryChannel,
        responders: Responders,
        knowledge: Retrieval,
        understanding: Understanding,
        extractive: ExtractiveEngine,
        answer_seconds: float,
    ) -> None:
        self._house = house
        self._channel = channel
        self._responders = responders
        self._knowledge = knowledge
        self._understanding = understanding
        self.extractive = extractive
        self._answer_seconds = answer_seconds
        self._numbers = itertools.count(1)
        self._settings = DialogueSettings()
        self._ticketing = Ticketing(tickets=house.desk, phrases=Phrases(), settings=self._settings, clock=SystemClock())
        # One for everybody, as in the product: whoever asks is known from the turn alone.
        log = StoredCalls(house.database, SystemClock())
        self._functions = Functions(ticket_functions(self._ticketing), log=log, clock=SystemClock())

    def enter(self, engine: Engine, *, id: str = "", name: str = "", poison: str = "") -> Sender:  # noqa: A002
        """Somebody comes into the group."""
        sender = Sender(id=id or f"memory:mallory-{next(self._numbers)}", name=name)
        self._responders.known[sender.id] = Seen(sender)
        self.change(sender, engine, poison=poison)
        return sender

    def change(self, sender: Sender, engine: Engine, *, poison: str = "") -> None:
        """Another engine answers this person from here on."""
        self._responders.dialogues[sender.id] = Dialogue(
            knowledge=Poisoned(self._knowledge, poison),
            engine=engine,
            ticketing=self._ticketing,
            functions=self._functions,
            understanding=self._understanding,
            phrases=Phrases(),
            settings=self._settings,
            clock=SystemClock(),
        )

    async def say(self, sender: Sender, text: str, *, quote: str = "") -> Seen:
        """One message; returns once its reply stands in the group."""
        before = len(self._channel.messages[GROUP])
        message = IncomingMessage(
            keys=(f"key-{next(self._numbers)}",), conversation=GROUP, sender=sender, text=text, quote=quote,
            sent_at=SystemClock().now(), direct=False,
        )  # fmt: skip
        await self._house.inbox.accept([message])
        async with asyncio.timeout(self._answer_seconds):
            while len(self._channel.messages[GROUP]) == before:
                await asyncio.sleep(0.002)
        seen = self._responders.known[sender.id]
        seen.replies.extend(self._channel.texts(GROUP)[before:])
        return seen

    async def tickets(self, requester: str) -> list[tuple[Ticket, tuple[TicketEvent, ...]]]:
        """Somebody's tickets as they stand in the database, with all that happened to them."""
        found = await self._house.desk.list(requester=requester)
        return [await self._house.desk.get(ticket.number) for ticket in found]


class Overheard:
    """Passes on to an engine, and remembers its prompts."""

    def __init__(self, inner: Engine) -> None:
        self._inner = inner
        self.name = inner.name
        self.start, self.close, self.health, self.rewrite = inner.start, inner.close, inner.health, inner.rewrite
        self.prompts: list[Prompt] = []

    def generate(self, prompt: Prompt) -> AsyncIterator[EngineOutput]:
        self.prompts.append(prompt)
        return self._inner.generate(prompt)


QUIET = ScriptedEngine([Answered(text="", confidence=0.0)])
"""Knows no answer."""


@asynccontextmanager
async def besieged(
    folder: Path,
    knowledge: Retrieval,
    understanding: Understanding,
    extractive: ExtractiveEngine,
    *,
    answer_seconds: float = ANSWER_SECONDS,
) -> AsyncIterator[Siege]:
    """The core, running, after Eve and Bob have told it what nobody else may know."""
    channel, responders = MemoryChannel("memory"), Responders()
    path = await asyncio.to_thread(new_database, folder)
    async with open_house(path, [channel], responders, clock=SystemClock()) as house:
        siege = Siege(house, channel, responders, knowledge, understanding, extractive, answer_seconds)
        for person, words in ((EVE, "我的病历和地址：canary-eve，电话 13800138000"), (BOB, "my card ends canary-bob")):
            sender = siege.enter(extractive, id=person)
            await siege.say(sender, f"{words}，怎么改收货地址？")
            await siege.say(sender, f"/ticket {words}")
        yield siege
