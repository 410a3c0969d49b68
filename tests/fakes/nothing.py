"""A house that keeps nothing, for channels that are tested apart from the core."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from bot.errors import StoreUnavailable
from bot.messages import ConversationRef, Ticket

T = TypeVar("T")


async def nothing_comes_back(conversation: ConversationRef, delivery: int, message_id: str, reason: str) -> bool:
    """As `bot.ports.CameBack`, where every message arrives."""
    raise AssertionError("a message has come back")


class NoTickets:
    """As `bot.ports.Tickets`, of a house that has opened none."""

    def new_number(self) -> str:
        raise AssertionError("a channel opens no tickets")

    async def find(self, number: str, *, requester: str) -> Ticket | None:
        return None

    async def recent(self, *, requester: str, limit: int) -> tuple[Ticket, ...]:
        return ()


class NoDatabase:
    """As `bot.ports.Transactions`, of a database that is never there."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        raise StoreUnavailable("there is no database")

    async def read(self, work: Callable[[Connection], T]) -> T:
        raise StoreUnavailable("there is no database")
