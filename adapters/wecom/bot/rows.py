"""What has to outlive a process: where the answer to each message goes, and how far it is.

One row a message. Functions over a connection stand at the end; they may run again after a failed commit.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, Row, Select, case, delete, insert, select, update

from adapters.wecom.bot.parsing import PLATFORM
from bot.history.tables import growing_answers as table
from bot.messages import ConversationRef, Language
from bot.ports import Clock, Transactions

State: TypeAlias = Literal["open", "answered", "late", "ended", "elsewhere"]
"""Growing; holds its reply; ended before its reply was there; ended without one; its reply went another way."""
_SHED = "-"
"""Stands for the turn of a message that was too much and has none."""
_APART = "apart"
"""Stands for what a code was spent on where there are none: over the long connection."""
_ANSWERS = 2000
"""Rows that one tidying removes at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to one message, as it is written down."""

    id: str
    """The stream's id for WeCom, and the id that a thumb comes back with."""
    conversation: ConversationRef
    inbound: int
    language: Language
    request: str
    """The req_id of the message (long connection)."""
    state: State
    turn: str
    text: str = field(repr=False)
    card: Mapping[str, Any] | None = field(repr=False)
    fetched: bool
    apart: bool
    """Its reply was perhaps said in a message of its own (long connection)."""
    opened_at: datetime
    ends_at: datetime
    updated_at: datetime

    @property
    def shed(self) -> bool:
        """Its message was too much: nobody works on it."""
        return self.turn == _SHED


