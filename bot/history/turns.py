"""The transaction that begins a turn; the one that ends it is in `bot.history.endings`.

Functions over a `Connection`, run by the database's writer. They may run again after a failed commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from bot.history.codec import state_from_json
from bot.history.statements import Statement, insert_into
from bot.history.tables import conversations, history, inbound, participants, people, tickets, turns
from bot.messages import (
    AgentSaid,
    BotSaid,
    ConversationRef,
    CustomerSaid,
    FunctionReturned,
    HistoryEntry,
    IncomingMessage,
    MessageKind,
    Outcome,
    Sender,
    TicketState,
    Turn,
)

MESSAGES_A_TURN = 20
"""Waiting messages that are answered together at most; the rest is the next turn's."""
ENTRIES_A_TURN = 4
"""History rows a turn usually leaves: two messages, a function's result, an answer."""
LATE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What `begin` needs of the settings."""

    history_turns: int
    tokens_per_day: int
    """0: no cap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A turn that is now running, with the rows behind it."""

    turn: Turn
    conversation_id: int
    inbound_ids: tuple[int, ...]
    sequence: int
    """Of the last message: the answer stands behind it."""
    stop_requested: bool
    over_budget: bool
    """The person has used up today's tokens."""
    more_waiting: bool
    """There may be messages left for a next turn."""


_CONVERSATION = Statement(
    select(conversations, turns.c.id.label("turn_id"), turns.c.attempts, turns.c.stop_requested, turns.c.started_at)
    .outerjoin(turns, (turns.c.conversation_id == conversations.c.id) & (turns.c.state == "running"))
    .where(conversations.c.id == bindparam("conversation"))
)
_OPEN_TICKET = (
    select(tickets.c.number)
    .where(tickets.c.person_id == inbound.c.person_id, tickets.c.state != TicketState.CLOSED.value)
    .order_by(tickets.c.created_at.desc(), tickets.c.number.desc())
    .limit(1)
    .scalar_subquery()
    .label("open_ticket")
)
_MESSAGES = (
    select(inbound, people.c.name, people.c.language, participants.c.state.label("dialogue"))
    .add_columns(participants.c.forgotten_through, _OPEN_TICKET)
    .join(people, people.c.id == inbound.c.person_id)
    .outerjoin(
        participants,
        (participants.c.conversation_id == inbound.c.conversation_id)
        & (participants.c.person_id == inbound.c.person_id),
    )
    .order_by(inbound.c.sequence, inbound.c.id)
    .limit(MESSAGES_A_TURN)
)
_WAITING = Statement(
    _MESSAGES.where(inbound.c.conversation_id == bindparam("conversation"), inbound.c.state == "waiting")
)
_OF_TURN = Statement(_MESSAGES.where(inbound.c.turn_id == bindparam("turn")))
_COUNT_ATTEMPT = Statement(update(turns).where(turns.c.id == bindparam("turn")).values(attempts=bindparam("count")))
_INSERT_TURN = Statement(insert_into(turns, "id conversation_id person_id state started_at"))
_TAKE = Statement(
    update(inbound).where(inbound.c.id == bindparam("row")).values(state="working", turn_id=bindparam("turn"))
)
_SPENT = Statement(
    select(func.sum(turns.c.tokens)).where(
        turns.c.person_id == bindparam("person"), turns.c.started_at >= bindparam("today")
    )
)
_HISTORY = Statement(
    select(history.c.role, history.c.name, history.c.outcome, history.c.text, history.c.at)
    .where(
        history.c.conversation_id == bindparam("conversation"),
        history.c.person_id == bindparam("person"),
        history.c.id > bindparam("after"),
    )
    .order_by(history.c.sequence.desc(), history.c.rank.desc(), history.c.id.desc())
    .limit(bindparam("most"))
)


def begin(
    connection: Connection,
    conversation: int,
    limits: Limits,
    turn_id: str,
    now: datetime,
    *,
    again: bool,
) -> Begun | None:
    """Starts the conversation's next turn, or takes up the one that was interrupted. None: nothing waits.

    :param turn_id: for a new turn.
    :param again: the same process runs the turn again because a message was edited; that is no new attempt.
    """
    place = _CONVERSATION.first(connection, {"conversation": conversation})
    if place is None:
        return None
    if place.turn_id is not None:
        attempt = place.attempts if again else place.attempts + 1
        rows = _OF_TURN.rows(connection, {"turn": place.turn_id})
        _COUNT_ATTEMPT.run(connection, {"turn": place.turn_id, "count": attempt})
        return _begun(connection, place, limits, rows, now, attempt=attempt, more_waiting=True)
    waiting = _WAITING.rows(connection, {"conversation": conversation})
    rows = _answered_together(waiting)
    if not rows:
        return None
    turn = {"id": turn_id, "conversation_id": conversation, "person_id": rows[0].person_id, "state": "running"}
    _INSERT_TURN.run(connection, turn | {"started_at": now})
    _TAKE.run(connection, [{"row": row.id, "turn": turn_id} for row in rows])
    more_waiting = len(waiting) > len(rows) or len(waiting) == MESSAGES_A_TURN
    return _begun(connection, place, limits, rows, now, attempt=1, more_waiting=more_waiting, turn_id=turn_id)


