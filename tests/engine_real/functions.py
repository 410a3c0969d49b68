"""Functions for a model to call: the product's own, and one with every form of argument that can be constrained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bot.dialogue.functions import Arguments, CreateSupportTicket, Functions, HandToPerson, TicketStatus
from bot.dialogue.phrases import Phrases
from bot.dialogue.settings import DialogueSettings
from bot.messages import FunctionCall, FunctionSpec, Language
from tests.dialogue.people import StandingClock, TicketsInMemory

OWN: tuple[type[Arguments], ...] = (CreateSupportTicket, TicketStatus, HandToPerson)


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


class PlanDelivery(Strict):
    """Nested objects, enums, constants, references, lists, numbers, and arguments that may be missing."""

    version: Literal[2]
    address: Address
    second: Address | None = None
    items: Annotated[list[Item], Field(min_length=1, max_length=3)]
    tags: Annotated[list[Annotated[str, Field(max_length=8)]], Field(max_length=2)] = Field(default_factory=list)
    express: bool
    note: Annotated[str, Field(max_length=30)] = ""


PLAN_DELIVERY = FunctionSpec(
    name="plan_delivery", description="Plans a delivery.", parameters=PlanDelivery.model_json_schema()
)
MODELS: dict[str, type[BaseModel]] = {kind.function: kind for kind in OWN} | {"plan_delivery": PlanDelivery}


def own(language: Language) -> tuple[FunctionSpec, ...]:
    """The product's functions as an engine is told of them."""
    return _registry().specs(language)


def check(call: FunctionCall) -> None:
    """As the dialogue does before it performs a call.

    :raises bot.errors.BadOutput: the arguments are not valid.
    :raises pydantic.ValidationError: nor are those of the test's own function.
    """
    if call.name == PLAN_DELIVERY.name:
        PlanDelivery.model_validate(dict(call.arguments))
    else:
        _registry().parse(call)


def _registry() -> Functions:
    return Functions(tickets=TicketsInMemory(), phrases=Phrases(), settings=DialogueSettings(), clock=StandingClock())
