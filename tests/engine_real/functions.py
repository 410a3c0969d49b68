"""Functions for a model to call: the product's own, and one with every form of argument that can be constrained."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.dialogue.functions.base import Arguments, Caller, Function, Result, Words
from bot.dialogue.functions.registry import Functions
from bot.dialogue.functions.tickets import CreateSupportTicket, HandToPerson, TicketStatus, ticket_functions
from bot.dialogue.phrases import Phrases
from bot.dialogue.settings import DialogueSettings
from bot.dialogue.ticketing import Ticketing
from bot.errors import BadOutput
from bot.messages import FunctionCall, FunctionSpec, Language
from tests.dialogue.people import CallsInMemory, StandingClock, TicketsInMemory

COLLECTIONS = ("default",)
PLAN_DELIVERY = "plan_delivery"
MEANING = Words(zh="配送信息", en="About the delivery")


class Strict(BaseModel):
    """As every argument model: what is unknown or of another type is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Address(Strict):
    city: Annotated[str, Field(min_length=1, max_length=20)]
    street: Annotated[str, Field(max_length=40)] = ""
    kind: Literal["home", "work"]


class Item(Strict):
    number: Annotated[str, Field(min_length=2, max_length=12)]
    count: int = 1
    weight: float | None = None


class PlanDelivery(Arguments):
    """Nested objects, enums, constants, references, lists, numbers, and arguments that may be missing."""

    version: Annotated[Literal[2], MEANING]
    address: Annotated[Address, MEANING]
    second: Annotated[Address | None, MEANING] = None
    items: Annotated[list[Item], MEANING, Field(min_length=1, max_length=3)]
    tags: Annotated[list[Annotated[str, Field(max_length=8)]], MEANING, Field(max_length=2)] = Field(
        default_factory=list
    )
    express: Annotated[bool, MEANING]
    note: Annotated[str, MEANING, Field(max_length=30)] = ""


async def _plan(arguments: PlanDelivery, caller: Caller) -> Result:
    raise AssertionError("it is only ever called by a model, and nothing is done about that here")


def registry() -> Functions:
    """All of them."""
    clock = StandingClock()
    ticketing = Ticketing(tickets=TicketsInMemory(), phrases=Phrases(), settings=DialogueSettings(), clock=clock)
    plan = Function(
        name=PLAN_DELIVERY, description=Words(zh="安排一次配送。", en="Plans a delivery."), arguments=PlanDelivery,
        run=_plan, changes=False,
    )  # fmt: skip
    return Functions((*ticket_functions(ticketing), plan), log=CallsInMemory(), clock=clock)


def specs(language: Language) -> tuple[FunctionSpec, ...]:
    """As an engine is told of them; the test's own is the last."""
    return registry().specs(language, COLLECTIONS, wish=1.0, has_ticket=True)


def check(call: FunctionCall) -> None:
    """As the dialogue does before a call is made, but for one thing: random weights write bytes that are no characters,
    which the constraint does not count and a reader sees as U+FFFD. A string that is too long by them is let pass.

    :raises bot.errors.BadOutput: there is no such function, or its arguments are not valid.
    """
    try:
        registry().parse(call, COLLECTIONS)
    except BadOutput:
        if call.name not in _ARGUMENTS:
            raise
        with pytest.raises(ValidationError) as found:
            _ARGUMENTS[call.name].model_validate(dict(call.arguments))
        for error in found.value.errors():
            if error["type"] != "string_too_long" or "\ufffd" not in error["input"]:
                raise


_ARGUMENTS: dict[str, type[Arguments]] = {
    "create_support_ticket": CreateSupportTicket, "ticket_status": TicketStatus, "hand_to_person": HandToPerson,
    PLAN_DELIVERY: PlanDelivery,
}  # fmt: skip