def _answered_together(waiting: Sequence[Any]) -> Sequence[Any]:
    """The first message, and the words of the same person right behind it. Commands and buttons stand alone."""
    if not waiting or waiting[0].kind != MessageKind.TEXT:
        return waiting[:1]
    first = waiting[0]
    count = 0
    for row in waiting:
        if row.kind != MessageKind.TEXT or row.person_id != first.person_id:
            break
        count += 1
    return waiting[:count]


def _begun(
    connection: Connection,
    place: Any,
    limits: Limits,
    rows: Sequence[Any],
    now: datetime,
    *,
    attempt: int,
    more_waiting: bool,
    turn_id: str | None = None,
) -> Begun:
    ref = ConversationRef(platform=place.platform, account=place.account, channel=place.channel, thread=place.thread)
    first = rows[0]
    person = Sender(id=first.person_id, name=first.name, language=first.language)
    most = limits.history_turns * ENTRIES_A_TURN
    turn = Turn(
        id=turn_id or place.turn_id,
        conversation=ref,
        sender=person,
        messages=tuple(_message(row, ref, person) for row in rows),
        history=load_history(connection, place.id, person.id, after=first.forgotten_through or 0, limit=most),
        state=state_from_json(first.dialogue),
        attempt=attempt,
        started_at=now if turn_id else place.started_at,
        open_ticket=first.open_ticket or "",
        late=now - first.sent_at > LATE,
    )
    return Begun(
        turn=turn,
        conversation_id=place.id,
        inbound_ids=tuple(row.id for row in rows),
        sequence=rows[-1].sequence,
        stop_requested=place.stop_requested == 1,
        over_budget=_over_budget(connection, person.id, limits.tokens_per_day, now),
        more_waiting=more_waiting,
    )


def _message(row: Any, ref: ConversationRef, sender: Sender) -> IncomingMessage:
    detail = row.detail
    return IncomingMessage(
        keys=(),
        conversation=ref,
        sender=sender,
        kind=MessageKind(row.kind),
        text=row.text,
        sent_at=row.sent_at,
        sequence=row.sequence,
        message_id=row.message_id,
        command=detail.get("command", ""),
        quote=detail.get("quote", ""),
        attachments=tuple(detail.get("attachments", ())),
        collections=tuple(detail["collections"]),
        direct=detail.get("direct", True),
    )


def _over_budget(connection: Connection, person: str, tokens_per_day: int, now: datetime) -> bool:
    if not tokens_per_day:
        return False
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return (_SPENT.scalar(connection, {"person": person, "today": today}) or 0) >= tokens_per_day


def load_history(
    connection: Connection, conversation: int, person: str, *, after: int, limit: int
) -> tuple[HistoryEntry, ...]:
    """The last entries of one person's dialogue, in the platform's order, question before answer."""
    given = {"conversation": conversation, "person": person, "after": after, "most": limit}
    return tuple(_entry(row) for row in reversed(_HISTORY.rows(connection, given)))


def _entry(row: Any) -> HistoryEntry:
    match row.role:
        case "customer":
            return CustomerSaid(text=row.text, at=row.at)
        case "bot":
            return BotSaid(text=row.text, at=row.at, outcome=Outcome(row.outcome))
        case "agent":
            return AgentSaid(text=row.text, at=row.at, agent=row.name)
        case _:
            return FunctionReturned(name=row.name, result=row.text, at=row.at)


def unfinished(connection: Connection, platform: str, account: str) -> list[tuple[int, bool]]:
    """(conversation, whether its turn has been begun twice or more) of all that has to be taken up at a start.

    A channel without an account has those of every account (`bot.ports.channel_for`).
    """
    there = [conversations.c.platform == platform]
    if account:
        there.append(conversations.c.account == account)
    begun = (
        select(conversations.c.id, turns.c.attempts)
        .join(turns, turns.c.conversation_id == conversations.c.id)
        .where(*there, turns.c.state == "running")
    )
    attempts = {row.id: row.attempts for row in connection.execute(begun)}
    waiting = (
        select(conversations.c.id)
        .join(inbound, inbound.c.conversation_id == conversations.c.id)
        .where(*there, inbound.c.state == "waiting")
        .distinct()
    )
    found = dict.fromkeys(connection.execute(waiting).scalars(), 0) | attempts
    return [(conversation, count >= 2) for conversation, count in sorted(found.items())]
