"""A turn's two transactions: what begins it and what ends it.

Functions over a `Connection`, run by the database's writer. They may run again after a failed commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, exists, func, insert, select, update

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
    DialogueState,
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
    silent: bool = False
    """The turn ended without a reply."""


# Statements of the hot path are built once: building costs SQLAlchemy more than running them.
_CONVERSATION = (
    select(conversations, turns.c.id.label("turn_id"), turns.c.attempts, turns.c.stop_requested, turns.c.started_at)
    .outerjoin(turns, (turns.c.conversation_id == conversations.c.id) & (turns.c.state == "running"))
    .where(conversations.c.id == bindparam("conversation"))
)
_MESSAGES = (
    select(inbound, people.c.name, people.c.language, participants.c.state.label("dialogue"))
    .add_columns(participants.c.forgotten_through)
    .join(people, people.c.id == inbound.c.person_id)
    .outerjoin(
        participants,
        (participants.c.conversation_id == inbound.c.conversation_id)
        & (participants.c.person_id == inbound.c.person_id),
    )
    .order_by(inbound.c.sequence, inbound.c.id)
    .limit(MESSAGES_A_TURN)
)
_WAITING = _MESSAGES.where(inbound.c.conversation_id == bindparam("conversation"), inbound.c.state == "waiting")
_OF_TURN = _MESSAGES.where(inbound.c.turn_id == bindparam("turn"))
_COUNT_ATTEMPT = update(turns).where(turns.c.id == bindparam("turn")).values(attempts=bindparam("count"))
_INSERT_TURN = insert(turns)
_TAKE = (
    update(inbound)
    .where(inbound.c.id.in_(bindparam("ids", expanding=True)))
    .values(state="working", turn_id=bindparam("turn"))
)
_SPENT = select(func.sum(turns.c.tokens)).where(
    turns.c.person_id == bindparam("person"), turns.c.started_at >= bindparam("today")
)
_HISTORY = (
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
    place = connection.execute(_CONVERSATION, {"conversation": conversation}).first()
    if place is None:
        return None
    if place.turn_id is not None:
        attempt = place.attempts if again else place.attempts + 1
        rows = connection.execute(_OF_TURN, {"turn": place.turn_id}).all()
        connection.execute(_COUNT_ATTEMPT, {"turn": place.turn_id, "count": attempt})
        return _begun(connection, place, limits, rows, now, attempt=attempt, more_waiting=True)
    waiting = connection.execute(_WAITING, {"conversation": conversation}).all()
    rows = _answered_together(waiting)
    if not rows:
        return None
    turn = {"id": turn_id, "conversation_id": conversation, "person_id": rows[0].person_id, "state": "running"}
    connection.execute(_INSERT_TURN, turn | {"started_at": now})
    connection.execute(_TAKE, {"ids": [row.id for row in rows], "turn": turn_id})
    more_waiting = len(waiting) > len(rows) or len(waiting) == MESSAGES_A_TURN
    return _begun(connection, place, limits, rows, now, attempt=1, more_waiting=more_waiting, turn_id=turn_id)


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


def _begun(
    connection: Connection,
    place: Row[Any],
    limits: Limits,
    rows: Sequence[Row[Any]],
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
    return (connection.execute(_SPENT, {"person": person, "today": today}).scalar() or 0) >= tokens_per_day


def load_history(
    connection: Connection, conversation: int, person: str, *, after: int, limit: int
) -> tuple[HistoryEntry, ...]:
    """The last entries of one person's dialogue, in the platform's order, question before answer."""
    given = {"conversation": conversation, "person": person, "after": after, "most": limit}
    return tuple(_entry(row) for row in reversed(connection.execute(_HISTORY, given).all()))


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


_STANDING = (
    select(
        inbound.c.text,
        turns.c.state,
        participants.c.state.label("dialogue"),
        exists()
        .where(deliveries.c.conversation_id == turns.c.conversation_id, deliveries.c.state.in_(["waiting", "sending"]))
        .label("behind_others"),
    )
    .join(turns, turns.c.id == inbound.c.turn_id)
    .outerjoin(
        participants,
        (participants.c.conversation_id == turns.c.conversation_id) & (participants.c.person_id == turns.c.person_id),
    )
    .where(inbound.c.turn_id == bindparam("turn"))
    .order_by(inbound.c.sequence, inbound.c.id)
)
_END_TURN = update(turns).where(turns.c.id == bindparam("turn"))
_END_MESSAGES = update(inbound).where(inbound.c.turn_id == bindparam("turn"))
_INSERT_HISTORY = insert(history)
_NEWEST_ENTRY = select(func.max(history.c.id)).where(
    history.c.conversation_id == bindparam("conversation"), history.c.person_id == bindparam("person")
)
_INSERT_DELIVERY = insert(deliveries).returning(deliveries.c.id)


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
    standing = connection.execute(_STANDING, {"turn": turn.id}).all()
    if standing[0].state != "running":
        return Finished(delivery=None, more_waiting=True)
    if state == "done" and [row.text for row in standing] != [message.text for message in turn.messages]:
        return None
    _end_turn(connection, begun, result, state, now)
    _write_history(connection, begun, result, now)
    _apply(connection, begun, result, now)
    _keep_state(connection, begun, result, state_from_json(standing[0].dialogue), now)
    for address, notice in notices:
        insert_notice(connection, address, notice, turn.id, now)
    delivery = None
    if result.reply is not None:
        behind_others = bool(standing[0].behind_others)
        delivery = _insert_delivery(connection, begun, result.reply, placeholder, now, behind_others=behind_others)
    silent = result.reply is None
    return Finished(delivery=delivery, more_waiting=bool(notices) or not (silent or delivery), silent=silent)


def _apply(connection: Connection, begun: Begun, result: TurnResult, now: datetime) -> None:
    for effect in result.effects:
        match effect:
            case OpenTicket():
                insert_ticket(connection, effect, begun.turn.id, begun.conversation_id)
            case AddToTicket():
                add_to_ticket(connection, effect, begun.turn.sender.id, begun.turn.id, now)
            case ForgetHistory():
                pass  # `_keep_state` does it


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
    connection.execute(_END_TURN, row | {"turn": begun.turn.id})
    ended = "parked" if state == "parked" else "done"
    connection.execute(_END_MESSAGES, {"state": ended, "turn": begun.turn.id})


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
        connection.execute(_INSERT_HISTORY, rows)


def spoken(message: IncomingMessage) -> str:
    """A message as history remembers it: a command with its slash, a button by its name."""
    if message.kind is MessageKind.TEXT:
        return message.text
    slash = "/" if message.kind is MessageKind.COMMAND else ""
    return f"{slash}{message.command} {message.text}".strip()


def _keep_state(
    connection: Connection, begun: Begun, result: TurnResult, current: DialogueState, now: datetime
) -> None:
    state = result.state
    if current.held_by != begun.turn.state.held_by:  # an agent took over, or gave back, while the turn ran
        state = replace(state, held_by=current.held_by, held_noted=current.held_noted)
    person = begun.turn.sender.id
    row = {"conversation_id": begun.conversation_id, "person_id": person, "updated_at": now}
    row |= {"state": state_to_json(state), "forgotten_through": 0}
    changes = "state updated_at"
    if any(isinstance(effect, ForgetHistory) for effect in result.effects):
        newest = connection.execute(_NEWEST_ENTRY, {"conversation": begun.conversation_id, "person": person}).scalar()
        row["forgotten_through"] = newest or 0
        changes += " forgotten_through"
    upsert(connection, participants, row, "conversation_id person_id", changes)


def _insert_delivery(
    connection: Connection, begun: Begun, reply: Reply, placeholder: str | None, now: datetime, *, behind_others: bool
) -> Delivery | None:
    """The reply's row. If nothing waits in front of it, it is handed out as being sent: one transaction less."""
    reply = replace(reply, turn_id=begun.turn.id, answers=begun.inbound_ids)
    row = {
        "conversation_id": begun.conversation_id,
        "person_id": begun.turn.sender.id,
        "turn_id": begun.turn.id,
        "author": Author.BOT.value,
        "reply": reply_to_json(reply),
        "state": "waiting" if behind_others else "sending",
        "attempts": 0 if behind_others else 1,
        "placeholder": placeholder,
        "created_at": now,
        "updated_at": now,
    }
    row_id: int = connection.execute(_INSERT_DELIVERY, row).scalar_one()
    if behind_others:
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
