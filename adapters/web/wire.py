"""Values as the browser reads them: JSON objects and server-sent events. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bot.messages import (
    AgentSaid,
    Author,
    BotSaid,
    CustomerSaid,
    FunctionReturned,
    HistoryEntry,
    Language,
    Outcome,
    Reply,
    Ticket,
)

PING = b": ping\n\n"
OPENED = b": open\n\n"
"""Written at once, so that the headers (the acknowledgement) leave before the first words."""


def event(name: str, data: Mapping[str, Any], *, id: int | None = None) -> bytes:  # noqa: A002 - the protocol's word
    """One server-sent event. JSON has no raw line breaks, so one `data` line is enough."""
    lead = f"event: {name}\n" if id is None else f"event: {name}\nid: {id}\n"
    return f"{lead}data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def delta(text: str, turn_id: str) -> bytes:
    """The answer so far."""
    return event("delta", {"text": text, "turn": turn_id})


def reply_event(delivery_id: int, reply: Reply) -> bytes:
    return event("reply", reply_json(delivery_id, reply), id=delivery_id)


def pending_event(text: str, language: Language, outcome: Outcome) -> bytes:
    """The end of a stream whose message has no reply (yet): the reply, if any, comes as an event of the session."""
    said = Reply(outcome=outcome, text=text, language=language)
    return event("reply", {**reply_json(None, said), "pending": True})


def reply_json(delivery_id: int | None, reply: Reply) -> dict[str, Any]:
    """The contract's fields first, then their siblings."""
    return {
        "response": reply.text,
        "confidence": round(reply.confidence, 4),
        "outcome": reply.outcome.value,
        "sources": [
            {"id": source.id, "title": source.title, "url": source.url, "score": round(source.score, 4)}
            for source in reply.sources
        ],
        "ticket": reply.ticket.number if reply.ticket else None,
        "ticket_details": ticket_json(reply.ticket) if reply.ticket else None,
        "id": delivery_id,
        "turn": reply.turn_id,
        "language": reply.language,
        "actions": [action.value for action in reply.actions],
        "author": reply.author.value,
        "agent": reply.agent,
        "answers": list(reply.answers),
    }


def ticket_json(ticket: Ticket) -> dict[str, Any]:
    """What the owner of a ticket sees on its card."""
    return {
        "number": ticket.number,
        "subject": ticket.subject,
        "state": ticket.state.value,
        "created_at": ticket.created_at.isoformat(),
        "updated_at": ticket.updated_at.isoformat(),
        "due_at": ticket.due_at.isoformat(),
    }


def history_json(history: Sequence[HistoryEntry], replies: Sequence[tuple[int, Reply]]) -> dict[str, Any]:
    """What the page shows after a reload: the dialogue, each answer with its reply where that is known.

    History knows the words and their order, replies know sources, ticket and buttons; they are matched by author and
    words from the newest backwards. `last` is the newest delivery of either: events after it are new to the reader.
    """
    left = list(replies)
    entries: list[dict[str, Any]] = []
    for said in reversed(history):
        entry = _entry_json(said)
        if entry is None:
            continue
        if not isinstance(said, CustomerSaid):
            entry["reply"] = _take(left, said)
        entries.append(entry)
    return {"entries": entries[::-1], "last": max((id_ for id_, _ in replies), default=0)}


def _take(left: list[tuple[int, Reply]], said: HistoryEntry) -> dict[str, Any] | None:
    author = Author.AGENT if isinstance(said, AgentSaid) else Author.BOT
    for index in range(len(left) - 1, -1, -1):
        delivery_id, reply = left[index]
        if reply.text == said_text(said) and reply.author is author:
            # Order holds on both sides: what is newer than this match belongs to no older entry.
            del left[index:]
            return reply_json(delivery_id, reply)
    return None


def said_text(said: HistoryEntry) -> str:
    return said.result if isinstance(said, FunctionReturned) else said.text


def _entry_json(said: HistoryEntry) -> dict[str, Any] | None:
    match said:
        case CustomerSaid():
            return {"author": "customer", "text": said.text, "at": said.at.isoformat()}
        case BotSaid():
            return {"author": "bot", "text": said.text, "at": said.at.isoformat(), "outcome": said.outcome.value}
        case AgentSaid():
            return {"author": "agent", "text": said.text, "at": said.at.isoformat(), "agent": said.agent}
        case FunctionReturned():
            # Between the model and its tools; the customer never saw it.
            return None
