"""F21: a model that says anything. No function acts on arguments that are not valid, nobody waits for a third try,
everybody gets an answer (P15)."""

from __future__ import annotations

import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from bot.dialogue.settings import DialogueSettings
from bot.engine.extractive import ExtractiveEngine
from bot.engine.fallback import FallbackEngine
from bot.engine.openai_server import Patience
from bot.engine.output import MAX_CHARS, OutputReader, SaidAnswer, SaidCall, read_output
from bot.errors import BadOutput
from bot.messages import OpenTicket, Outcome, TurnResult
from tests.dialogue.little import customer_of, little_understanding
from tests.dialogue.people import Customer, StandingClock
from tests.engine.openai_runs import engine_for
from tests.fakes.openai_api import Answer, Call, FakeOpenAI, Said
from tests.faults import seeds
from tests.faults.broken_outputs import BrokenModel

READ = 10_000
TURNS = 200
TURNS_LONG = 10_000
QUESTIONS = ("运费怎么算", "满多少包邮", "How long do I have for returns", "退货要自己付运费吗")


def test_ten_thousand_outputs_are_read_or_refused() -> None:
    chance, report = seeds.begin("F21 reading")
    model = BrokenModel(chance)
    answers = calls = refused = 0
    began = time.perf_counter()
    for _ in range(READ):
        text = model.says()
        try:
            said = _read_in_pieces(text, chance)
        except BadOutput as error:
            refused += 1
            assert len(str(error)) < 200, "what is wrong, not what was said"
            continue
        if isinstance(said, SaidCall):
            calls += 1
            assert said.arguments == _strictly(text)["arguments"], "nothing was mended"
        else:
            answers += 1
            assert said.text == _strictly(text)["response"]
    report.counts |= {"answers": answers, "calls": calls, "refused": refused}
    report["seconds"] = round(time.perf_counter() - began, 1)
    report.print()
    assert answers > READ // 100 and calls > READ // 100 and refused > READ // 2


