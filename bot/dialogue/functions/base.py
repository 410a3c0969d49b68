"""What a function is made of. An author needs this module and nothing else of ours."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict

from bot.errors import OperatorError
from bot.messages import ConversationRef, Language, Sender, Ticket
from bot.ports import Clock

DEFAULT_SECONDS = 10.0
MAX_SECONDS = 25.0
"""A turn leaves its functions 30 s (`bot.answering.TURN_MARGIN_SECONDS`), which has to hold a search as well."""

Offered: TypeAlias = Literal["always", "on a wish", "with a ticket"]

_NAME = re.compile(r"[a-z][a-z0-9_]{2,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One text in every language the house has."""

    zh: str
    en: str

    def say(self, language: Language) -> str:
        """The text in this language."""
        return self.zh if language == "zh" else self.en


class Arguments(BaseModel):
    """Arguments of one function, strict: an unknown name or a wrong type is refused, never mended.

    Every field is annotated with `Words` that tell a model what belongs there:
    `order_no: Annotated[str, Words(zh="订单号", en="Order number"), Field(max_length=40)]`. Who calls is never one of
    them: a function is told by its `Caller`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whom a function acts for: the turn's sender, whatever a model, a document or a message says."""

    sender: Sender
    """As the platform authenticated them; `sender.id` ("telegram:123") is the identity, the name is none."""
    conversation: ConversationRef
    language: Language
    """What to speak."""
    turn_id: str
    key: str
    """The same for one call however often it is tried, at most 300 characters: hand it on as the idempotency key."""
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketWish:
    """A ticket that should be opened with the turn. What is left empty is looked for in the customer's words."""

    issue: str
    """What it is about; its first sentence becomes the subject."""
    contact: str = ""
    order_no: str = ""
    urgency: Literal["low", "normal", "high"] = "normal"
    kind: Literal["ticket", "person", "complaint"] = "ticket"
    """What the customer is told: that a ticket was opened, that a person will join them, or that we are sorry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a function found or did."""

    text: str = ""
    """For the customer, Markdown, in the caller's language; "" leaves it to the words about `wish`."""
    wish: TicketWish | None = None
    """A ticket to be opened. Unless the customer's own words ask for one, they are asked first."""
    ticket: Ticket | None = None
    """The ticket that the text is about, if it is about one."""


A = TypeVar("A", bound=Arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Function(Generic[A]):
    """Something that can be done for a customer.

    :raises OperatorError: it is not declared completely; one line that says what is missing.
    """

    name: str
    """Small letters, digits and underscores; what a model calls it by."""
    description: Words
    """For the model: when to call it, and when not to."""
    arguments: type[A]
    run: Callable[[A, Caller], Awaitable[Result]]
    """Does it. Whatever it raises, the customer reads a polite sentence; it must let CancelledError pass."""
    changes: bool
    """Whether it changes anything outside. If so, the customer is shown `action` and has to say yes, and it is run once
    at most; if not, it is a look-up, run at once and again after a crash."""
    action: Callable[[A], Words] | None = None
    """What it is about to change, with the arguments filled in ("cancel order 1001"): plain words, no Markdown."""
    audience: frozenset[str] = frozenset()
    """The collections whose readers may call it (`<channel>.collections`); empty for everybody."""
    offered: Offered = "always"
    """In which turns a model may call it: in all, where the customer's own words come near a wish for a ticket or a
    person, or where the customer has a ticket that is not closed."""
    seconds: float = DEFAULT_SECONDS
    """How long it may take, at most 25."""

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise OperatorError(f"the function {self.name[:64]!r} {problem}")

    def _problem(self) -> str:
        if not _NAME.fullmatch(self.name):
            return "needs a name of 3 to 64 small letters, digits and underscores"
        for name in self.arguments.model_fields:
            if self.meaning(name) is None:
                return f"has the argument {name}, which is not annotated with Words"
        if not 0 < self.seconds <= MAX_SECONDS:
            return f"must have a time limit of more than 0 and at most {MAX_SECONDS:g} seconds"
        if self.changes and self.action is None:
            return "changes something, so it needs `action`, which the customer is asked to confirm"
        if self.action is not None and not self.changes:
            return "has an `action` to confirm, but says that it changes nothing"
        return ""

    def meaning(self, argument: str) -> Words | None:
        """What a model is told of one argument."""
        metadata = self.arguments.model_fields[argument].metadata
        return next((part for part in metadata if isinstance(part, Words)), None)
