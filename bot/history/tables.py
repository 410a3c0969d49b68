"""Every table. A person's rows are all reached from `people.id`, so that they can be exported and erased.

Times are UTC and aware; SQLite keeps them as text without a zone, so `UtcDateTime` puts it back.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from bot.messages import Author, Outcome, TicketState


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time. A naive one is a programming error and is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time reached the database")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True, autoincrement=True)


def _reference(name: str, target: str, *, null: bool = False, **options: Any) -> Column[Any]:
    kind = String(200) if target in ("people.id", "turns.id", "tickets.number") else Integer
    return Column(name, kind, ForeignKey(target), nullable=null, **options)


def _time(name: str, *, null: bool = False) -> Column[datetime]:
    return Column(name, UtcDateTime, nullable=null)


def _choice(name: str, *values: str) -> Column[str]:
    return Column(name, Enum(*values, name=name, native_enum=False, create_constraint=False, length=20), nullable=False)


people = Table(
    "people",
    metadata,
    Column("id", String(200), primary_key=True),  # "telegram:123"
    Column("platform", String(40), nullable=False),
    Column("name", String(200), nullable=False, default=""),
    Column("language", String(35), nullable=False, default=""),
    _time("created_at"),
)

conversations = Table(
    "conversations",
    metadata,
    _id(),
    Column("platform", String(40), nullable=False),
    Column("account", String(200), nullable=False),
    Column("channel", String(200), nullable=False),
    Column("thread", String(200), nullable=False, default=""),
    Column("closed", Integer, nullable=False, default=0),  # 1: nothing can be sent there (blocked, kicked)
    _time("created_at"),
    UniqueConstraint("platform", "account", "channel", "thread"),
)

# One person's dialogue in one conversation: in a group, each person has their own.
participants = Table(
    "participants",
    metadata,
    Column("conversation_id", Integer, ForeignKey("conversations.id"), primary_key=True),
    _reference("person_id", "people.id", primary_key=True, index=True),
    Column("state", JSON, nullable=False, default=dict),  # DialogueState
    Column("forgotten_through", Integer, nullable=False, default=0),  # history.id; earlier entries are not used
    _time("updated_at"),
)

inbound = Table(
    "inbound",
    metadata,
    _id(),
    _reference("conversation_id", "conversations.id"),
    _reference("person_id", "people.id", index=True),
    _reference("turn_id", "turns.id", null=True, index=True),
    Column("kind", String(20), nullable=False),
    Column("text", Text, nullable=False, default=""),
    Column("message_id", String(200), nullable=False, default=""),
    Column("sequence", BigInteger, nullable=False),
    Column("detail", JSON, nullable=False, default=dict),  # the rest of IncomingMessage
    _choice("state", "waiting", "working", "done", "shed", "parked"),
    _time("sent_at"),
    _time("received_at"),
    # What a lane asks for: the messages of a conversation that still wait, in the platform's order.
    Index("ix_inbound_open", "conversation_id", "state", "sequence"),
    Index("ix_inbound_message", "conversation_id", "message_id"),
)

inbound_keys = Table(
    "inbound_keys",
    metadata,
    Column("platform", String(40), primary_key=True),
    Column("account", String(200), primary_key=True),
    Column("key", String(300), primary_key=True),
    _reference("inbound_id", "inbound.id", null=True, index=True),
    Column("created_at", UtcDateTime, nullable=False, index=True),
    sqlite_with_rowid=False,
)

cursors = Table(
    "cursors",
    metadata,
    Column("platform", String(40), primary_key=True),
    Column("account", String(200), primary_key=True),
    Column("value", String(500), nullable=False),
    _time("updated_at"),
)

turns = Table(
    "turns",
    metadata,
    Column("id", String(200), primary_key=True),
    _reference("conversation_id", "conversations.id", index=True),
    _reference("person_id", "people.id", index=True),
    _choice("state", "running", "done", "stopped", "parked"),
    Column("attempts", Integer, nullable=False, default=1),
    Column("stop_requested", Integer, nullable=False, default=0),
    Column("outcome", Enum(*[o.value for o in Outcome], name="outcome", native_enum=False, length=20), nullable=True),
    Column("confidence", Float, nullable=True),
    Column("question", Text, nullable=False, default=""),  # as it was searched for
    Column("engine", String(60), nullable=False, default=""),
    Column("tokens", Integer, nullable=False, default=0),
    Column("knowledge_version", Integer, nullable=True),  # that was searched; none where nothing was found
    _time("started_at"),
    _time("finished_at", null=True),
    Index("ix_turns_running", "state", "conversation_id"),
    Index("ix_turns_spent", "person_id", "started_at"),
)

history = Table(
    "history",
    metadata,
    _id(),
    _reference("conversation_id", "conversations.id"),
    _reference("person_id", "people.id", index=True),
    _reference("turn_id", "turns.id", null=True, index=True),
    _reference("inbound_id", "inbound.id", null=True, index=True),
    _choice("role", "customer", "bot", "agent", "function"),
    Column("name", String(200), nullable=False, default=""),  # the agent's or the function's
    Column("outcome", String(20), nullable=False, default=""),
    Column("text", Text, nullable=False),
    # Read in the order of the conversation: the platform's own numbers, then question before answer.
    Column("sequence", BigInteger, nullable=False),
    Column("rank", Integer, nullable=False),
    _time("at"),
    Index("ix_history_order", "conversation_id", "person_id", "sequence", "rank", "id"),
    UniqueConstraint("inbound_id", "role"),
)

deliveries = Table(
    "deliveries",
    metadata,
    _id(),
    _reference("conversation_id", "conversations.id"),
    _reference("person_id", "people.id", null=True, index=True),  # none for notices to operators
    _reference("turn_id", "turns.id", null=True),
    _reference("ticket", "tickets.number", null=True),
    Column("author", Enum(*[a.value for a in Author], name="author", native_enum=False, length=20), nullable=False),
    Column("reply", JSON, nullable=False),
    _choice("state", "waiting", "sending", "sent", "unknown", "failed", "dropped"),
    Column("attempts", Integer, nullable=False, default=0),  # sends whose end nobody knows, the running one included
    Column("parts_sent", Integer, nullable=False, default=0),
    Column("placeholder", String(200), nullable=True),  # a message of the platform that the first part is written into
    Column("message_ids", JSON, nullable=False, default=list),
    Column("error", String(300), nullable=False, default=""),
    _time("created_at"),
    _time("updated_at"),
    Index("ix_deliveries_open", "state", "conversation_id", "id"),
    Index("ix_deliveries_conversation", "conversation_id", "id"),
    UniqueConstraint("turn_id", "conversation_id", "author"),
)

tickets = Table(
    "tickets",
    metadata,
    Column("number", String(200), primary_key=True),
    _reference("conversation_id", "conversations.id", index=True),
    _reference("person_id", "people.id", index=True),
    _reference("turn_id", "turns.id"),
    Column("call", Integer, nullable=False),
    Column("subject", String(500), nullable=False),
    Column("state", Enum(*[s.value for s in TicketState], name="state", native_enum=False, length=20), nullable=False),
    Column("urgency", String(20), nullable=False),
    Column("contact", String(300), nullable=False, default=""),
    Column("order_no", String(100), nullable=False, default=""),
    Column("assignee", String(200), nullable=False, default=""),
    Column("transcript", JSON, nullable=False, default=list),
    _time("created_at"),
    _time("updated_at"),
    _time("due_at"),
    Index("ix_tickets_queue", "state", "created_at"),
    UniqueConstraint("turn_id", "call"),
)

ticket_events = Table(
    "ticket_events",
    metadata,
    _id(),
    _reference("ticket", "tickets.number", index=True),
    _reference("turn_id", "turns.id", null=True),
    _choice("kind", "opened", "customer", "agent", "assigned", "state", "delivery"),
    Column("author", String(200), nullable=False, default=""),
    Column("text", Text, nullable=False, default=""),
    _time("at"),
)

# Calls of functions that change something outside: written before the call, so that none is made twice.
function_calls = Table(
    "function_calls",
    metadata,
    Column("key", String(300), primary_key=True),
    _reference("turn_id", "turns.id", index=True),
    _reference("person_id", "people.id", index=True),
    Column("function", String(64), nullable=False),
    Column("result", JSON(none_as_null=True), nullable=True),  # none while it runs, and for ever after a crash in it
    _time("started_at"),
    _time("finished_at", null=True),
)

feedback = Table(
    "feedback",
    metadata,
    _id(),
    _reference("turn_id", "turns.id"),
    _reference("person_id", "people.id", index=True),
    _choice("rating", "up", "down"),
    Column("comment", Text, nullable=False, default=""),
    _time("at"),
    UniqueConstraint("turn_id", "person_id"),
    CheckConstraint("rating in ('up', 'down')", name="rating"),
)

# -- For a channel on which we may write to a person only so often, and only for so long, after they wrote --
#
# Written before what the person said is accepted, so the person's own row may not be there yet.

reply_windows = Table(
    "reply_windows",
    metadata,
    Column("platform", String(40), primary_key=True),
    Column("account", String(200), primary_key=True),
    Column("channel", String(200), primary_key=True),
    Column("thread", String(200), primary_key=True),
    Column("person", String(200), nullable=False, index=True),  # people.id
    Column("salt", String(32), nullable=False),  # of the names of messages: another database makes other names
    _time("heard_at", null=True),  # when the person last wrote
    Column("heard_id", String(200), nullable=False, default=""),  # the name of what they wrote then
    Column("sent", JSON, nullable=False, default=list),  # names of the messages that have, or may have, left since
    _choice("held_by", "bot", "queue", "person"),
    _time("held_at", null=True),
    Column("welcome", String(64), nullable=False, default=""),  # digest of the last welcome's code: it is good once
    _time("updated_at"),
)

# The answer to one message, on a platform that lets it grow in the place that the message opened for it.
growing_answers = Table(
    "growing_answers",
    metadata,
    Column("id", String(64), primary_key=True),  # ours; the platform knows the answer by it
    Column("platform", String(40), nullable=False),
    Column("account", String(200), nullable=False),
    Column("channel", String(200), nullable=False),
    Column("thread", String(200), nullable=False),
    _reference("inbound_id", "inbound.id", unique=True),
    Column("language", String(35), nullable=False),
    Column("request", String(300), nullable=False),  # the platform's name of the call that it answers
    Column("code", String(1000), nullable=False),  # for one answer that comes too late for that; "" for none
    Column("code_for", String(80), nullable=False),  # what the code was used for; "": it is still good
    _choice("state", "open", "answered", "late", "ended", "elsewhere"),
    Column("turn", String(200), nullable=False),  # whose reply it is; "" before
    Column("text", Text, nullable=False),  # as it stands, where the platform comes and asks for it
    Column("card", JSON(none_as_null=True), nullable=True),
    Column("fetched", Integer, nullable=False),  # 1: the platform has come for the end of it
    _time("opened_at"),
    _time("ends_at"),  # by itself, if nobody has finished it
    Column("updated_at", UtcDateTime, nullable=False, index=True),
    Index("ix_growing_answers_place", "platform", "account", "channel", "thread", "state"),
)

# What one process at a time may do (hold a connection that a platform allows once). Whoever holds it counts on.
leases = Table(
    "leases",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("beat", BigInteger, nullable=False),
    _time("updated_at"),
)

# -- What the knowledge is and was; read and written by `knowledge.sql_ledger` --

knowledge_versions = Table(
    "knowledge_versions",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key", String(32), nullable=False),  # never given out twice, unlike the number
    _time("at"),
    Column("kind", String(20), nullable=False),
    Column("collection", Text, nullable=False),
    Column("added", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
    Column("removed", Integer, nullable=False),
    Column("basis", Integer, nullable=True),  # the version that a rollback went back to
)

knowledge_contents = Table(
    "knowledge_contents",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("passages", Text, nullable=False),  # of one document, JSON
)

knowledge_documents = Table(
    "knowledge_documents",
    metadata,
    _id(),
    Column("collection", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("digest", String(64), ForeignKey("knowledge_contents.digest"), nullable=False, index=True),
    Column("since", Integer, nullable=False),  # versions from this one on
    Column("until", Integer, nullable=True, index=True),  # and before this one; none: it stands now
)

# -- For a channel that people install into workspaces of their own --
#
# Read and written by a platform's own library, inside our transactions: the columns are those it knows by name, and
# their times have no zone. Tokens are encrypted.


def _installed(*more: Column[Any]) -> tuple[Column[Any], ...]:
    return (
        _id(),
        Column("client_id", String(64), nullable=False),
        Column("app_id", String(32), nullable=False),
        Column("enterprise_id", String(32), nullable=True),
        Column("enterprise_name", String(200), nullable=True),
        Column("team_id", String(32), nullable=True),
        Column("team_name", String(200), nullable=True),
        Column("bot_token", Text, nullable=True),
        Column("bot_id", String(32), nullable=True),
        Column("bot_user_id", String(32), nullable=True),
        Column("bot_scopes", Text, nullable=True),
        Column("bot_refresh_token", Text, nullable=True),
        Column("bot_token_expires_at", DateTime, nullable=True),
        Column("is_enterprise_install", Boolean, nullable=False),
        Column("installed_at", DateTime, nullable=False),
        *more,
    )


installed_bots = Table(
    "installed_bots", metadata, *_installed(), Index("ix_installed_bots_workspace", "client_id", "team_id")
)

installations = Table(
    "installations",
    metadata,
    *_installed(
        Column("enterprise_url", String(200), nullable=True),
        Column("user_id", String(32), nullable=False),
        Column("user_token", Text, nullable=True),
        Column("user_scopes", Text, nullable=True),
        Column("user_refresh_token", Text, nullable=True),
        Column("user_token_expires_at", DateTime, nullable=True),
        Column("incoming_webhook_url", Text, nullable=True),
        Column("incoming_webhook_channel", String(200), nullable=True),
        Column("incoming_webhook_channel_id", String(200), nullable=True),
        Column("incoming_webhook_configuration_url", Text, nullable=True),
        Column("token_type", String(32), nullable=True),
    ),
    Index("ix_installations_workspace", "client_id", "team_id"),
)

oauth_states = Table(
    "oauth_states",
    metadata,
    _id(),
    Column("state", String(200), nullable=False, unique=True),
    Column("expire_at", DateTime, nullable=False, index=True),
)
