"""What the server asks of the rest of the house."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from bot.messages import Ticket, TicketEvent, TicketState


@dataclass(frozen=True, slots=True, kw_only=True)
class PartHealth:
    """How one part of the house is."""

    name: str
    """"database", "knowledge", "engine", "cache", or a channel's platform."""
    up: bool
    needed: bool
    """Without it no message can be taken and answered. An engine with a fallback is not; nor is one channel."""
    detail: str = ""
    """For the operator: one line without secrets."""


Health: TypeAlias = Callable[[], Awaitable[tuple[PartHealth, ...]]]
"""Asks every part, cheaply; at best within a second."""


class Desk(Protocol):
    """The tickets, as the company's own people see them."""

    async def list(
        self, *, state: TicketState | None, requester: str | None, limit: int, before: str | None
    ) -> tuple[Ticket, ...]:
        """Newest first; `before` is the number of the last ticket of the page before."""

    async def get(self, number: str) -> tuple[Ticket, tuple[TicketEvent, ...]]:
        """:raises NotFound: there is no such ticket."""

    async def reply(self, number: str, text: str, *, agent: str) -> int:
        """Sends the agent's words to where the ticket came from, and returns the delivery's id.

        :raises NotFound: there is no such ticket.
        """

    async def update(
        self,
        number: str,
        *,
        state: TicketState | None = None,
        assignee: str | None = None,
        urgency: Literal["low", "normal", "high"] | None = None,
        subject: str | None = None,
        by: str,
    ) -> Ticket:
        """Changes what is not None, and writes down who did.

        :raises NotFound: there is no such ticket.
        """


class FeedbackBook(Protocol):
    """Where judgements of answers are kept."""

    async def record_feedback(
        self, turn_id: str, rating: Literal["up", "down"], comment: str, sender_id: str | None
    ) -> None:
        """Keeps it; a later judgement of the same turn replaces it.

        :raises NotFound: there is no such turn.
        """


class Exposition(Protocol):
    """`bot.telemetry.Metrics`."""

    def exposition(self) -> bytes:
        """The Prometheus text format, 0.0.4."""
