"""A dialogue over three passages, with nothing to load: for tests that need many turns and no particular answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from bot.dialogue import confidence
from bot.dialogue.core import Dialogue
from bot.dialogue.evidence import Evidence
from bot.dialogue.functions.registry import Functions
from bot.dialogue.functions.tickets import ticket_functions
from bot.dialogue.intents import SHIPPED, read_examples
from bot.dialogue.phrases import Phrases
from bot.dialogue.settings import DialogueSettings
from bot.dialogue.ticketing import Ticketing
from bot.dialogue.understanding import Understanding
from bot.messages import Passage
from bot.ports import Engine, Vector
from tests.dialogue.people import CallsInMemory, Customer, StandingClock, TicketsInMemory
from tests.dialogue.samples import EMBEDDER


class LittleKnowledge:
    """Three passages; vectors from the sums of characters, so that nothing has to be loaded."""

    async def search(self, question: str, *, collections: Sequence[str], limit: int) -> tuple[Passage, ...]:
        texts = (
            "满 99 元包邮。不满收 8 元。",
            "Returns are free within 7 days. Keep the box.",
            "| 甲 | 乙 |\n|---|---|\n| 1 | 2 |",
        )
        near = 0.8 + (sum(map(ord, question)) % 17) / 100
        return tuple(
            Passage(
                id=str(n),
                document=str(n),
                collection="default",
                title="运费",
                text=text,
                score=1 - n / 3,
                dense=near - n / 20,
            )
            for n, text in enumerate(texts)
        )

    def expect(self, question: str, *, collections: Sequence[str], limit: int) -> None:
        """Nothing here takes time."""

    async def embed(self, text: str) -> Vector:
        vector = np.zeros(32, dtype=np.float32)
        for char in text:
            vector[ord(char) % 32] += 1
        return vector / max(float(np.linalg.norm(vector)), 1e-6)

    async def embed_many(self, texts: Sequence[str]) -> Vector:
        return np.stack([await self.embed(text) for text in texts])


async def little_understanding() -> Understanding:
    """The shipped examples, in `LittleKnowledge`'s vectors."""
    knowledge = LittleKnowledge()
    examples = await asyncio.to_thread(read_examples, SHIPPED)
    evidence = await asyncio.to_thread(Evidence.load, EMBEDDER)
    calibration = await asyncio.to_thread(confidence.load)
    return Understanding(knowledge, examples, await knowledge.embed_many(examples.texts), evidence, calibration)


def customer_of(engine: Engine, understanding: Understanding, *, settings: DialogueSettings | None = None) -> Customer:
    """Somebody who talks to a dialogue with this engine."""
    settings, tickets, clock = settings or DialogueSettings(), TicketsInMemory(), StandingClock()
    ticketing = Ticketing(tickets=tickets, phrases=Phrases(), settings=settings, clock=clock)
    dialogue = Dialogue(
        knowledge=LittleKnowledge(),
        engine=engine,
        ticketing=ticketing,
        functions=Functions(ticket_functions(ticketing), log=CallsInMemory(), clock=clock),
        understanding=understanding,
        phrases=Phrases(),
        settings=settings,
        clock=clock,
    )
    return Customer(dialogue=dialogue, tickets=tickets)
