"""How often, and for how long, each customer may still be written to, and who has them: one row a customer.

WeCom takes five messages within the 48 hours after a customer wrote, and starts anew with every message of theirs. It
counts by itself and says no in the end; we count so as not to spend on one reply what the next one needs.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection, Row, select, tuple_, update

from adapters.wecom.kf.naming import name_of
from adapters.wecom.kf.parsing import Holder
from bot.errors import StoreUnavailable
from bot.history.codec import conversation_to_columns
from bot.history.inbound import upsert
from bot.history.tables import reply_windows as table
from bot.messages import ConversationRef
from bot.ports import Clock, Transactions

T = TypeVar("T")

LIMIT = 5
LIFE = timedelta(hours=48)
_KEY = (table.c.platform, table.c.account, table.c.channel, table.c.thread)
_KEY_NAMES = "platform account channel thread"
_SPENT = "?"
"""Stands for a message that WeCom has counted and we have not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What is known of a customer."""

    heard_at: datetime | None
    """When they last wrote; None where nobody remembers."""
    sent: tuple[str, ...]
    """The names of the messages that have, or may have, left since then."""
    holder: Holder
    held_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a page has told of a customer. What is older than what is known changes nothing."""

    conversation: ConversationRef
    heard: tuple[datetime, str] | None = None
    """When they last wrote, and the name of what they wrote."""
    held: tuple[Holder, datetime] | None = None
    welcome: str = ""
    """The code that a welcome could be sent with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A message may leave under this name."""

    name: str
    again: bool
    """It has been tried before, and nobody knows how that ended."""
    held: bool = False
    """Since then somebody else has the customer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shut:
    """No message may leave."""

    why: Literal["held", "full", "late"]
    window: Window


class Windows:
    """The rows. Every method raises StoreUnavailable where nothing was read or kept."""

    def __init__(self, database: Transactions, clock: Clock, *, limit: float) -> None:
        """:param limit: seconds for one of them; what was begun then may still become true, which changes nothing."""
        self._database = database
        self._clock = clock
        self._limit = limit

    async def find(self, conversations: Collection[ConversationRef]) -> dict[ConversationRef, Window]:
        """What is known of these customers; nothing of strangers."""
        if not conversations:
            return {}
        wanted = list(conversations)
        keys = [tuple(conversation_to_columns(one).values()) for one in wanted]
        statement = select(table).where(tuple_(*_KEY).in_(keys))

        def work(connection: Connection) -> dict[ConversationRef, Window]:
            return {_conversation(row): _window(row) for row in connection.execute(statement)}

        try:
            async with asyncio.timeout(self._limit):
                return await self._database.read(work)
        except TimeoutError:
            raise StoreUnavailable("it can not be read in time") from None

    async def note(self, notes: Sequence[Note]) -> frozenset[ConversationRef]:
        """Keeps what a page has told. Returns those who are to be welcomed: each code is handed out once."""
        if not notes:
            return frozenset()
        now = self._clock.now()
        # Always in the same order: two processes that keep the same rows must not wait for each other.
        in_order = sorted(notes, key=lambda note: (note.conversation.channel, note.conversation.thread))

        def work(connection: Connection) -> frozenset[ConversationRef]:
            return frozenset(note.conversation for note in in_order if _keep(connection, note, now))

        return await self._write(work)

    async def take(self, conversation: ConversationRef, *, delivery_id: int, number: int, text: str) -> Taken | Shut:
        """A place for one message among the five, and its name; the same place and name at every attempt."""
        now = self._clock.now()

        def work(connection: Connection) -> Taken | Shut:
            row = _row(connection, conversation, now)
            window = _window(row)
            held = window.holder != "bot"
            name = name_of(salt=row.salt, delivery_id=delivery_id, number=number, text=text)
            if name in window.sent:
                return Taken(name=name, again=True, held=held)
            if held:
                return Shut(why="held", window=window)
            if window.heard_at is not None and now - window.heard_at > LIFE:
                return Shut(why="late", window=window)
            if len(window.sent) >= LIMIT:
                return Shut(why="full", window=window)
            _change(connection, conversation, now, sent=[*window.sent, name])
            return Taken(name=name, again=False)

        return await self._write(work)

    async def give_back(self, conversation: ConversationRef, name: str) -> None:
        """The message surely did not leave."""
        now = self._clock.now()

        def work(connection: Connection) -> None:
            window = _window(_row(connection, conversation, now))
            _change(connection, conversation, now, sent=[sent for sent in window.sent if sent != name])

        await self._write(work)

    async def fill(self, conversation: ConversationRef, name: str) -> None:
        """WeCom says that there were five already, the message of this name not among them."""
        now = self._clock.now()

        def work(connection: Connection) -> None:
            sent = [one for one in _window(_row(connection, conversation, now)).sent if one != name]
            _change(connection, conversation, now, sent=sent + [_SPENT] * (LIMIT - len(sent)))

        await self._write(work)

    async def hold(self, conversation: ConversationRef, holder: Holder) -> None:
        """Now somebody else has the customer."""
        now = self._clock.now()
        held_at = now.replace(microsecond=0)  # WeCom's own news has no finer time, and what follows must not look older

        def work(connection: Connection) -> None:
            _row(connection, conversation, now)
            _change(connection, conversation, now, held_by=holder, held_at=held_at)

        await self._write(work)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        try:
            async with asyncio.timeout(self._limit):
                return await self._database.write(work)
        except TimeoutError:
            raise StoreUnavailable("it can not be written in time") from None


def _keep(connection: Connection, note: Note, now: datetime) -> bool:
    """Whether this is the first that is known of its welcome."""
    row = _row(connection, note.conversation, now)
    changes: dict[str, Any] = {}
    # WeCom's times are whole seconds, and a page may come twice.
    if note.heard is not None and note.heard[1] != row.heard_id and note.heard[0] >= (row.heard_at or note.heard[0]):
        changes |= {"heard_at": note.heard[0], "heard_id": note.heard[1], "sent": []}
    if note.held is not None and (row.held_at is None or note.held[1] >= row.held_at):
        changes |= {"held_by": note.held[0], "held_at": note.held[1]}
    # The code gives whoever has it the right to speak to the customer: it is not kept itself.
    digest = hashlib.sha256(note.welcome.encode()).hexdigest() if note.welcome else ""
    welcomes = digest not in ("", row.welcome)
    if welcomes:
        changes["welcome"] = digest
    if changes:
        _change(connection, note.conversation, now, **changes)
    return welcomes


def _row(connection: Connection, conversation: ConversationRef, now: datetime) -> Row[Any]:
    """The customer's row, made if it is not there, and nobody else's until the end of the transaction."""
    fresh = {
        **conversation_to_columns(conversation),
        "person": f"{conversation.platform}:{conversation.thread}",
        "salt": secrets.token_hex(8),
        "heard_id": "",
        "sent": [],
        "held_by": "bot",
        "welcome": "",
        "updated_at": now,
    }
    upsert(connection, table, fresh, _KEY_NAMES)
    return connection.execute(select(table).where(_is(conversation)).with_for_update()).one()


def _change(connection: Connection, conversation: ConversationRef, now: datetime, **changes: Any) -> None:
    connection.execute(update(table).where(_is(conversation)).values(updated_at=now, **changes))


def _is(conversation: ConversationRef) -> Any:
    return tuple_(*_KEY) == tuple(conversation_to_columns(conversation).values())


def _conversation(row: Row[Any]) -> ConversationRef:
    return ConversationRef(platform=row.platform, account=row.account, channel=row.channel, thread=row.thread)


def _window(row: Row[Any]) -> Window:
    return Window(heard_at=row.heard_at, sent=tuple(row.sent), holder=row.held_by, held_at=row.held_at)
