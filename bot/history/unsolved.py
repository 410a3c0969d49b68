"""Questions that the bot left unsolved: refused, rated down, or handed to a person. Functions over a `Connection`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, Row, exists, or_, select

from bot.dialogue.text import bare, fold
from bot.history.tables import feedback, history, inbound, ticket_events, tickets, turns
from bot.messages import Outcome

Reason: TypeAlias = Literal["refused", "down", "person"]
"""Why a question counts as unsolved: it was refused, its answer rated down, or a person was asked for."""

_HANDED = (Outcome.TICKET.value, Outcome.HANDOFF.value)
_SAME_TALK = timedelta(hours=1)
"""Who asks for a person this soon after a question asks because of it."""
_AT_ONCE = 500
"""Ids in one statement: below every database's limit of parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsolved:
    """One person's question, however often they repeated it in the time looked at."""

    turn: str
    """The id of the first turn that left it unsolved."""
    person: str
    question: str
    """As it was searched for; where nothing was, as the ticket or the person says it."""
    collections: tuple[str, ...]
    reasons: frozenset[Reason]
    answer: str = ""
    """What the bot said to it, if it did answer; the last time, if it did so often."""
    tickets: tuple[str, ...] = ()
    """Numbers of the tickets that were opened about it, oldest first."""
    at: datetime


@dataclass(slots=True)
class _Asked:
    row: Row[Any]
    words: list[str] = field(default_factory=list)
    collections: tuple[str, ...] = ("default",)


def unsolved(connection: Connection, *, since: datetime, limit: int) -> tuple[Unsolved, ...]:
    """Those of the turns since then, oldest first; of more than `limit` such turns, the newest."""
    asked = [_Asked(row=row) for row in reversed(connection.execute(_turns(since, limit)).all())]
    by_turn = {one.row.id: one for one in asked}
    for message in _in_parts(connection, select(inbound), inbound.c.turn_id, list(by_turn)):
        one = by_turn[message.turn_id]
        one.words.append(message.text)
        one.collections = tuple(message.detail["collections"])
    earlier = _earlier(connection, [one.row.asked_in for one in asked if one.row.asked_in])
    answers = _answers(connection, [*by_turn, *earlier])
    found: dict[tuple[str, int, str], Unsolved] = {}
    for one in asked:
        question = _question(one, earlier.get(one.row.asked_in))
        key = (one.row.person_id, one.row.conversation_id, bare(question))
        if key[-1]:  # something was said
            found[key] = _joined(found.get(key), _unsolved(one, question, earlier, answers))
    return tuple(found.values())


def agents_replies(connection: Connection, numbers: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What agents answered in each of these tickets, oldest first; tickets without an answer are left out."""
    statement = select(ticket_events).where(ticket_events.c.kind == "agent").order_by(ticket_events.c.id)
    said: dict[str, tuple[str, ...]] = {}
    for row in _in_parts(connection, statement, ticket_events.c.ticket, numbers):
        said[row.ticket] = (*said.get(row.ticket, ()), row.text)
    return said


def _turns(since: datetime, limit: int) -> Any:
    before = turns.alias()
    asked_in = (
        select(before.c.id)
        .where(
            before.c.person_id == turns.c.person_id,
            before.c.conversation_id == turns.c.conversation_id,
            before.c.question == turns.c.question,
            before.c.outcome.in_([Outcome.ANSWERED.value, Outcome.REFUSED.value]),
            before.c.started_at < turns.c.started_at,
            before.c.started_at >= since - _SAME_TALK,
        )
        .order_by(before.c.started_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    down = exists().where(feedback.c.turn_id == turns.c.id, feedback.c.rating == "down")
    ticket = select(tickets.c.turn_id, tickets.c.number, tickets.c.subject).where(tickets.c.call == 0).subquery()
    return (
        select(turns, down.label("down"), asked_in.label("asked_in"), ticket.c.number, ticket.c.subject)
        .outerjoin(ticket, ticket.c.turn_id == turns.c.id)
        .where(turns.c.started_at >= since, or_(turns.c.outcome.in_([Outcome.REFUSED.value, *_HANDED]), down))
        .order_by(turns.c.started_at.desc(), turns.c.id.desc())
        .limit(limit)
    )


def _in_parts(connection: Connection, statement: Any, column: Any, ids: Sequence[str]) -> Iterator[Row[Any]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield from connection.execute(statement.where(column.in_(ids[start : start + _AT_ONCE])))


def _earlier(connection: Connection, ids: Sequence[str]) -> dict[str, Row[Any]]:
    return {row.id: row for row in _in_parts(connection, select(turns), turns.c.id, ids)}


def _answers(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """What the bot answered in these turns, where it did answer."""
    said = select(history).where(history.c.role == "bot", history.c.outcome == Outcome.ANSWERED.value)
    return {row.turn_id: row.text for row in _in_parts(connection, said, history.c.turn_id, ids)}


def _question(asked: _Asked, earlier: Row[Any] | None) -> str:
    """What the turn was about."""
    row, words = asked.row, " ".join(" ".join(asked.words).split())
    return _of_ticket(row, words, earlier) if row.outcome in _HANDED else row.question or words


def _of_ticket(row: Row[Any], words: str, earlier: Row[Any] | None) -> str:
    """A wish for a person or a ticket is about the question before it, unless it says what else it is about."""
    subject = row.subject or ""
    if row.outcome == Outcome.HANDOFF.value:  # "wants to talk to a person: " and what about
        subject = subject.partition("：")[2] or subject.partition(": ")[2]
    about = fold(subject.removesuffix("…"))
    recent = earlier is not None and row.started_at - earlier.started_at <= _SAME_TALK
    if row.question and about and fold(row.question).startswith(about):
        return str(row.question)
    if row.question and recent and row.outcome == Outcome.HANDOFF.value:
        return str(row.question)
    return subject or words


def _unsolved(asked: _Asked, question: str, earlier: dict[str, Row[Any]], answers: dict[str, str]) -> Unsolved:
    row = asked.row
    reasons: set[Reason] = set()
    if row.outcome == Outcome.REFUSED.value:
        reasons.add("refused")
    if row.outcome in _HANDED:
        reasons.add("person")
    if row.down:
        reasons.add("down")
    about_the_same = row.asked_in in earlier and question == row.question
    return Unsolved(
        turn=row.id,
        person=row.person_id,
        question=question,
        collections=asked.collections,
        reasons=frozenset(reasons),
        answer=answers.get(row.id, "") or (answers.get(row.asked_in, "") if about_the_same else ""),
        tickets=(row.number,) if row.number else (),
        at=row.started_at,
    )


def _joined(before: Unsolved | None, now: Unsolved) -> Unsolved:
    if before is None:
        return now
    return Unsolved(
        turn=before.turn,
        person=before.person,
        question=before.question,
        collections=before.collections,
        reasons=before.reasons | now.reasons,
        answer=now.answer or before.answer,
        tickets=(*before.tickets, *now.tickets),
        at=before.at,
    )
