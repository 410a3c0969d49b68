"""A desk without tickets, for channels that are tested apart from the core."""

from __future__ import annotations

from bot.messages import Ticket


class NoTickets:
    """As `bot.ports.Tickets`, of a house that has opened none."""

    def new_number(self) -> str:
        raise AssertionError("a channel opens no tickets")

    async def find(self, number: str, *, requester: str) -> Ticket | None:
        return None

    async def recent(self, *, requester: str, limit: int) -> tuple[Ticket, ...]:
        return ()