class Rows:
    """The answers of one bot. Everything raises StoreUnavailable."""

    def __init__(self, database: Transactions, account: str, clock: Clock) -> None:
        self._database = database
        self._account = account
        self._clock = clock

    async def begin(
        self,
        conversation: ConversationRef,
        inbound: int,
        *,
        language: Language,
        request: str = "",
        code: str = "",
        seconds: float,
        state: State = "open",
        turn: str = "",
        shed: bool = False,
        answer_id: str = "",
    ) -> Answer:
        """The row of a message that was just stored; the one that is there, if the message has come before.

        :param seconds: after which the answer ends by itself.
        """
        now = self._clock.now()
        values = {
            "id": answer_id or new_id(),
            **_place(conversation),
            "inbound_id": inbound,
            "language": language,
            "request": request[:300],
            "code": code,
            "code_for": "",
            "state": state,
            "turn": _SHED if shed else turn,
            "text": "",
            "card": None,
            "fetched": 0,
            "opened_at": now,
            "ends_at": now + timedelta(seconds=seconds),
            "updated_at": now,
        }

        def work(connection: Connection) -> Answer:
            found = connection.execute(select(table).where(table.c.inbound_id == inbound)).first()
            if found is None:
                connection.execute(insert(table), values)
                found = connection.execute(select(table).where(table.c.inbound_id == inbound)).one()
            return _answer(found)

        return await self._database.write(work)

    # -- Looking --

    async def get(self, answer_id: str) -> Answer | None:
        """The answer of this id, if it is one of ours."""
        return await self._first(select(table).where(table.c.id == answer_id, *self._ours()))

    async def of_messages(self, inbound: Sequence[int]) -> tuple[Answer, ...]:
        """The answers to these messages, oldest first."""
        statement = select(table).where(table.c.inbound_id.in_(inbound), *self._ours()).order_by(table.c.inbound_id)
        return await self._all(statement)

    async def oldest(self, conversation: ConversationRef) -> Answer | None:
        """The one that grows there and was asked for first: of a turn that is running, the first message's."""
        statement = select(table).where(*_there(conversation), table.c.state == "open", table.c.turn != _SHED)
        return await self._first(statement.order_by(table.c.inbound_id).limit(1))

    async def unfinished(self) -> tuple[Answer, ...]:
        """What an earlier process may have left growing."""
        statement = select(table).where(*self._ours(), table.c.state == "open").order_by(table.c.inbound_id)
        return await self._all(statement.limit(_ANSWERS))

    # -- Writing --

    async def show(self, answer_id: str, text: str) -> bool:
        """The answer so far. False: it does not grow any more."""
        values = {"text": text, "updated_at": self._clock.now()}
        return await self._changed(answer_id, values, only_open=True)

    async def finish(
        self, answer_id: str, state: State, *, text: str = "", card: Mapping[str, Any] | None = None, turn: str = ""
    ) -> bool:
        """Ends a growing answer. False: it had ended before, and stays as it was."""
        now = self._clock.now()
        values = {"state": state, "text": text, "card": card, "turn": turn, "updated_at": now}
        return await self._changed(answer_id, values, only_open=True)

    async def moved(self, answer_id: str, *, text: str, turn: str) -> None:
        """Its reply went another way; whoever still comes for it is told so."""
        values = {"state": "elsewhere", "text": text, "card": None, "turn": turn, "updated_at": self._clock.now()}
        await self._changed(answer_id, values)

    async def said_apart(self, answer_id: str, perhaps: bool) -> None:
        """To be written down before its reply is said in a message of its own; taken back where that surely failed."""
        await self._changed(answer_id, {"code_for": _APART if perhaps else ""})

    async def fetched(self, answer_id: str) -> None:
        """The platform has come for the end of it: what stood there is needed no longer than it may ask again."""
        await self._changed(answer_id, {"fetched": 1})

    async def _changed(self, answer_id: str, values: Mapping[str, Any], *, only_open: bool = False) -> bool:
        statement = update(table).where(table.c.id == answer_id)
        if only_open:
            statement = statement.where(table.c.state == "open")
        return await self._database.write(lambda connection: connection.execute(statement, dict(values)).rowcount == 1)

    # -- Codes: one answer each that comes too late --

    async def claim_code(self, conversation: ConversationRef, use: str, *, seconds: float) -> tuple[str, bool]:
        """A code for `use` ("" for none), and whether it was claimed for it before: then it may have been used.

        First those of messages that have their answer, the newest first; any of the group's, where the conversation is
        one with the group.
        """
        candidates = self._codes(conversation, use, seconds)

        def work(connection: Connection) -> tuple[str, bool]:
            found = connection.execute(candidates).first()
            if found is None:
                return "", False
            connection.execute(update(table).where(table.c.id == found.id), {"code_for": use})
            return str(found.code), found.code_for == use

        return await self._database.write(work)

    async def has_code(self, conversation: ConversationRef, use: str, *, seconds: float) -> bool:
        """Whether `claim_code` would find one."""
        candidates = self._codes(conversation, use, seconds)
        return await self._database.read(lambda connection: connection.execute(candidates).first() is not None)

    def _codes(self, conversation: ConversationRef, use: str, seconds: float) -> Select[Any]:
        return (
            select(table.c.id, table.c.code, table.c.code_for)
            .where(*_there(conversation, group=not conversation.thread), table.c.code != "")
            .where(table.c.code_for.in_(["", use]), table.c.opened_at > self._clock.now() - timedelta(seconds=seconds))
            .order_by(table.c.code_for.desc(), case((table.c.state == "open", 1), else_=0), table.c.inbound_id.desc())
            .limit(1)
        )

    async def release_code(self, use: str) -> None:
        """It was surely not used after all."""
        statement = update(table).where(*self._ours(), table.c.code_for == use)
        await self._database.write(lambda connection: connection.execute(statement, {"code_for": ""}))

    async def spoil_code(self, use: str) -> None:
        """WeCom does not take it, whatever for."""
        statement = update(table).where(*self._ours(), table.c.code_for == use)
        await self._database.write(lambda connection: connection.execute(statement, {"code": "", "code_for": ""}))

    # -- Upkeep --

    async def tidy(self, *, keep: float, words: float) -> None:
        """Forgets what is old: the rows, and sooner than that the words and codes in them."""
        now = self._clock.now()
        since, spoken = now - timedelta(seconds=keep), now - timedelta(seconds=words)
        old = select(table.c.id).where(*self._ours(), table.c.updated_at < since).limit(_ANSWERS)
        worded = (*self._ours(), table.c.state != "open", table.c.updated_at < spoken)
        silent = update(table).where(*worded, (table.c.text != "") | (table.c.code != ""))
        # What nobody came for, and nobody will.
        left = update(table).where(
            *self._ours(), table.c.state == "open", table.c.ends_at < now - timedelta(seconds=words)
        )

        def work(connection: Connection) -> None:
            connection.execute(delete(table).where(table.c.id.in_(old)))
            connection.execute(left, {"state": "late", "updated_at": now})
            connection.execute(silent, {"text": "", "code": "", "card": None})

        await self._database.write(work)

    # -- Details --

    def _ours(self) -> tuple[Any, ...]:
        return (table.c.platform == PLATFORM, table.c.account == self._account)

    async def _first(self, statement: Select[Any]) -> Answer | None:
        found = await self._database.read(lambda connection: connection.execute(statement).first())
        return None if found is None else _answer(found)

    async def _all(self, statement: Select[Any]) -> tuple[Answer, ...]:
        found = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(map(_answer, found))


def new_id() -> str:
    """A name for an answer that nobody can guess: with it, WeCom is told the answer's words."""
    return f"kefu{secrets.token_hex(16)}"


def _place(ref: ConversationRef) -> dict[str, str]:
    return {"platform": ref.platform, "account": ref.account, "channel": ref.channel, "thread": ref.thread}


def _there(ref: ConversationRef, *, group: bool = False) -> tuple[Any, ...]:
    columns = _place(ref)
    if group:
        del columns["thread"]
    return tuple(table.c[name] == value for name, value in columns.items())


def _answer(row: Row[Any]) -> Answer:
    return Answer(
        id=row.id,
        conversation=ConversationRef(
            platform=row.platform, account=row.account, channel=row.channel, thread=row.thread
        ),
        inbound=row.inbound_id,
        language="en" if row.language == "en" else "zh",
        request=row.request,
        state=row.state,
        turn=row.turn,
        text=row.text,
        card=row.card,
        fetched=bool(row.fetched),
        apart=row.code_for == _APART,
        opened_at=row.opened_at,
        ends_at=row.ends_at,
        updated_at=row.updated_at,
    )