def _read_in_pieces(text: str, chance: random.Random) -> SaidAnswer | SaidCall:
    """As an engine does; the whole text at once has to come to the same."""
    reader, shown, at = OutputReader(), "", 0
    longest = max(len(text) // 200, chance.choice([3, 30, 300]))
    while at < len(text):
        size = chance.randrange(1, longest + 1)
        snapshot = reader.feed(text[at : at + size])
        at += size
        if snapshot is not None:
            assert snapshot.startswith(shown) and len(snapshot) > len(shown)
            snapshot.encode()  # raises on half a surrogate pair
            shown = snapshot
    assert len(reader.text) <= MAX_CHARS
    said = reader.end()
    assert said == read_output(text)
    assert not shown or (isinstance(said, SaidAnswer) and said.text.startswith(shown))
    return said


def _strictly(text: str) -> Any:
    """By another parser, after taking away exactly what may stand around."""
    bare = text.strip()
    for before, after in (("<tool_call>", "</tool_call>"), ("```json\n", "```"), ("```\n", "```")):
        if bare.startswith(before) and bare.endswith(after):
            bare = bare[len(before) : -len(after)]
    found = json.loads(bare)
    if isinstance(found.get("arguments"), str):
        found["arguments"] = json.loads(found["arguments"])
    return found


async def test_two_hundred_turns_with_a_broken_model_are_answered() -> None:
    await _turns(TURNS)


@pytest.mark.faults
@pytest.mark.timeout(900)
async def test_ten_thousand_turns_with_a_broken_model_are_answered() -> None:
    await _turns(TURNS_LONG)


async def _turns(count: int) -> None:
    chance, report = seeds.begin("F21 turns")
    model = BrokenModel(chance)
    outcomes: dict[str, int] = {}
    acted = most = 0
    async with _house() as (server, customer):
        for number in range(count):
            said: list[Answer] = [_reply(model, chance) for _ in range(4)]
            server.answers, asked = [*said], len(server.requests)
            result = await customer.say(chance.choice(QUESTIONS))
            customer.history, customer.state = (), type(customer.state)()
            tries = len(server.requests) - asked
            most = max(most, tries)
            assert 1 <= tries <= 2, f"turn {number}: {tries} requests"
            _assert_answered(result)
            if _acts(result):
                acted += 1
                assert any(_is_valid(reply) for reply in said[:tries]), f"turn {number} acted on nothing"
            assert result.reply is not None
            outcomes[result.reply.outcome] = outcomes.get(result.reply.outcome, 0) + 1
        assert server.malformed == []
        assert server.running == 0
    report.counts |= {"turns": count, "acted": acted, "most_requests": most} | outcomes
    report.print()
    assert outcomes[Outcome.ANSWERED] > count // 2
    assert acted > 0, "valid calls are among what is said, and have to act"


def _reply(model: BrokenModel, chance: random.Random) -> Said:
    """As text, or in the API's own form of a call."""
    text = model.says()[: 4 * MAX_CHARS]  # the rest of 10 MB is not read either, and would only be sent
    size = max(len(text) // 100, chance.choice([3, 30, 300]))
    if chance.random() < 0.7:
        return Said(text, size=size)
    names = ["create_support_ticket", "ticket_status", "hand_to_person", "drop_tables", ""]
    calls = [
        Call(name=chance.choice(names), arguments=text, id=f"call_{index}")
        for index in range(chance.choice([1, 1, 1, 2]))
    ]
    return Said(chance.choice(["", "好的。", text]), calls=calls, size=size)


def _assert_answered(result: TurnResult) -> None:
    reply = result.reply
    assert reply is not None and reply.text.strip()
    assert reply.outcome is not Outcome.ERROR
    for trace in ("Traceback", "tool_call", '"response"', "BadOutput", "confidence", "\x00"):
        assert trace not in reply.text


def _acts(result: TurnResult) -> bool:
    """Whether a function did something, or asked the customer whether it may. A plain question is answered or refused
    where no function is called."""
    assert result.reply is not None
    done = bool(result.functions) or any(isinstance(effect, OpenTicket) for effect in result.effects)
    return done or result.reply.outcome not in (Outcome.ANSWERED, Outcome.REFUSED)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _CreateSupportTicket(_Strict):
    issue: str = Field(min_length=1, max_length=4000)
    contact: str = Field(default="", max_length=200)
    order_no: str = Field(default="", max_length=64)
    urgency: Literal["low", "normal", "high"] = "normal"


class _TicketStatus(_Strict):
    ticket: str = Field(min_length=3, max_length=64)


class _HandToPerson(_Strict):
    reason: str = Field(default="", max_length=4000)


_FUNCTIONS: dict[str, type[_Strict]] = {
    "create_support_ticket": _CreateSupportTicket,
    "ticket_status": _TicketStatus,
    "hand_to_person": _HandToPerson,
}
"""What the functions take, said here once more: the product's own word would judge itself."""


def _is_valid(reply: Said) -> bool:
    """Whether this is one call, whole and with arguments that pydantic takes strictly."""
    if len(reply.calls) > 1:
        return False
    try:
        if reply.calls:
            [call] = reply.calls
            found = {"name": call.name, "arguments": json.loads(call.arguments or "{}")}
        else:
            found = _strictly(reply.text)
        _FUNCTIONS[found["name"]].model_validate(found["arguments"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return True


@asynccontextmanager
async def _house() -> AsyncIterator[tuple[FakeOpenAI, Customer]]:
    """A customer, the dialogue, the engine with its fallback, and the server."""
    async with FakeOpenAI(Said("")) as server:
        model = engine_for(server, patience=Patience())  # a stall of this machine is no silence of the server
        engine = FallbackEngine(model, ExtractiveEngine(), clock=StandingClock(), timeout_seconds=10.0)
        await engine.start()
        # Whatever is said counts as an answer: the question here is what is read and done.
        settings = DialogueSettings(min_confidence=0.0)
        yield server, customer_of(engine, await little_understanding(), settings=settings)
        await engine.close()
