"""Tickets and their events. Functions over a `Connection`; they may run again after a failed commit."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from bot.history.codec import reply_to_json, state_from_json, state_to_json
from bot.history.inbound import AGENT_RANK
from bot.history.tables import conversations, deliveries, history, participants, people, ticket_events, tickets
from bot.messages import (
    AddToTicket,
    Author,
    CloseTicket,
    ConversationRef,
    OpenTicket,
    Reply,
    Ticket,
    TicketEvent,
    TicketState,
)


def insert_ticket(connection: Connection, effect: OpenTicket, turn_id: str, conversation: int) -> None:
    """Opens the ticket of one function call; a turn that runs again meets its own row and leaves it."""
    ticket = effect.ticket
    mine = (tickets.c.turn_id == turn_id, tickets.c.call == effect.call)
    if connection.execute(select(tickets.c.number).where(*mine)).first() is not None:
        return
    row = {
        "number": ticket.number,
        "conversation_id": conversation,
        "person_id": ticket.requester,
        "turn_id": turn_id,
        "call": effect.call,
        "subject": ticket.subject,
        "state": ticket.state.value,
        "urgency": ticket.urgency,
        "contact": ticket.contact,
        "order_no": ticket.order_no,
        "assignee": ticket.assignee,
        "transcript": list(ticket.transcript),
        "created_at": ticket.created_at,
        "updated_at": ticket.updated_at,
        "due_at": ticket.due_at,
    }
    connection.execute(insert(tickets), row)
    add_event(connection, ticket.number, "opened", ticket.requester, ticket.subject, ticket.created_at, turn_id)


def add_to_ticket(connection: Connection, effect: AddToTicket, person: str, turn_id: str, now: datetime) -> None:
    """The customer's words to the agent; an answered ticket is the agent's turn again."""
    add_event(connection, effect.number, "customer", person, effect.text, now, turn_id)
    answered = update(tickets).where(tickets.c.number == effect.number, tickets.c.state == TicketState.ANSWERED.value)
    connection.execute(answered, {"state": TicketState.ASSIGNED.value})
    connection.execute(update(tickets).where(tickets.c.number == effect.number), {"updated_at": now})


def close_ticket(connection: Connection, effect: CloseTicket, person: str, now: datetime) -> None:
    """Closes the person's own ticket; anybody else's stays as it is."""
    ticket = find(connection, effect.number)
    if ticket is not None and ticket.requester == person:
        change(connection, effect.number, {"state": TicketState.CLOSED.value}, person, now)


def add_event(
    connection: Connection, number: str, kind: str, author: str, text: str, now: datetime, turn_id: str | None = None
) -> None:
    row = {"ticket": number, "turn_id": turn_id, "kind": kind, "author": author, "text": text, "at": now}
    connection.execute(insert(ticket_events), row)


def _tickets() -> Select[Any]:
    return (
        select(
            tickets,
            people.c.name.label("requester_name"),
            conversations.c.platform,
            conversations.c.account,
            conversations.c.channel,
            conversations.c.thread,
        )
        .join(people, people.c.id == tickets.c.person_id)
        .join(conversations, conversations.c.id == tickets.c.conversation_id)
    )


def _ticket(row: Row[Any]) -> Ticket:
    return Ticket(
        number=row.number,
        subject=row.subject,
        state=TicketState(row.state),
        requester=row.person_id,
        requester_name=row.requester_name,
        conversation=ConversationRef(
            platform=row.platform, account=row.account, channel=row.channel, thread=row.thread
        ),
        transcript=tuple(row.transcript),
        contact=row.contact,
        order_no=row.order_no,
        urgency=row.urgency,
        assignee=row.assignee,
        created_at=row.created_at,
        updated_at=row.updated_at,
        due_at=row.due_at,
    )


def find(connection: Connection, number: str) -> Ticket | None:
    row = connection.execute(_tickets().where(tickets.c.number == number)).first()
    return _ticket(row) if row is not None else None


def events(connection: Connection, number: str) -> tuple[TicketEvent, ...]:
    statement = select(ticket_events).where(ticket_events.c.ticket == number).order_by(ticket_events.c.id)
    return tuple(
        TicketEvent(kind=row.kind, author=row.author, text=row.text, at=row.at) for row in connection.execute(statement)
    )


def listed(
    connection: Connection,
    *,
    state: TicketState | None,
    requester: str | None,
    limit: int,
    before: str | None,
) -> tuple[Ticket, ...]:
    """Newest first; `before` is the number of the last ticket of the page before."""
    statement = _tickets().order_by(tickets.c.created_at.desc(), tickets.c.number.desc()).limit(limit)
    if state is not None:
        statement = statement.where(tickets.c.state == state.value)
    if requester is not None:
        statement = statement.where(tickets.c.person_id == requester)
    if before is not None:
        mark = select(tickets.c.created_at).where(tickets.c.number == before).scalar_subquery()
        older = (tickets.c.created_at < mark) | ((tickets.c.created_at == mark) & (tickets.c.number < before))
        statement = statement.where(older)
    return tuple(_ticket(row) for row in connection.execute(statement))


def change(connection: Connection, number: str, changes: dict[str, str], by: str, now: datetime) -> Ticket | None:
    """Sets state, assignee, urgency or subject, and writes down who did. None: no such ticket."""
    before = find(connection, number)
    if before is None:
        return None
    if changes.get("assignee") and "state" not in changes and before.state is TicketState.OPEN:
        changes = {**changes, "state": TicketState.ASSIGNED.value}
    connection.execute(update(tickets).where(tickets.c.number == number), {**changes, "updated_at": now})
    for name, value in changes.items():
        kind = {"state": "state", "assignee": "assigned"}.get(name)
        if kind is not None and value != getattr(before, name):
            add_event(connection, number, kind, by, value, now)
    if changes.get("state") == TicketState.CLOSED.value:
        _hold(connection, number, before.requester, held=False)
    return find(connection, number)


def say(connection: Connection, number: str, reply: Reply, now: datetime) -> tuple[int, int] | None:
    """An agent's words: history, event, state and a delivery. (delivery, conversation), or None: no such ticket.

    From now on the agent has the conversation: the bot would only talk in between.
    """
    row = connection.execute(
        select(tickets.c.conversation_id, tickets.c.person_id, tickets.c.state).where(tickets.c.number == number)
    ).first()
    if row is None:
        return None
    place = (history.c.conversation_id == row.conversation_id, history.c.person_id == row.person_id)
    newest = connection.execute(select(func.max(history.c.sequence)).where(*place)).scalar() or 0
    common = {"conversation_id": row.conversation_id, "person_id": row.person_id}
    entry = {
        "role": "agent",
        "name": reply.agent,
        "text": reply.text,
        "sequence": newest,
        "rank": AGENT_RANK,
        "at": now,
    }
    connection.execute(insert(history), common | entry | {"outcome": ""})
    add_event(connection, number, "agent", reply.agent, reply.text, now)
    if row.state != TicketState.CLOSED.value:
        answered = {"state": TicketState.ANSWERED.value, "updated_at": now}
        connection.execute(update(tickets).where(tickets.c.number == number), answered)
        _hold(connection, number, row.person_id, held=True)
    delivery = {
        "ticket": number,
        "author": Author.AGENT.value,
        "reply": reply_to_json(reply),
        "state": "waiting",
        "created_at": now,
        "updated_at": now,
    }
    delivery_id = connection.execute(insert(deliveries).returning(deliveries.c.id), common | delivery).scalar_one()
    return delivery_id, row.conversation_id


def _hold(connection: Connection, number: str, person: str, *, held: bool) -> None:
    """Gives the dialogue to the ticket's agent, or back to the bot."""
    conversation = select(tickets.c.conversation_id).where(tickets.c.number == number).scalar_subquery()
    mine = (participants.c.conversation_id == conversation, participants.c.person_id == person)
    row = connection.execute(select(participants.c.state).where(*mine)).first()
    if row is None:
        return
    state = state_from_json(row.state)
    if not held and state.held_by != number:
        return  # another ticket's agent has it
    state = replace(state, held_by=number if held else "", held_noted=False)
    connection.execute(update(participants).where(*mine), {"state": state_to_json(state)})
