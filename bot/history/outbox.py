"""What happened to the replies. Functions over a `Connection`; they may run again after a failed commit.

A delivery is `waiting`, then `sending` (committed before the call), then `sent`, `unknown` (sent twice at most, nobody
can tell) or `failed`; an operator may have `dropped` one of the last two. `attempts` counts the sends whose end nobody
knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, select, update

from bot.history.codec import reply_from_json
from bot.history.endings import Delivery
from bot.history.statements import Statement
from bot.history.tables import conversations, deliveries, ticket_events
from bot.messages import ConversationRef, Reply

OPEN = ("waiting", "sending")
STUCK = ("unknown", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckDelivery:
    """A reply that needs an operator: nobody knows whether it arrived, or it surely did not."""

    id: int
    conversation: ConversationRef
    state: str
    error: str
    text: str
    ticket: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A delivery and what became of it."""

    delivery: Delivery
    state: str
    message_ids: tuple[str, ...]


def _with_address() -> Select[Any]:
    address = (conversations.c.platform, conversations.c.account, conversations.c.channel, conversations.c.thread)
    return select(deliveries, *address).join(conversations, conversations.c.id == deliveries.c.conversation_id)


def _ref(row: Row[Any]) -> ConversationRef:
    return ConversationRef(platform=row.platform, account=row.account, channel=row.channel, thread=row.thread)


def first_open(connection: Connection, conversation: int) -> Delivery | None:
    """The oldest delivery of the conversation that has not ended."""
    statement = (
        _with_address()
        .where(deliveries.c.conversation_id == conversation, deliveries.c.state.in_(OPEN))
        .order_by(deliveries.c.id)
        .limit(1)
    )
    row = connection.execute(statement).first()
    return None if row is None else _delivery(row)


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        conversation_id=row.conversation_id,
        conversation=_ref(row),
        reply=reply_from_json(row.reply),
        attempts=row.attempts,
        parts_sent=row.parts_sent,
        placeholder=row.placeholder,
        in_flight=row.state == "sending",
    )


def _marking(*names: str) -> Statement:
    changes: dict[str, Any] = {name: bindparam(name) for name in (*names, "updated_at")}
    return Statement(update(deliveries).where(deliveries.c.id == bindparam("delivery")).values(changes))


_BEGIN_SENDING = _marking("state", "attempts")
_PART_SENT = _marking("state", "attempts", "parts_sent", "message_ids", "error")
_WAIT_AGAIN = _marking("state", "attempts", "parts_sent", "error")
_GIVE_UP = _marking("state", "error")


def begin_sending(connection: Connection, delivery_id: int, attempts: int, now: datetime) -> None:
    """Written before the call: after a crash it says that a send may have been under way."""
    row = {"state": "sending", "attempts": attempts, "updated_at": now}
    _BEGIN_SENDING.run(connection, row | {"delivery": delivery_id})


def part_sent(
    connection: Connection, delivery_id: int, parts_sent: int, message_ids: Sequence[str], now: datetime, *, last: bool
) -> None:
    """One part has arrived; unless it was the last, the next one waits for the platform's rate."""
    row = {
        "state": "sent" if last else "waiting",
        "attempts": 1 if last else 0,
        "parts_sent": parts_sent,
        "message_ids": list(message_ids),
        "updated_at": now,
        "error": "",
    }
    _PART_SENT.run(connection, row | {"delivery": delivery_id})


def wait_again(
    connection: Connection, delivery_id: int, attempts: int, parts_sent: int, error: str, now: datetime
) -> None:
    """It goes out again later, from its first part that has not arrived."""
    row = {"state": "waiting", "attempts": attempts, "parts_sent": parts_sent, "error": error, "updated_at": now}
    _WAIT_AGAIN.run(connection, row | {"delivery": delivery_id})


