"""A customer who talks to the dialogue, and the little world around: tickets in memory, a clock that stands still."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.dialogue.core import Dialogue
from bot.messages import (
    BotSaid,
    CloseTicket,
    ConversationRef,
    CustomerSaid,
    DialogueState,
    ForgetHistory,
    HistoryEntry,
    IncomingMessage,
    OpenTicket,
    Sender,
    Ticket,
    TicketState,
    Turn,
    TurnResult,
)
from bot.ports import CallRecord

NOW = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)


class StandingClock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


class TicketsInMemory:
    """Implements `bot.ports.Tickets`."""

    def __init__(self) -> None:
        self.stored: dict[str, Ticket] = {}
        self._count = 0

    def new_number(self) -> str:
        self._count += 1
        return f"TICKET-7K{self._count:04d}"

    async def find(self, number: str, *, requester: str) -> Ticket | None:
        ticket = self.stored.get(number)
        return ticket if ticket and ticket.requester == requester else None

    async def recent(self, *, requester: str, limit: int) -> tuple[Ticket, ...]:
        mine = [ticket for ticket in self.stored.values() if ticket.requester == requester]
        return tuple(sorted(mine, key=lambda ticket: ticket.number, reverse=True)[:limit])


class CallsInMemory:
    """Implements `bot.ports.CallLog`."""

    def __init__(self) -> None:
        self.records: dict[str, CallRecord] = {}

    async def find(self, key: str) -> CallRecord | None:
        return self.records.get(key)

    async def begin(self, key: str, *, function: str, turn_id: str, requester: str) -> CallRecord | None:
        found = self.records.get(key)
        self.records.setdefault(key, CallRecord(result=None))
        return found

    async def finish(self, key: str, result: Mapping[str, Any]) -> None:
        self.records[key] = CallRecord(result=result)


@dataclass(slots=True, kw_only=True)
class Customer:
    """One person in one conversation. Keeps state and history between turns as the store would."""

    dialogue: Dialogue
    tickets: TicketsInMemory
    id: str = "web:ann"
    language: str = ""
    state: DialogueState = field(default_factory=DialogueState)
    history: tuple[HistoryEntry, ...] = ()
    snapshots: list[str] = field(default_factory=list)
    turns: int = 0
    collections: tuple[str, ...] = ("default",)

    def message(self, text: str = "", **fields: Any) -> IncomingMessage:
        fields.setdefault("collections", self.collections)
        return IncomingMessage(
            keys=("key",), conversation=self._conversation(), sender=self._sender(), text=text, sent_at=NOW, **fields
        )

    def turn(self, *messages: IncomingMessage, **fields: Any) -> Turn:
        self.turns += 1
        return Turn(
            id=f"turn-{self.turns}",
            conversation=self._conversation(),
            sender=self._sender(),
            messages=messages,
            history=self.history,
            state=self.state,
            open_ticket=self._open_ticket(),
            started_at=NOW,
            **fields,
        )

    def _open_ticket(self) -> str:
        """As `bot.history.turns.begin` finds it."""
        mine = [ticket for ticket in self.tickets.stored.values() if ticket.requester == self.id]
        return max((ticket.number for ticket in mine if ticket.state is not TicketState.CLOSED), default="")

    async def say(self, *texts: str, **fields: Any) -> TurnResult:
        """One turn of text messages."""
        return await self.send(*(self.message(text, **fields) for text in texts))

    async def send(self, *messages: IncomingMessage, **fields: Any) -> TurnResult:
        """One turn; what it decided becomes true."""
        self.snapshots = []
        turn = self.turn(*messages, **fields)
        result = await self.dialogue.respond(turn, self.snapshots.append)
        self.state = result.state
        for effect in result.effects:
            if isinstance(effect, OpenTicket):
                self.tickets.stored[effect.ticket.number] = effect.ticket
            if isinstance(effect, CloseTicket):
                self.tickets.stored[effect.number] = replace(
                    self.tickets.stored[effect.number], state=TicketState.CLOSED
                )
            if isinstance(effect, ForgetHistory):
                self.history = ()
        said = [CustomerSaid(text=message.text, at=NOW) for message in messages if message.text]
        answered = [BotSaid(text=result.reply.text, at=NOW, outcome=result.reply.outcome)] if result.reply else []
        self.history = (*self.history, *said, *answered)
        return result

    def _sender(self) -> Sender:
        return Sender(id=self.id, language=self.language)

    def _conversation(self) -> ConversationRef:
        return ConversationRef(platform="web", account="", channel=self.id)


def opened_tickets(result: TurnResult) -> Sequence[Ticket]:
    return [effect.ticket for effect in result.effects if isinstance(effect, OpenTicket)]


def held(customer: Customer, number: str) -> None:
    """An agent takes the conversation over."""
    customer.state = replace(customer.state, held_by=number, held_noted=False)
