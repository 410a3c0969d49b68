"""Tickets as JSON, for the API and the command line. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bot.messages import Ticket, TicketEvent


def ticket_json(ticket: Ticket) -> dict[str, Any]:
    """A ticket without its transcript."""
    place = ticket.conversation
    return {
        "number": ticket.number,
        "subject": ticket.subject,
        "state": ticket.state.value,
        "urgency": ticket.urgency,
        "assignee": ticket.assignee,
        "requester": ticket.requester,
        "requester_name": ticket.requester_name,
        "conversation": {
            "platform": place.platform,
            "account": place.account,
            "channel": place.channel,
            "thread": place.thread,
        },
        "contact": ticket.contact,
        "order_no": ticket.order_no,
        "created_at": _time(ticket.created_at),
        "updated_at": _time(ticket.updated_at),
        "due_at": _time(ticket.due_at),
    }


def whole_ticket_json(ticket: Ticket, events: tuple[TicketEvent, ...]) -> dict[str, Any]:
    """A ticket with the dialogue that led to it and all that happened since."""
    return {
        **ticket_json(ticket),
        "transcript": list(ticket.transcript),
        "events": [
            {"kind": event.kind, "author": event.author, "text": event.text, "at": _time(event.at)} for event in events
        ],
    }


def _time(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