def give_up(connection: Connection, delivery_id: int, state: str, error: str, now: datetime) -> None:
    """`unknown` or `failed`: from here on it is the operators' (and its ticket says so, if it has one)."""
    row = {"state": state, "error": error, "updated_at": now}
    _GIVE_UP.run(connection, row | {"delivery": delivery_id})
    number = connection.execute(select(deliveries.c.ticket).where(deliveries.c.id == delivery_id)).scalar()
    if number:
        event = {"ticket": number, "kind": "delivery", "author": "", "text": f"{state}: {error}", "at": now}
        connection.execute(ticket_events.insert(), event)


def find(connection: Connection, conversation: ConversationRef, delivery_id: int) -> Known | None:
    """A delivery of this conversation, whatever became of it."""
    row = connection.execute(_with_address().where(deliveries.c.id == delivery_id)).first()
    if row is None or _ref(row) != conversation:
        return None
    return Known(delivery=_delivery(row), state=row.state, message_ids=tuple(row.message_ids or ()))


def close_conversation(connection: Connection, conversation: int) -> None:
    connection.execute(update(conversations).where(conversations.c.id == conversation), {"closed": 1})


def is_closed(connection: Connection, conversation: int) -> bool:
    closed = connection.execute(select(conversations.c.closed).where(conversations.c.id == conversation)).scalar()
    return closed == 1


def conversations_with_open(connection: Connection, limit: int) -> list[tuple[int, str, str, str]]:
    """(conversation, platform, account, state of its oldest open delivery) for everything that waits."""
    oldest = (
        select(func.min(deliveries.c.id))
        .where(deliveries.c.state.in_(OPEN))
        .group_by(deliveries.c.conversation_id)
        .limit(limit)
    )
    statement = (
        select(deliveries.c.conversation_id, conversations.c.platform, conversations.c.account, deliveries.c.state)
        .join(conversations, conversations.c.id == deliveries.c.conversation_id)
        .where(deliveries.c.id.in_(oldest))
    )
    return [(row[0], row[1], row[2], row[3]) for row in connection.execute(statement)]


def counts(connection: Connection) -> dict[str, int]:
    """Deliveries by state, without those that are done with."""
    states = deliveries.c.state.in_([*OPEN, *STUCK])
    statement = select(deliveries.c.state, func.count()).where(states).group_by(deliveries.c.state)
    return {row[0]: row[1] for row in connection.execute(statement)}


def stuck(connection: Connection, limit: int) -> tuple[StuckDelivery, ...]:
    """What operators have to look at, oldest first."""
    statement = _with_address().where(deliveries.c.state.in_(STUCK)).order_by(deliveries.c.id).limit(limit)
    return tuple(
        StuckDelivery(
            id=row.id,
            conversation=_ref(row),
            state=row.state,
            error=row.error,
            text=reply_from_json(row.reply).text,
            ticket=row.ticket or "",
            created_at=row.created_at,
        )
        for row in connection.execute(statement)
    )


def settle(connection: Connection, delivery_id: int, *, again: bool, now: datetime) -> bool:
    """An operator's word on a stuck delivery: send it again, or leave it. False: there is no such stuck delivery."""
    row: dict[str, Any] = {"state": "waiting", "attempts": 0} if again else {"state": "dropped"}
    mine = update(deliveries).where(deliveries.c.id == delivery_id, deliveries.c.state.in_(STUCK))
    return connection.execute(mine, row | {"updated_at": now}).rowcount == 1


def replies_after(
    connection: Connection, ref: ConversationRef, after: int, limit: int
) -> tuple[tuple[int, Reply], ...]:
    """Everything said to a conversation after that delivery, oldest first."""
    statement = (
        select(deliveries.c.id, deliveries.c.reply)
        .join(conversations, conversations.c.id == deliveries.c.conversation_id)
        .where(
            conversations.c.platform == ref.platform,
            conversations.c.account == ref.account,
            conversations.c.channel == ref.channel,
            conversations.c.thread == ref.thread,
            deliveries.c.id > after,
        )
        .order_by(deliveries.c.id)
        .limit(limit)
    )
    return tuple((row.id, reply_from_json(row.reply)) for row in connection.execute(statement))
