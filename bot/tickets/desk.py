"""The ticket desk: what the dialogue, the API and the command line do with tickets."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Literal

from bot.dialogue.language import detect
from bot.errors import NotFound
from bot.history import tickets as rows
from bot.history.database import Database
from bot.messages import Author, Outcome, Reply, Ticket, TicketEvent, TicketState
from bot.ports import Clock

PATIENCE_SECONDS = 5.0
NUMBER_LENGTH = 8
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without 0 O 1 I L U: a number is read out on the telephone. 30^8 numbers: not to be guessed, hardly to collide."""


class Desk:
    """Implements `bot.ports.Tickets`, and more for agents. Every change wakes the outbox."""

    def __init__(
        self, database: Database, *, prefix: str, clock: Clock, wake_outbox: Callable[[], None] = lambda: None
    ) -> None:
        self._database = database
        self._prefix = prefix
        self._clock = clock
        self._wake_outbox = wake_outbox

    def new_number(self) -> str:
        """See `bot.ports.Tickets`. A collision fails the turn's transaction, and the turn runs again."""
        return f"{self._prefix}-{''.join(secrets.choice(_ALPHABET) for _ in range(NUMBER_LENGTH))}"

    async def find(self, number: str, *, requester: str) -> Ticket | None:
        """See `bot.ports.Tickets`."""
        ticket = await self._database.read(lambda connection: rows.find(connection, number))
        return ticket if ticket is not None and ticket.requester == requester else None

    async def recent(self, *, requester: str, limit: int) -> tuple[Ticket, ...]:
        """See `bot.ports.Tickets`."""
        return await self._database.read(
            lambda connection: rows.listed(connection, state=None, requester=requester, limit=limit, before=None)
        )

    async def list(
        self,
        *,
        state: TicketState | None = None,
        requester: str | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> tuple[Ticket, ...]:
        """Newest first; `before` is the number of the last ticket of the page before."""
        return await self._database.read(
            lambda connection: rows.listed(connection, state=state, requester=requester, limit=limit, before=before)
        )

    async def get(self, number: str) -> tuple[Ticket, tuple[TicketEvent, ...]]:
        """A ticket and everything that happened to it.

        :raises NotFound: there is no such ticket.
        """
        ticket = await self._database.read(lambda connection: rows.find(connection, number))
        if ticket is None:
            raise NotFound(f"there is no ticket {number}")
        return ticket, await self._database.read(lambda connection: rows.events(connection, number))

    async def reply(self, number: str, text: str, *, agent: str) -> int:
        """Sends an agent's words to the customer, in the channel the ticket came from. Returns the delivery's id.

        :raises NotFound: there is no such ticket.
        :raises StoreUnavailable: nothing was kept.
        """
        language = detect(text, setting="auto", known=None, hint="")
        reply = Reply(outcome=Outcome.HANDOFF, text=text, language=language, author=Author.AGENT, agent=agent)
        now = self._clock.now()
        said = await self._database.write(
            lambda connection: rows.say(connection, number, reply, now), patience=PATIENCE_SECONDS
        )
        if said is None:
            raise NotFound(f"there is no ticket {number}")
        self._wake_outbox()
        return said[0]

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
        """Changes what is given. Assigning an open ticket makes it `assigned`; closing it gives the bot its word back.

        :raises NotFound: there is no such ticket.
        :raises StoreUnavailable: nothing was kept.
        """
        given = {"state": state.value if state else None, "assignee": assignee, "urgency": urgency, "subject": subject}
        changes = {name: value for name, value in given.items() if value is not None}
        now = self._clock.now()
        ticket = await self._database.write(
            lambda connection: rows.change(connection, number, changes, by, now), patience=PATIENCE_SECONDS
        )
        if ticket is None:
            raise NotFound(f"there is no ticket {number}")
        return ticket
