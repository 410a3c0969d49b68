"""The transaction that ends a turn: everything it did becomes true at once.

Functions over a `Connection`, run by the database's writer. They may run again after a failed commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, exists, func, insert, literal, select, update

from bot.history.codec import reply_to_json, state_from_json, state_to_json
from bot.history.inbound import BOT_RANK, CUSTOMER_RANK, FUNCTION_RANK, conversation_id, upsert
from bot.history.statements import Statement, insert_into
from bot.history.tables import deliveries, history, inbound, participants, turns
from bot.history.tickets import add_to_ticket, close_ticket, insert_ticket
from bot.history.turns import Begun
from bot.messages import (
    AddToTicket,
    Author,
    CloseTicket,
    ConversationRef,
    DialogueState,
    ForgetHistory,
    IncomingMessage,
    MessageKind,
    OpenTicket,
    Reply,
    TurnResult,
)


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
    """The reply, if it goes out at once; None when there is none, or it has to wait."""
    more_waiting: bool
    """There are deliveries that this turn did not start itself (a notice, a reply that has to wait)."""
    silent: bool = False
    """The turn ended without a reply."""


_STANDING = Statement(
    select(
        inbound.c.text,
        turns.c.state,
        participants.c.state.label("dialogue"),
        exists()
        .where(
            deliveries.c.conversation_id == turns.c.conversation_id,
            deliveries.c.state.in_([literal("waiting"), literal("sending")]),
        )
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
_ENDING = ("state", "outcome", "confidence", "question", "engine", "tokens", "knowledge_version", "finished_at")
_END_TURN = Statement(
    update(turns).where(turns.c.id == bindparam("turn")).values({name: bindparam(name) for name in _ENDING})
)
_END_MESSAGES = Statement(
    update(inbound).where(inbound.c.turn_id == bindparam("turn")).values(state=bindparam("state"))
)
_INSERT_HISTORY = Statement(
    insert_into(history, "conversation_id person_id turn_id inbound_id role text name outcome sequence rank at")
)
_NEWEST_ENTRY = Statement(
    select(func.max(history.c.id)).where(
        history.c.conversation_id == bindparam("conversation"), history.c.person_id == bindparam("person")
    )
)
_INSERT_DELIVERY = Statement(
    insert_into(
        deliveries, "conversation_id person_id turn_id author reply state attempts placeholder created_at updated_at"
    ).returning(deliveries.c.id)
)


def finish(
    connection: Connection,
    begun: Begun,
    result: TurnResult,
    notices: Sequence[tuple[ConversationRef, Reply]],
    placeholder: str | None,
    state: str,
    now: datetime,
    *,
    at_once: bool,
) -> Finished | None:
    """Everything the turn did becomes true. None: a message was edited meanwhile, and the turn has to run again.

    :param at_once: the platform takes the reply now, if no other waits in front of it.

    A turn that has ended already (this very work, committed just before its commit was reported lost) stays as it is.
    """
    turn = begun.turn
    standing = _STANDING.rows(connection, {"turn": turn.id})
    if standing[0].state != "running":
        return Finished(delivery=None, more_waiting=True)
    if state == "done" and [row.text for row in standing] != [message.text for message in turn.messages]:
        return None
    _end_turn(connection, begun, result, state, now)
    _write_history(connection, begun, [row.text for row in standing], result, now)
    _apply(connection, begun, result, now)
    _keep_state(connection, begun, result, state_from_json(standing[0].dialogue), now)
    for address, notice in notices:
        insert_notice(connection, address, notice, turn.id, now)
    delivery = None
    if result.reply is not None:
        at_once = at_once and not standing[0].behind_others
        delivery = _insert_delivery(connection, begun, result.reply, placeholder, now, at_once=at_once)
    silent = result.reply is None
    return Finished(delivery=delivery, more_waiting=bool(notices) or not (silent or delivery), silent=silent)


def _apply(connection: Connection, begun: Begun, result: TurnResult, now: datetime) -> None:
    for effect in result.effects:
        match effect:
            case OpenTicket():
                insert_ticket(connection, effect, begun.turn.id, begun.conversation_id)
            case AddToTicket():
                add_to_ticket(connection, effect, begun.turn.sender.id, begun.turn.id, now)
            case CloseTicket():
                close_ticket(connection, effect, begun.turn.sender.id, now)
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
        "knowledge_version": result.knowledge_version or None,
        "finished_at": now,
    }
    _END_TURN.run(connection, row | {"turn": begun.turn.id})
    ended = "parked" if state == "parked" else "done"
    _END_MESSAGES.run(connection, {"state": ended, "turn": begun.turn.id})


def _write_history(
    connection: Connection, begun: Begun, words_now: Sequence[str], result: TurnResult, now: datetime
) -> None:
    """`words_now` are the messages as they stand: one may have been edited in a turn that was stopped or parked."""
    common = {"conversation_id": begun.conversation_id, "person_id": begun.turn.sender.id, "turn_id": begun.turn.id}
    common |= {"name": "", "outcome": "", "inbound_id": None}
    rows: list[dict[str, Any]] = []
    for row_id, message, text in zip(begun.inbound_ids, begun.turn.messages, words_now, strict=True):
        if words := spoken(replace(message, text=text)):
            row = {"role": "customer", "text": words, "rank": CUSTOMER_RANK, "inbound_id": row_id}
            rows.append(common | row | {"sequence": message.sequence, "at": message.sent_at})
    for returned in result.functions:
        row = {"role": "function", "name": returned.name, "text": returned.result, "rank": FUNCTION_RANK}
        rows.append(common | row | {"sequence": begun.sequence, "at": returned.at})
    if result.reply is not None:
        row = {"role": "bot", "text": result.reply.text, "outcome": result.reply.outcome.value, "rank": BOT_RANK}
        rows.append(common | row | {"sequence": begun.sequence, "at": now})
    if rows:
        _INSERT_HISTORY.run(connection, rows)


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
        newest = _NEWEST_ENTRY.scalar(connection, {"conversation": begun.conversation_id, "person": person})
        row["forgotten_through"] = newest or 0
        changes += " forgotten_through"
    upsert(connection, participants, row, "conversation_id person_id", changes)


def _insert_delivery(
    connection: Connection, begun: Begun, reply: Reply, placeholder: str | None, now: datetime, *, at_once: bool
) -> Delivery | None:
    """The reply's row. If it need not wait, it is handed out as being sent: one transaction less."""
    reply = replace(reply, turn_id=begun.turn.id, answers=begun.inbound_ids)
    row = {
        "conversation_id": begun.conversation_id,
        "person_id": begun.turn.sender.id,
        "turn_id": begun.turn.id,
        "author": Author.BOT.value,
        "reply": reply_to_json(reply),
        "state": "sending" if at_once else "waiting",
        "attempts": int(at_once),
        "placeholder": placeholder,
        "created_at": now,
        "updated_at": now,
    }
    row_id: int = _INSERT_DELIVERY.scalar(connection, row)
    if not at_once:
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
