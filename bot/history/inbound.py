"""Storing what arrives: every dedupe key, the message, and the platform's cursor, in one transaction.

Functions over a `Connection`, run by the database's writer. They may run again after a failed commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import Connection, Table, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bot.history.codec import conversation_to_columns, reply_to_json
from bot.history.moving import move
from bot.history.statements import Statement, insert_into
from bot.history.tables import (
    conversations,
    cursors,
    deliveries,
    feedback,
    history,
    inbound,
    inbound_keys,
    people,
    turns,
)
from bot.messages import (
    ConversationRef,
    IncomingMessage,
    MessageKind,
    Receipt,
    ReceiptStatus,
    Reply,
    Sender,
)

Row: TypeAlias = dict[str, Any]

UNSEEN_EDIT_AGE = timedelta(minutes=10)
"""An edit of a message that was never seen is answered as new if the message is this young: it overtook it."""

CUSTOMER_RANK, FUNCTION_RANK, BOT_RANK, AGENT_RANK = 0, 1, 2, 3
"""The order of history entries that share a sequence number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A message and what the limits say of it."""

    message: IncomingMessage
    shed: bool = False
    notice: Reply | None = None
    """What a person whose message is shed is told; None when they were told a moment ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of a message, and what the lanes have to know of it."""

    receipt: Receipt
    conversation_id: int
    stop: bool = False
    rerun: bool = False
    """A message of the running turn has new words."""
    moved_to: str = ""
    second_copy: bool = False
    """It had been stored before."""


@dataclass(slots=True)
class Known:
    """Rows that are surely there, so that a message of somebody known costs three statements less."""

    conversations: dict[ConversationRef, int]
    people: set[Sender]


def store(
    connection: Connection,
    admissions: Sequence[Admission],
    cursor: tuple[str, str, str] | None,
    known: Known,
    now: datetime,
) -> list[Stored]:
    """Stores the messages in order and moves the cursor. `known` is only read: the commit may still fail."""
    result = [_store_one(connection, admission, known, now) for admission in admissions]
    if cursor is not None:
        platform, account, value = cursor
        row = {"platform": platform, "account": account, "value": value, "updated_at": now}
        upsert(connection, cursors, row, "platform account", "value updated_at")
    return result


def read_cursor(connection: Connection, platform: str, account: str) -> str | None:
    statement = select(cursors.c.value).where(cursors.c.platform == platform, cursors.c.account == account)
    value: str | None = connection.execute(statement).scalar()
    return value


def upsert(connection: Connection, table: Table, rows: Row | list[Row], keys: str, changes: str = "") -> None:
    """INSERT … ON CONFLICT (keys) DO UPDATE the changes, or NOTHING. Names are separated by spaces; rows are alike."""
    columns = " ".join(rows[0] if isinstance(rows, list) else rows)
    _upsert(connection.dialect.name, table, columns, keys, changes).run(connection, rows)


@cache
def _upsert(dialect: str, table: Table, columns: str, keys: str, changes: str) -> Statement:
    build = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement = build(table).values({name: bindparam(name) for name in columns.split()})
    if not changes:
        return Statement(statement.on_conflict_do_nothing(index_elements=keys.split()))
    excluded = {name: statement.excluded[name] for name in changes.split()}
    return Statement(statement.on_conflict_do_update(index_elements=keys.split(), set_=excluded))


def conversation_id(connection: Connection, ref: ConversationRef, now: datetime, *, reopen: bool = False) -> int:
    """The conversation's row, made if it is not there.

    :param reopen: somebody writes there: it is not closed any more.
    """
    statement = _conversation(connection.dialect.name, reopen=reopen)
    row = {**conversation_to_columns(ref), "created_at": now, "closed": 0}
    found: int = statement.scalar(connection, row)
    return found


@cache
def _conversation(dialect: str, *, reopen: bool) -> Statement:
    build = sqlite.insert if dialect == "sqlite" else postgresql.insert
    names = ("platform", "account", "channel", "thread", "created_at", "closed")
    statement = build(conversations).values({name: bindparam(name) for name in names})
    # Without a change there would be nothing to return.
    changes = {"closed": 0} if reopen else {"platform": statement.excluded.platform}
    return Statement(
        statement.on_conflict_do_update(index_elements=names[:4], set_=changes).returning(conversations.c.id)
    )


def _store_one(connection: Connection, admission: Admission, known: Known, now: datetime) -> Stored:
    message = admission.message
    conversation = known.conversations.get(message.conversation)
    first_copy, seen = _first_copy(connection, message)
    if seen:
        _add_keys(connection, message, first_copy, now)
        shed = first_copy is not None and _STATE.scalar(connection, {"row": first_copy}) == "shed"
        status = ReceiptStatus.SHED if shed else ReceiptStatus.DUPLICATE
        receipt = Receipt(status=status, inbound_id=first_copy)
        return Stored(receipt=receipt, conversation_id=conversation or 0, second_copy=True)
    if conversation is None:
        conversation = conversation_id(connection, message.conversation, now, reopen=True)
    if message.sender not in known.people:
        _meet(connection, message.sender, now)
    match message.kind:
        case MessageKind.EDIT:
            return _edit(connection, message, conversation, now)
        case MessageKind.STOP:
            return _stop(connection, message, conversation, now)
        case MessageKind.FEEDBACK:
            _rate(connection, message, conversation, now)
        case MessageKind.GONE:
            _close(connection, message)
        case MessageKind.MOVED:
            move(connection, message.conversation, message.text)
            _add_keys(connection, message, None, now)
            done = Receipt(status=ReceiptStatus.DONE)
            return Stored(receipt=done, conversation_id=conversation, moved_to=message.text)
        case MessageKind.TEXT | MessageKind.COMMAND | MessageKind.ACTION:
            return _keep(connection, admission, conversation, now)
    _add_keys(connection, message, None, now)
    return Stored(receipt=Receipt(status=ReceiptStatus.DONE), conversation_id=conversation)


_STATE = Statement(select(inbound.c.state).where(inbound.c.id == bindparam("row")))
_KEYS_AT_ONCE = 4
"""A fixed number, so that the statement is built once; a message with fewer keys names one of them repeatedly."""
_FIRST_COPY = Statement(
    select(inbound_keys.c.inbound_id).where(
        inbound_keys.c.platform == bindparam("platform"),
        inbound_keys.c.account == bindparam("account"),
        inbound_keys.c.key.in_([bindparam(f"key_{place}") for place in range(_KEYS_AT_ONCE)]),
    )
)


def _first_copy(connection: Connection, message: IncomingMessage) -> tuple[int | None, bool]:
    """(row of the first copy, whether there is one). A message without a row (feedback) has been seen all the same."""
    ref = message.conversation
    keys = list(message.keys)
    if message.message_id and message.kind is not MessageKind.EDIT:
        keys.append(_overtaken_key(message))
    rows: list[int | None] = []
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[start : start + _KEYS_AT_ONCE]
        asked = {f"key_{place}": some[min(place, len(some) - 1)] for place in range(_KEYS_AT_ONCE)}
        found = _FIRST_COPY.rows(connection, {"platform": ref.platform, "account": ref.account, **asked})
        rows += [row.inbound_id for row in found]
    return next((row for row in rows if row is not None), None), bool(rows)


def _overtaken_key(message: IncomingMessage) -> str:
    """Under this key stands an edit that came before its message; the message itself is then a second copy."""
    ref = message.conversation
    return f"edited:{ref.channel}:{ref.thread}:{message.message_id}"


def _add_keys(connection: Connection, message: IncomingMessage, row: int | None, now: datetime, *more: str) -> None:
    ref = message.conversation
    common = {"platform": ref.platform, "account": ref.account, "inbound_id": row, "created_at": now}
    rows = [common | {"key": key} for key in dict.fromkeys((*message.keys, *more))]
    upsert(connection, inbound_keys, rows, "platform account key")


def _meet(connection: Connection, sender: Sender, now: datetime) -> None:
    row = {
        "id": sender.id,
        "platform": sender.id.partition(":")[0],
        "name": sender.name,
        "language": sender.language,
        "created_at": now,
    }
    # Some events do not say who it was (a pressed Stop): they must not make a stranger of somebody known.
    known = " ".join(name for name in ("name", "language") if row[name])
    upsert(connection, people, row, "id", known)


def _keep(connection: Connection, admission: Admission, conversation: int, now: datetime) -> Stored:
    message = admission.message
    row_id = _insert(connection, message, conversation, "shed" if admission.shed else "waiting", now)
    _add_keys(connection, message, row_id, now)
    if not admission.shed:
        receipt = Receipt(status=ReceiptStatus.ACCEPTED, inbound_id=row_id)
        return Stored(receipt=receipt, conversation_id=conversation)
    _keep_words(connection, message, conversation, row_id)
    if admission.notice is not None:
        _tell(connection, admission.notice, conversation, message.sender.id, row_id, now)
    return Stored(receipt=Receipt(status=ReceiptStatus.SHED, inbound_id=row_id), conversation_id=conversation)


_MESSAGE = "conversation_id person_id kind text message_id detail state sent_at received_at"
_INSERT = Statement(insert_into(inbound, f"{_MESSAGE} sequence").returning(inbound.c.id))
# Without an order of the platform's own, arrival counts; ids grow with it.
_ARRIVAL = select(func.coalesce(func.max(inbound.c.id), 0) + 1).scalar_subquery()
_INSERT_AS_IT_ARRIVES = Statement(insert_into(inbound, _MESSAGE).values(sequence=_ARRIVAL).returning(inbound.c.id))


def _insert(connection: Connection, message: IncomingMessage, conversation: int, state: str, now: datetime) -> int:
    row: Row = {
        "conversation_id": conversation,
        "person_id": message.sender.id,
        "kind": message.kind.value,
        "text": message.text,
        "message_id": message.message_id,
        "detail": detail_of(message),
        "state": state,
        "sent_at": message.sent_at,
        "received_at": now,
    }
    if message.sequence is not None:
        row["sequence"] = message.sequence
    statement = _INSERT_AS_IT_ARRIVES if message.sequence is None else _INSERT
    row_id: int = statement.scalar(connection, row)
    return row_id


def detail_of(message: IncomingMessage) -> dict[str, Any]:
    """What has no column of its own. `bot.history.turns` reads it back."""
    detail: dict[str, Any] = {"collections": list(message.collections)}
    if message.command:
        detail["command"] = message.command
    if message.quote:
        detail["quote"] = message.quote
    if message.attachments:
        detail["attachments"] = list(message.attachments)
    if not message.direct:
        detail["direct"] = False
    return detail


_KEEP_WORDS = Statement(
    insert_into(history, "conversation_id person_id inbound_id role text sequence rank at name outcome")
)


def _keep_words(connection: Connection, message: IncomingMessage, conversation: int, row_id: int) -> None:
    """A shed message is not answered, but it has been said: it goes into history."""
    if not message.text:
        return
    row = {
        "conversation_id": conversation,
        "person_id": message.sender.id,
        "inbound_id": row_id,
        "role": "customer",
        "text": message.text,
        "sequence": row_id if message.sequence is None else message.sequence,
        "rank": CUSTOMER_RANK,
        "at": message.sent_at,
        "name": "",
        "outcome": "",
    }
    _KEEP_WORDS.run(connection, row)


def _tell(connection: Connection, notice: Reply, conversation: int, person: str, row_id: int, now: datetime) -> None:
    reply = reply_to_json(notice) | {"answers": [row_id]}
    row = {
        "conversation_id": conversation,
        "person_id": person,
        "author": notice.author.value,
        "reply": reply,
        "state": "waiting",
        "created_at": now,
        "updated_at": now,
    }
    connection.execute(insert(deliveries), row)


def _by_message_id(connection: Connection, message: IncomingMessage, conversation: int) -> Any:
    statement = (
        select(inbound.c.id, inbound.c.state)
        .where(inbound.c.conversation_id == conversation, inbound.c.message_id == message.message_id)
        .order_by(inbound.c.id.desc())
        .limit(1)
    )
    return connection.execute(statement).first()


def _edit(connection: Connection, message: IncomingMessage, conversation: int, now: datetime) -> Stored:
    """Before the answer an edit replaces the words; after it, it corrects history only."""
    original = _by_message_id(connection, message, conversation) if message.message_id else None
    if original is None:
        if message.direct and message.text and now - message.sent_at < UNSEEN_EDIT_AGE:
            row_id = _insert(connection, replace(message, kind=MessageKind.TEXT), conversation, "waiting", now)
            _add_keys(connection, message, row_id, now, _overtaken_key(message))
            receipt = Receipt(status=ReceiptStatus.ACCEPTED, inbound_id=row_id)
            return Stored(receipt=receipt, conversation_id=conversation)
        _add_keys(connection, message, None, now)
        return Stored(receipt=Receipt(status=ReceiptStatus.DONE), conversation_id=conversation)
    _add_keys(connection, message, original.id, now)
    connection.execute(update(inbound).where(inbound.c.id == original.id), {"text": message.text})
    statement = update(history).where(history.c.inbound_id == original.id, history.c.role == "customer")
    connection.execute(statement, {"text": message.text})
    return Stored(
        receipt=Receipt(status=ReceiptStatus.EDITED, inbound_id=original.id),
        conversation_id=conversation,
        rerun=original.state == "working",
    )


def _stop(connection: Connection, message: IncomingMessage, conversation: int, now: datetime) -> Stored:
    running = update(turns).where(turns.c.conversation_id == conversation, turns.c.state == "running")
    stopped = connection.execute(running.where(turns.c.person_id == message.sender.id), {"stop_requested": 1}).rowcount
    _add_keys(connection, message, None, now)
    return Stored(receipt=Receipt(status=ReceiptStatus.DONE), conversation_id=conversation, stop=stopped > 0)


def _rate(connection: Connection, message: IncomingMessage, conversation: int, now: datetime) -> None:
    assert message.feedback is not None
    given = message.feedback
    statement = select(turns.c.id).where(turns.c.id == given.turn_id, turns.c.conversation_id == conversation)
    if connection.execute(statement).first() is None:
        return  # an answer of another conversation, or an erased one
    record_rating(connection, given.turn_id, message.sender.id, given.rating, given.comment, now)


def record_rating(connection: Connection, turn_id: str, person: str, rating: str, comment: str, now: datetime) -> None:
    """One judgement a person and answer; the last one counts."""
    row = {"turn_id": turn_id, "person_id": person, "rating": rating, "comment": comment, "at": now}
    upsert(connection, feedback, row, "turn_id person_id", "rating comment at")


def _close(connection: Connection, message: IncomingMessage) -> None:
    """Nothing can be sent there any more; what waits for it has failed."""
    ref = message.conversation
    there = (
        conversations.c.platform == ref.platform,
        conversations.c.account == ref.account,
        conversations.c.channel == ref.channel,
    )
    connection.execute(update(conversations).where(*there), {"closed": 1})
    ids = select(conversations.c.id).where(*there)
    waiting = update(deliveries).where(deliveries.c.conversation_id.in_(ids), deliveries.c.state == "waiting")
    connection.execute(waiting, {"state": "failed", "error": "the person or group closed the conversation"})
