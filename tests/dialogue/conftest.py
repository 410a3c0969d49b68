"""The sample knowledge is indexed once for all tests here; they share one event loop with it."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from bot.dialogue.core import Dialogue
from bot.dialogue.functions.base import Function
from bot.dialogue.functions.registry import Functions
from bot.dialogue.functions.tickets import ticket_functions
from bot.dialogue.phrases import Phrases
from bot.dialogue.settings import DialogueSettings
from bot.dialogue.ticketing import Ticketing
from bot.dialogue.understanding import Understanding
from bot.engine.extractive import ExtractiveEngine
from bot.ports import Engine, Knowledge
from bot.retrieval import Retrieval
from tests.dialogue.people import CallsInMemory, Customer, StandingClock, TicketsInMemory
from tests.dialogue.samples import EMBEDDER, opened


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/dialogue/" in item.path.as_posix() and inspect.iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def knowledge() -> AsyncIterator[Retrieval]:
    async with opened() as retrieval:
        yield retrieval


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def understanding(knowledge: Retrieval) -> Understanding:
    return await Understanding.load(knowledge, embedder=EMBEDDER)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def extractive() -> AsyncIterator[ExtractiveEngine]:
    engine = ExtractiveEngine()
    await engine.start()
    yield engine
    await engine.close()


class World:
    """Makes customers of one dialogue; parts can be replaced."""

    def __init__(self, knowledge: Knowledge, understanding: Understanding, engine: Engine) -> None:
        self.knowledge = knowledge
        self.understanding = understanding
        self.engine = engine
        self.tickets = TicketsInMemory()
        self.calls = CallsInMemory()
        self.clock = StandingClock()

    def customer(
        self,
        id: str = "web:ann",  # noqa: A002 - the field's name
        *,
        settings: DialogueSettings | None = None,
        engine: Engine | None = None,
        knowledge: Knowledge | None = None,
        language: str = "",
        collections: tuple[str, ...] = ("default",),
        functions: Sequence[Function[Any]] = (),
    ) -> Customer:
        settings = settings or DialogueSettings()
        phrases = Phrases(refusal=settings.refusal)
        ticketing = Ticketing(tickets=self.tickets, phrases=phrases, settings=settings, clock=self.clock)
        dialogue = Dialogue(
            knowledge=knowledge or self.knowledge,
            engine=engine or self.engine,
            ticketing=ticketing,
            functions=Functions((*ticket_functions(ticketing), *functions), log=self.calls, clock=self.clock),
            understanding=self.understanding,
            phrases=phrases,
            settings=settings,
            clock=self.clock,
        )
        return Customer(dialogue=dialogue, tickets=self.tickets, id=id, language=language, collections=collections)


@pytest.fixture
def world(knowledge: Retrieval, understanding: Understanding, extractive: ExtractiveEngine) -> World:
    return World(knowledge, understanding, extractive)
