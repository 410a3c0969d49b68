"""A turn's two transactions: what begins it and what ends it.

Functions over a `Connection`, run by the database's writer. They may run again after a failed commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from bot.history.codec import reply_to_json, state_from_json, state_to_json
from bot.history.inbound import BOT_RANK, CUSTOMER_RANK, FUNCTION_RANK, conversation_id, upsert
from bot.history.tables import conversations, deliveries, history, inbound, participants, people, turns
from bot.history.tickets import add_to_ticket, insert_ticket
from bot.messages import (
    AddToTicket,
    AgentSaid,
    Author,
    BotSaid,
    ConversationRef,
    CustomerSaid,
    ForgetHistory,
    FunctionReturned,
    HistoryEntry,
    IncomingMessage,
    MessageKind,
    OpenTicket,
    Outcome,
    Reply,
    Sender,
    Turn,
    TurnResult,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A reply on its way."""

    id: int
    conversation_id: int
    conversation: ConversationRef
    reply: Reply
    attempts: int
    parts_sent: int
    placeholder: str | None
    in_flight: bool
    """A send may have been under way when the process that did it died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The end of a turn, committed."""

    delivery: Delivery | None
    """The reply, if it is first in line; None when the bot is silent or earlier replies wait in front of it."""
    more_waiting: bool
    """There are deliveries that this turn did not start itself (a notice, a reply behind another)."""


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
    running = connection.execute(
        select(turns.c.id, turns.c.attempts, turns.c.stop_requested, turns.c.started_at).where(
            turns.c.conversation_id == conversation, turns.c.state == "running"
        )
    ).first()
    if running is not None:
        attempt = running.attempts if again else running.attempts + 1
        rows = _messages(connection, inbound.c.turn_id == running.id)
        more_waiting = True
        turn_id, started_at = running.id, running.started_at
        if not again:
            connection.execute(update(turns).where(turns.c.id == turn_id), {"attempts": attempt})
    else:
        waiting = _messages(connection, inbound.c.conversation_id == conversation, inbound.c.state == "waiting")
        rows = _answered_together(waiting)
        if not rows:
            return None
        more_waiting = len(waiting) > len(rows) or len(waiting) == MESSAGES_A_TURN
        attempt, started_at = 1, now
        _insert_turn(connection, turn_id, conversation, rows, now)
    return _begun(connection, conversation, limits, turn_id, rows, attempt, started_at, now, running, more_waiting)


def _messages(connection: Connection, *conditions: Any) -> Sequence[Row[Any]]:
    statement = (
        select(inbound, people.c.name, people.c.language)
        .join(people, people.c.id == inbound.c.person_id)
        .where(*conditions)
        .order_by(inbound.c.sequence, inbound.c.id)
        .limit(MESSAGES_A_TURN)
    )
    return connection.execute(statement).all()


