"""What can be done for a customer besides answering: open a ticket, tell how one stands, bring in a person.

A function acts with the identity of the turn's sender and no other, whoever called it; its arguments come from the
customer's words or from a model, and are checked alike. Nothing here stores anything: a turn returns effects.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.dialogue.details import contact_in, order_in, subject_of, urgency_in
from bot.dialogue.phrases import Phrase, Phrases
from bot.dialogue.rules import ticket_numbers
from bot.dialogue.settings import DialogueSettings
from bot.dialogue.text import clean, excerpt
from bot.errors import BadOutput
from bot.messages import (
    AgentSaid,
    BotSaid,
    CustomerSaid,
    Effect,
    FunctionCall,
    FunctionReturned,
    FunctionSpec,
    HistoryEntry,
    Language,
    OpenTicket,
    Outcome,
    Reply,
    ReplyAction,
    Ticket,
    TicketState,
    Turn,
)
from bot.ports import Clock, Tickets

_TRANSCRIPT_LINE_CHARS = 500
_STATUS_LIMIT = 5
"""Tickets told about in one reply."""


class Arguments(BaseModel):
    """Arguments of one function, strict: an unknown name or a wrong type is refused, never mended."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    function: ClassVar[str]
    description: ClassVar[dict[Language, str]]
    fields: ClassVar[dict[str, dict[Language, str]]]


class CreateSupportTicket(Arguments):
    function: ClassVar[str] = "create_support_ticket"
    description: ClassVar[dict[Language, str]] = {
        "zh": "客户明确要求登记工单、投诉，或同意由同事跟进时，登记一个工单。不要为普通问题登记。",
        "en": "Opens a ticket when the customer clearly asks for one, complains, or agrees that a colleague follows "
        "up. Never for an ordinary question.",
    }
    fields: ClassVar[dict[str, dict[Language, str]]] = {
        "issue": {"zh": "客户遇到的问题，用客户自己的话", "en": "The problem, in the customer's own words"},
        "contact": {
            "zh": "客户给出的电话或邮箱，没有就留空",
            "en": "Telephone or e-mail the customer gave, else empty",
        },
        "order_no": {"zh": "客户提到的订单号，没有就留空", "en": "Order number the customer mentioned, else empty"},
        "urgency": {"zh": "紧急程度", "en": "How urgent it is"},
    }

    issue: Annotated[str, Field(min_length=1, max_length=4000)]
    contact: Annotated[str, Field(max_length=200)] = ""
    order_no: Annotated[str, Field(max_length=64)] = ""
    urgency: Literal["low", "normal", "high"] = "normal"


class TicketStatus(Arguments):
    function: ClassVar[str] = "ticket_status"
    description: ClassVar[dict[Language, str]] = {
        "zh": "客户询问自己的某个工单时，查询它的进度。",
        "en": "Tells how one of the customer's own tickets stands when they ask about it.",
    }
    fields: ClassVar[dict[str, dict[Language, str]]] = {
        "ticket": {"zh": "工单编号", "en": "The ticket's number"},
    }

    ticket: Annotated[str, Field(min_length=3, max_length=64)]


class HandToPerson(Arguments):
    function: ClassVar[str] = "hand_to_person"
    description: ClassVar[dict[Language, str]] = {
        "zh": "客户明确要求和真人沟通时，转给人工客服。",
        "en": "Passes the conversation to a person when the customer clearly asks for one.",
    }
    fields: ClassVar[dict[str, dict[Language, str]]] = {
        "reason": {"zh": "客户希望人工处理什么", "en": "What the person should help with"},
    }

    reason: Annotated[str, Field(max_length=4000)] = ""


