"""What the dialogue does with tickets: open one, tell how one stands.

Everything happens with the identity of the turn's sender and no other. Nothing here stores anything: a turn returns
effects.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from bot.dialogue.details import contact_in, order_in, subject_of, urgency_in
from bot.dialogue.functions.base import Result, TicketWish
from bot.dialogue.phrases import Phrase, Phrases
from bot.dialogue.rules import ticket_numbers
from bot.dialogue.settings import DialogueSettings
from bot.dialogue.text import clean, excerpt, literal
from bot.messages import (
    AgentSaid,
    BotSaid,
    CustomerSaid,
    FunctionReturned,
    HistoryEntry,
    Language,
    OpenTicket,
    Outcome,
    PendingCall,
    Reply,
    Ticket,
    TicketState,
    Turn,
)
from bot.ports import Clock, Tickets

CREATE_TICKET = "create_support_ticket"
TICKET_STATUS = "ticket_status"
HAND_TO_PERSON = "hand_to_person"

_MAX_ISSUE_CHARS = 4000
_TRANSCRIPT_LINE_CHARS = 500
_STATUS_LIMIT = 5
"""Tickets told about in one reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A ticket on its way: the reply that says so, and what becomes true with the turn."""

    reply: Reply
    effect: OpenTicket
    returned: FunctionReturned


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """How one kind of ticket is told of."""

    phrase: Phrase
    outcome: Outcome = Outcome.TICKET
    function: str = CREATE_TICKET


_KINDS = {
    "ticket": _Kind(phrase=Phrase.TICKET_OPENED),
    "complaint": _Kind(phrase=Phrase.COMPLAINT),
    "person": _Kind(phrase=Phrase.HANDOFF, outcome=Outcome.HANDOFF, function=HAND_TO_PERSON),
}


class Ticketing:
    """Opens tickets for turns and tells how they stand."""

    def __init__(self, *, tickets: Tickets, phrases: Phrases, settings: DialogueSettings, clock: Clock) -> None:
        self._tickets = tickets
        self._phrases = phrases
        self._settings = settings
        self._clock = clock

    def open(self, wish: TicketWish, turn: Turn, language: Language, *, function: str = "") -> Opened:
        """A ticket as wished for, with all that the conversation says about it.

        :param function: the function that wishes for it; "" for the one that opens this kind of ticket.
        """
        kind = _KINDS[wish.kind]
        issue = clean(wish.issue[:_MAX_ISSUE_CHARS])
        if wish.kind == "person":
            wanted = self._phrases.say(Phrase.PERSON_WANTED, language)
            colon = "：" if language == "zh" else ": "
            issue = f"{wanted}{colon}{issue}" if issue else wanted
        issue = issue or self._phrases.say(Phrase.ISSUE_UNSAID, language)
        ticket = self._ticket(issue, wish, turn, language)
        return self._opened(ticket, turn, language, kind, function=function or kind.function)

    def unconfirmed(self, pending: PendingCall, turn: Turn, language: Language) -> Opened:
        """A ticket about a call of which nobody knows whether it was carried out: a person looks, nothing is tried
        again."""
        issue = self._phrases.say(Phrase.UNCONFIRMED_ISSUE, language, action=pending.action)
        ticket = self._ticket(issue, TicketWish(issue=issue), turn, language)
        kind = _Kind(phrase=Phrase.UNCONFIRMED)
        action = literal(pending.action)
        return self._opened(ticket, turn, language, kind, function=pending.function, action=action)

    def numbers(self, text: str) -> tuple[str, ...]:
        """The ticket numbers in a text."""
        return ticket_numbers(text, prefix=self._settings.ticket_prefix)

    async def status(self, numbers: tuple[str, ...], *, requester: str, language: Language) -> Result:
        """How tickets stand, to their owner; to anybody else each is one that does not exist."""
        lines: list[str] = []
        shown: Ticket | None = None
        for number in numbers[:_STATUS_LIMIT]:
            ticket = await self._tickets.find(number, requester=requester)
            shown = ticket or shown
            lines.append(
                self._line(ticket, language)
                if ticket
                else self._phrases.say(Phrase.TICKET_UNKNOWN, language, number=excerpt(number, 40))
            )
        return Result(text="\n".join(lines), ticket=shown)

    async def closed(self, number: str, *, requester: str, language: Language) -> Result:
        """What the owner of a ticket is told who calls it solved; the ticket as it will be, None for anybody else."""
        ticket = await self._tickets.find(number, requester=requester)
        if ticket is None:
            return Result(text=self._phrases.say(Phrase.TICKET_UNKNOWN, language, number=excerpt(number, 40)))
        ticket = replace(ticket, state=TicketState.CLOSED)
        return Result(text=self._phrases.say(Phrase.TICKET_SOLVED, language, number=ticket.number), ticket=ticket)

    async def own(self, *, requester: str, language: Language) -> Result:
        """How this person's newest tickets stand, for somebody who gives no number: those still open, else the last."""
        recent = await self._tickets.recent(requester=requester, limit=_STATUS_LIMIT)
        pending = [ticket for ticket in recent if ticket.state is not TicketState.CLOSED] or list(recent[:1])
        lines = [self._line(ticket, language) for ticket in pending]
        if not lines:
            return Result(text=self._phrases.say(Phrase.NO_TICKETS, language))
        return Result(text="\n".join(lines), ticket=pending[0])

    def _line(self, ticket: Ticket, language: Language) -> str:
        return self._phrases.status(
            ticket.state,
            language,
            number=ticket.number,
            subject=excerpt(ticket.subject, 30),
            due_at=ticket.due_at,
            now=self._clock.now(),
        )

    def _ticket(self, issue: str, wish: TicketWish, turn: Turn, language: Language) -> Ticket:
        now = self._clock.now()
        said = "\n".join([turn.text, *_own_words(turn.history)])
        urgency = max(wish.urgency, urgency_in(turn.text), key=_rank)
        return Ticket(
            number=self._tickets.new_number(),
            subject=subject_of(issue),
            state=TicketState.OPEN,
            requester=turn.sender.id,
            requester_name=turn.sender.name,
            conversation=turn.conversation,
            transcript=self._transcript(turn, language),
            contact=wish.contact or contact_in(said),
            order_no=wish.order_no or order_in(said),
            urgency="high" if wish.kind == "complaint" else urgency,
            created_at=now,
            updated_at=now,
            due_at=now + timedelta(hours=self._settings.sla_hours),
        )

    def _opened(
        self, ticket: Ticket, turn: Turn, language: Language, kind: _Kind, *, function: str, **fields: str
    ) -> Opened:
        within = self._phrases.within(ticket.due_at - ticket.created_at, language)
        reply = Reply(
            outcome=kind.outcome,
            text=self._phrases.say(kind.phrase, language, number=ticket.number, within=within, **fields),
            language=language,
            confidence=1.0,
            ticket=ticket,
            turn_id=turn.id,
        )
        returned = FunctionReturned(name=function, result=ticket.number, at=ticket.created_at)
        return Opened(reply=reply, effect=OpenTicket(ticket=ticket), returned=returned)

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