def _answered_together(waiting: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
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


def _insert_turn(
    connection: Connection, turn_id: str, conversation: int, rows: Sequence[Row[Any]], now: datetime
) -> None:
    row = {"id": turn_id, "conversation_id": conversation, "person_id": rows[0].person_id, "state": "running"}
    connection.execute(insert(turns), row | {"started_at": now})
    ids = [row.id for row in rows]
    connection.execute(update(inbound).where(inbound.c.id.in_(ids)), {"state": "working", "turn_id": turn_id})


def _begun(
    connection: Connection,
    conversation: int,
    limits: Limits,
    turn_id: str,
    rows: Sequence[Row[Any]],
    attempt: int,
    started_at: datetime,
    now: datetime,
    running: Any,
    more_waiting: bool,
) -> Begun:
    ref_row = connection.execute(select(conversations).where(conversations.c.id == conversation)).one()
    ref = ConversationRef(
        platform=ref_row.platform, account=ref_row.account, channel=ref_row.channel, thread=ref_row.thread
    )
    first = rows[0]
    person = Sender(id=first.person_id, name=first.name, language=first.language)
    there = (participants.c.conversation_id == conversation, participants.c.person_id == person.id)
    state = connection.execute(select(participants.c.state, participants.c.forgotten_through).where(*there)).first()
    entries = load_history(
        connection,
        conversation,
        person.id,
        after=state.forgotten_through if state else 0,
        limit=limits.history_turns * ENTRIES_A_TURN,
    )
    turn = Turn(
        id=turn_id,
        conversation=ref,
        sender=person,
        messages=tuple(_message(row, ref, person) for row in rows),
        history=entries,
        state=state_from_json(state.state if state else None),
        attempt=attempt,
        started_at=started_at,
        late=now - first.sent_at > LATE,
    )
    return Begun(
        turn=turn,
        conversation_id=conversation,
        inbound_ids=tuple(row.id for row in rows),
        sequence=rows[-1].sequence,
        stop_requested=running is not None and running.stop_requested == 1,
        over_budget=_over_budget(connection, person.id, limits.tokens_per_day, now),
        more_waiting=more_waiting,
    )


def _message(row: Row[Any], ref: ConversationRef, sender: Sender) -> IncomingMessage:
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
    spent = select(func.sum(turns.c.tokens)).where(turns.c.person_id == person, turns.c.started_at >= today)
    return (connection.execute(spent).scalar() or 0) >= tokens_per_day


def load_history(
    connection: Connection, conversation: int, person: str, *, after: int, limit: int
) -> tuple[HistoryEntry, ...]:
    """The last entries of one person's dialogue, in the platform's order, question before answer."""
    statement = (
        select(history.c.role, history.c.name, history.c.outcome, history.c.text, history.c.at)
        .where(history.c.conversation_id == conversation, history.c.person_id == person, history.c.id > after)
        .order_by(history.c.sequence.desc(), history.c.rank.desc(), history.c.id.desc())
        .limit(limit)
    )
    return tuple(_entry(row) for row in reversed(connection.execute(statement).all()))


def _entry(row: Row[Any]) -> HistoryEntry:
    match row.role:
        case "customer":
            return CustomerSaid(text=row.text, at=row.at)
        case "bot":
            return BotSaid(text=row.text, at=row.at, outcome=Outcome(row.outcome))
        case "agent":
            return AgentSaid(text=row.text, at=row.at, agent=row.name)
        case _:
            return FunctionReturned(name=row.name, result=row.text, at=row.at)


def finish(
    connection: Connection,
    begun: Begun,
    result: TurnResult,
    notices: Sequence[tuple[ConversationRef, Reply]],
    placeholder: str | None,
    state: str,
    now: datetime,
) -> Finished | None:
    """Everything the turn did becomes true. None: a message was edited meanwhile, and the turn has to run again.

    A turn that has ended already (this very work, committed just before its commit was reported lost) stays as it is.
    """
    turn = begun.turn
    current = connection.execute(select(turns.c.state).where(turns.c.id == turn.id)).scalar_one()
    if current != "running":
        return Finished(delivery=None, more_waiting=True)
    words = select(inbound.c.text).where(inbound.c.turn_id == turn.id).order_by(inbound.c.sequence, inbound.c.id)
    if state == "done" and list(connection.execute(words).scalars()) != [message.text for message in turn.messages]:
        return None
    _end_turn(connection, begun, result, state, now)
    _write_history(connection, begun, result, now)
    for effect in result.effects:
        match effect:
            case OpenTicket():
                insert_ticket(connection, effect, turn.id, begun.conversation_id)
            case AddToTicket():
                add_to_ticket(connection, effect, turn.sender.id, turn.id, now)
            case ForgetHistory():
                pass  # below, with the state
    _keep_state(connection, begun, result, now)
    for address, notice in notices:
        insert_notice(connection, address, notice, turn.id, now)
    delivery = None
    if result.reply is not None:
        delivery = _insert_delivery(connection, begun, result.reply, placeholder, now)
    return Finished(delivery=delivery, more_waiting=bool(notices) or (result.reply is not None and delivery is None))


def _end_turn(connection: Connection, begun: Begun, result: TurnResult, state: str, now: datetime) -> None:
    reply = result.reply
    row = {
        "state": state,
        "outcome": reply.outcome.value if reply else None,
        "confidence": reply.confidence if reply else None,
        "question": result.state.question,
        "engine": result.engine,
        "tokens": result.tokens,
        "finished_at": now,
    }
    connection.execute(update(turns).where(turns.c.id == begun.turn.id), row)
    ended = "parked" if state == "parked" else "done"
    connection.execute(update(inbound).where(inbound.c.turn_id == begun.turn.id), {"state": ended})


def _write_history(connection: Connection, begun: Begun, result: TurnResult, now: datetime) -> None:
    common = {"conversation_id": begun.conversation_id, "person_id": begun.turn.sender.id, "turn_id": begun.turn.id}
    common |= {"name": "", "outcome": "", "inbound_id": None}
    rows: list[dict[str, Any]] = []
    for row_id, message in zip(begun.inbound_ids, begun.turn.messages, strict=True):
        if words := spoken(message):
            row = {"role": "customer", "text": words, "rank": CUSTOMER_RANK, "inbound_id": row_id}
            rows.append(common | row | {"sequence": message.sequence, "at": message.sent_at})
    for returned in result.functions:
        row = {"role": "function", "name": returned.name, "text": returned.result, "rank": FUNCTION_RANK}
        rows.append(common | row | {"sequence": begun.sequence, "at": returned.at})
    if result.reply is not None:
        row = {"role": "bot", "text": result.reply.text, "outcome": result.reply.outcome.value, "rank": BOT_RANK}
        rows.append(common | row | {"sequence": begun.sequence, "at": now})
    if rows:
        connection.execute(insert(history), rows)


def spoken(message: IncomingMessage) -> str:
    """A message as history remembers it: a command with its slash, a button by its name."""
    if message.kind is MessageKind.TEXT:
        return message.text
    slash = "/" if message.kind is MessageKind.COMMAND else ""
    return f"{slash}{message.command} {message.text}".strip()


def _keep_state(connection: Connection, begun: Begun, result: TurnResult, now: datetime) -> None:
    mine = (participants.c.conversation_id == begun.conversation_id, participants.c.person_id == begun.turn.sender.id)
    current = state_from_json(connection.execute(select(participants.c.state).where(*mine)).scalar())
    state = result.state
    if current.held_by != begun.turn.state.held_by:  # an agent took over, or gave back, while the turn ran
        state = replace(state, held_by=current.held_by, held_noted=current.held_noted)
    row: dict[str, Any] = {
        "conversation_id": begun.conversation_id,
        "person_id": begun.turn.sender.id,
        "state": state_to_json(state),
        "updated_at": now,
    }
    changes = ["state", "updated_at"]
    if any(isinstance(effect, ForgetHistory) for effect in result.effects):
        newest = select(func.max(history.c.id)).where(
            history.c.conversation_id == begun.conversation_id, history.c.person_id == begun.turn.sender.id
        )
        row["forgotten_through"] = connection.execute(newest).scalar() or 0
        changes.append("forgotten_through")
    else:
        row["forgotten_through"] = 0
    upsert(connection, participants, row, ["conversation_id", "person_id"], changes)


def _insert_delivery(
    connection: Connection, begun: Begun, reply: Reply, placeholder: str | None, now: datetime
) -> Delivery | None:
    """The reply's row. If nothing waits in front of it, it is handed out as being sent: one transaction less."""
    reply = replace(reply, turn_id=begun.turn.id, answers=begun.inbound_ids)
    waits_behind = connection.execute(
        select(deliveries.c.id)
        .where(deliveries.c.conversation_id == begun.conversation_id, deliveries.c.state.in_(["waiting", "sending"]))
        .limit(1)
    ).first()
    row = {
        "conversation_id": begun.conversation_id,
        "person_id": begun.turn.sender.id,
        "turn_id": begun.turn.id,
        "author": Author.BOT.value,
        "reply": reply_to_json(reply),
        "state": "waiting" if waits_behind else "sending",
        "attempts": 0 if waits_behind else 1,
        "placeholder": placeholder,
        "created_at": now,
        "updated_at": now,
    }
    row_id: int = connection.execute(insert(deliveries).returning(deliveries.c.id), row).scalar_one()
    if waits_behind:
        return None
    return Delivery(
        id=row_id,
        conversation_id=begun.conversation_id,
        conversation=begun.turn.conversation,
        reply=reply,
        attempts=1,
        parts_sent=0,
        placeholder=placeholder,
        in_flight=False,
    )


def insert_notice(
    connection: Connection, address: ConversationRef, notice: Reply, turn_id: str | None, now: datetime
) -> None:
    """A notice to operators, sent like any reply."""
    row = {
        "conversation_id": conversation_id(connection, address, now),
        "turn_id": turn_id,
        "ticket": notice.ticket.number if notice.ticket else None,
        "author": Author.NOTICE.value,
        "reply": reply_to_json(notice),
        "state": "waiting",
        "created_at": now,
        "updated_at": now,
    }
    connection.execute(insert(deliveries), row)


def unfinished(connection: Connection, platform: str, account: str) -> list[tuple[int, bool]]:
    """(conversation, whether its turn has been begun twice or more) of all that has to be taken up at a start."""
    there = (conversations.c.platform == platform, conversations.c.account == account)
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