_ALL: tuple[type[Arguments], ...] = (CreateSupportTicket, TicketStatus, HandToPerson)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a function did: the reply that says so, and what becomes true with the turn."""

    reply: Reply
    effects: tuple[Effect, ...] = ()
    returned: FunctionReturned


@cache
def _specs(language: Language) -> tuple[FunctionSpec, ...]:
    # Kept: making the schemas took a third of a turn's computing.
    return tuple(
        FunctionSpec(name=kind.function, description=kind.description[language], parameters=_schema(kind, language))
        for kind in _ALL
    )


class Functions:
    """The registry: what a model may call, and the one way a call is carried out."""

    def __init__(self, *, tickets: Tickets, phrases: Phrases, settings: DialogueSettings, clock: Clock) -> None:
        self._tickets = tickets
        self._phrases = phrases
        self._settings = settings
        self._clock = clock

    def specs(self, language: Language) -> tuple[FunctionSpec, ...]:
        """The functions as an engine is told of them, described in the conversation's language."""
        return _specs(language)

    def parse(self, call: FunctionCall) -> Arguments:
        """The call with its arguments checked.

        :raises BadOutput: there is no such function, or it does not take these arguments.
        """
        kind = next((kind for kind in _ALL if kind.function == call.name), None)
        if kind is None:
            raise BadOutput("the engine called a function that does not exist")
        try:
            return kind.model_validate(dict(call.arguments))
        except (ValidationError, TypeError, ValueError) as error:
            # The cause is cut off: its text quotes the arguments, which are the customer's words.
            raise BadOutput(f"the engine's arguments for {kind.function} are not valid") from (
                None if isinstance(error, ValidationError) else error
            )

    async def perform(self, arguments: Arguments, turn: Turn, language: Language) -> Done:
        """Carries out one call for the turn's sender."""
        if isinstance(arguments, CreateSupportTicket):
            return self.open_ticket(arguments, turn, language)
        if isinstance(arguments, HandToPerson):
            return self.hand_over(arguments, turn, language)
        assert isinstance(arguments, TicketStatus)
        numbers = ticket_numbers(arguments.ticket.upper(), prefix=self._settings.ticket_prefix)
        return await self.status(numbers or (arguments.ticket.upper(),), turn, language)

    def open_ticket(
        self, arguments: CreateSupportTicket, turn: Turn, language: Language, *, complaint: bool = False
    ) -> Done:
        """A ticket about an issue, or a complaint."""
        phrase = Phrase.COMPLAINT if complaint else Phrase.TICKET_OPENED
        return self._opened(arguments, turn, language, phrase=phrase, outcome=Outcome.TICKET)

    def hand_over(self, arguments: HandToPerson, turn: Turn, language: Language) -> Done:
        """A ticket that asks a person to join the conversation."""
        wanted = self._phrases.say(Phrase.PERSON_WANTED, language)
        issue = f"{wanted}：{arguments.reason}" if language == "zh" else f"{wanted}: {arguments.reason}"
        ticket = CreateSupportTicket(issue=issue[:4000] if arguments.reason else wanted)
        return self._opened(
            ticket, turn, language, phrase=Phrase.HANDOFF, outcome=Outcome.HANDOFF, function=HandToPerson.function
        )

    async def status(self, numbers: tuple[str, ...], turn: Turn, language: Language) -> Done:
        """How tickets stand, to their owner; to anybody else each is one that does not exist."""
        lines: list[str] = []
        shown: Ticket | None = None
        for number in numbers[:_STATUS_LIMIT]:
            ticket = await self._tickets.find(number, requester=turn.sender.id)
            shown = ticket or shown
            lines.append(
                self._line(ticket, language)
                if ticket
                else self._phrases.say(Phrase.TICKET_UNKNOWN, language, number=excerpt(number, 40))
            )
        return self._told(lines, shown, turn, language)

    async def own_tickets(self, turn: Turn, language: Language) -> Done:
        """How the sender's newest tickets stand, for somebody who gives no number: those still open, else the last."""
        recent = await self._tickets.recent(requester=turn.sender.id, limit=_STATUS_LIMIT)
        pending = [ticket for ticket in recent if ticket.state is not TicketState.CLOSED] or list(recent[:1])
        lines = [self._line(ticket, language) for ticket in pending]
        return self._told(
            lines or [self._phrases.say(Phrase.NO_TICKETS, language)], pending[0] if pending else None, turn, language
        )

    def _line(self, ticket: Ticket, language: Language) -> str:
        return self._phrases.status(
            ticket.state,
            language,
            number=ticket.number,
            subject=excerpt(ticket.subject, 30),
            due_at=ticket.due_at,
            now=self._clock.now(),
        )

    def _told(self, lines: list[str], ticket: Ticket | None, turn: Turn, language: Language) -> Done:
        text = "\n".join(lines)
        return Done(
            reply=Reply(
                outcome=Outcome.STATUS,
                text=text,
                language=language,
                confidence=1.0,
                ticket=ticket,
                actions=(ReplyAction.TALK_TO_PERSON,),
                turn_id=turn.id,
            ),
            returned=FunctionReturned(name=TicketStatus.function, result=text, at=self._clock.now()),
        )

    def _opened(
        self,
        arguments: CreateSupportTicket,
        turn: Turn,
        language: Language,
        *,
        phrase: Phrase,
        outcome: Outcome,
        function: str = CreateSupportTicket.function,
    ) -> Done:
        now = self._clock.now()
        said = "\n".join([turn.text, *_own_words(turn.history)])
        issue = clean(arguments.issue) or self._phrases.say(Phrase.ISSUE_UNSAID, language)
        ticket = Ticket(
            number=self._tickets.new_number(),
            subject=subject_of(issue),
            state=TicketState.OPEN,
            requester=turn.sender.id,
            requester_name=turn.sender.name,
            conversation=turn.conversation,
            transcript=self._transcript(turn, language),
            contact=arguments.contact or contact_in(said),
            order_no=arguments.order_no or order_in(said),
            urgency="high" if phrase is Phrase.COMPLAINT else max(arguments.urgency, urgency_in(turn.text), key=_rank),
            created_at=now,
            updated_at=now,
            due_at=now + timedelta(hours=self._settings.sla_hours),
        )
        within = self._phrases.within(ticket.due_at - now, language)
        return Done(
            reply=Reply(
                outcome=outcome,
                text=self._phrases.say(phrase, language, number=ticket.number, within=within),
                language=language,
                confidence=1.0,
                ticket=ticket,
                turn_id=turn.id,
            ),
            effects=(OpenTicket(ticket=ticket),),
            returned=FunctionReturned(name=function, result=ticket.number, at=now),
        )

    def _transcript(self, turn: Turn, language: Language) -> tuple[str, ...]:
        """The recent past and this turn, a line a message, oldest first."""
        past = [entry for entry in turn.history if not isinstance(entry, FunctionReturned)]
        now = [
            CustomerSaid(
                text=message.text or self._phrases.attachments(message.attachments, language), at=message.sent_at
            )
            for message in turn.messages
        ]
        entries = [*past[-2 * self._settings.history_turns :], *now]
        return tuple(
            self._phrases.say(_SPEAKERS[type(entry)], language, text=excerpt(clean(entry.text), _TRANSCRIPT_LINE_CHARS))
            for entry in entries
            if entry.text
        )


_SPEAKERS: dict[type[HistoryEntry], Phrase] = {
    CustomerSaid: Phrase.CUSTOMER_LINE,
    BotSaid: Phrase.BOT_LINE,
    AgentSaid: Phrase.AGENT_LINE,
}


def _own_words(history: tuple[HistoryEntry, ...]) -> list[str]:
    """What the customer said before, newest first: a telephone number given now counts before one given earlier."""
    return [entry.text for entry in reversed(history) if isinstance(entry, CustomerSaid)]


def _rank(urgency: str) -> int:
    return ("low", "normal", "high").index(urgency)


def _schema(kind: type[Arguments], language: Language) -> dict[str, Any]:
    schema = kind.model_json_schema()
    schema.pop("title", None)
    schema.pop("description", None)
    for name, field in schema["properties"].items():
        field.pop("title", None)
        field["description"] = kind.fields[name][language]
    return schema
