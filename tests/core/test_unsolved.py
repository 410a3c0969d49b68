"""Which questions count as unsolved, as the database tells."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from bot.history.database import Database
from bot.history.tables import (
    conversations,
    feedback,
    history,
    inbound,
    people,
    ticket_events,
    tickets,
    turns,
)
from bot.history.unsolved import Unsolved, agents_replies, unsolved
from bot.telemetry import Metrics
from tests.core.house import address, new_database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Past:
    """Turns that were."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        place = {"platform": "web", "account": "", "thread": "", "created_at": NOW}
        for channel in ("a", "b"):
            self._add(people, id=f"web:{channel}", platform="web", name="", language="", created_at=NOW)
            self._add(conversations, channel=channel, **place)

    def _add(self, table: Any, **row: Any) -> None:
        self._connection.execute(insert(table), row)

    def turn(
        self, minutes: int, words: str, outcome: str, *, question: str = "", person: str = "a", **more: Any
    ) -> str:
        """A turn so many minutes before now; `more` may hold answer, subject (of a ticket) and collections."""
        number, at = next(self._ids), NOW - timedelta(minutes=minutes)
        turn, whose = f"t{number}", {"conversation_id": "ab".index(person) + 1, "person_id": f"web:{person}"}
        self._add(
            turns, id=turn, state="done", outcome=outcome, question=question, started_at=at, finished_at=at, **whose
        )
        self._add(
            inbound,
            turn_id=turn,
            kind="text",
            text=words,
            sequence=number,
            detail={"collections": more.get("collections", ["default"])},
            state="done",
            sent_at=at,
            received_at=at,
            **whose,
        )
        if "answer" in more:
            said = {"role": "bot", "outcome": outcome, "text": more["answer"], "sequence": number, "rank": 2, "at": at}
            self._add(history, turn_id=turn, **said, **whose)
        if "subject" in more:
            times = {"created_at": at, "updated_at": at, "due_at": at}
            fields = {"number": f"TICKET-{number}", "subject": more["subject"], "state": "open", "urgency": "normal"}
            self._add(tickets, turn_id=turn, call=0, **fields, **times, **whose)
        return turn

    def down(self, turn: str, person: str = "a") -> None:
        self._add(feedback, turn_id=turn, person_id=f"web:{person}", rating="down", at=NOW)

    def says(self, ticket: str, kind: str, text: str) -> None:
        self._add(ticket_events, ticket=ticket, kind=kind, text=text, at=NOW)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(address(new_database(tmp_path)), metrics=Metrics()) as opened:
        yield opened


async def found(database: Database, *, days: float = 30, limit: int = 100) -> tuple[Unsolved, ...]:
    since = NOW - timedelta(days=days)
    return await database.read(lambda connection: unsolved(connection, since=since, limit=limit))


async def test_refused_rated_down_and_handed_over_and_nothing_else(database: Database) -> None:
    def past(connection: Connection) -> None:
        was = Past(connection)
        was.turn(90, "卖自行车吗", "refused", question="卖自行车吗", collections=["default", "internal"])
        was.turn(80, "运费多少", "answered", question="运费多少", answer="8 元")
        warranty = "How long is the warranty?"
        was.down(was.turn(70, "how long", "answered", question=warranty, answer="A year", person="b"))
        was.turn(60, "你好", "chat", question="运费多少")
        was.turn(59, "帮我建个工单，屏幕碎了", "ticket", subject="帮我建个工单，屏幕碎了", person="b")
        was.turn(60 * 24 * 31, "long ago", "refused", question="long ago")

    await database.write(past)
    bikes, warranty, screen = await found(database)
    assert (bikes.question, bikes.reasons, bikes.answer) == ("卖自行车吗", {"refused"}, "")
    assert (bikes.collections, bikes.tickets) == (("default", "internal"), ())
    assert (warranty.question, warranty.reasons) == ("How long is the warranty?", {"down"})
    assert (warranty.answer, warranty.person) == ("A year", "web:b")
    assert (screen.question, screen.reasons, screen.tickets) == ("帮我建个工单，屏幕碎了", {"person"}, ("TICKET-5",))


async def test_a_question_and_its_ticket_are_one(database: Database) -> None:
    def past(connection: Connection) -> None:
        was = Past(connection)
        was.turn(90, "卖自行车吗？", "refused", question="卖自行车吗？")
        was.turn(89, "好的", "ticket", question="卖自行车吗？", subject="卖自行车吗？")
        was.turn(50, "卖自行车吗", "refused", question="卖自行车吗")
        was.turn(40, "运费多少", "answered", question="运费多少", answer="8 元", person="b")
        was.turn(39, "转人工", "handoff", question="运费多少", subject="希望人工客服联系：运费多少", person="b")

    await database.write(past)
    bikes, fee = await found(database)
    assert (bikes.turn, bikes.reasons, bikes.tickets) == ("t1", {"refused", "person"}, ("TICKET-2",))
    # The answer did not help: a replay that gives the same one solves nothing.
    assert (fee.question, fee.reasons, fee.answer) == ("运费多少", {"person"}, "8 元")


@pytest.mark.parametrize(
    ("minutes", "words", "outcome", "subject", "expected"),
    [
        pytest.param(5, "talk to a human", "handoff", "Wanted: talk to a human", "运费多少", id="just after"),
        pytest.param(300, "talk to a human", "handoff", "Wanted: talk to a human", "talk to a human", id="later"),
        pytest.param(5, "我要投诉快递员", "ticket", "我要投诉快递员", "我要投诉快递员", id="about something else"),
        pytest.param(5, "好的", "ticket", "运费…", "运费多少", id="cut short"),
        pytest.param(5, "转人工", "handoff", "希望人工客服联系", "运费多少", id="nothing else said"),
    ],
)  # fmt: skip
async def test_what_a_ticket_is_about(
    database: Database, minutes: int, words: str, outcome: str, subject: str, expected: str
) -> None:
    def past(connection: Connection) -> None:
        was = Past(connection)
        was.turn(400, "运费多少", "answered", question="运费多少", answer="8 元")
        was.turn(400 - minutes, words, outcome, question="运费多少", subject=subject)

    await database.write(past)
    (one,) = await found(database)
    assert one.question == expected


async def test_of_too_many_the_newest(database: Database) -> None:
    def past(connection: Connection) -> None:
        was = Past(connection)
        for number in range(30):
            was.turn(100 - number, f"q{number}", "refused", question=f"question {number}")

    await database.write(past)
    assert [one.question for one in await found(database, limit=3)] == ["question 27", "question 28", "question 29"]
    assert len(await found(database)) == 30
    assert await found(database, days=0) == ()


async def test_agents_replies_and_nobody_elses(database: Database) -> None:
    def past(connection: Connection) -> None:
        was = Past(connection)
        was.turn(9, "一", "ticket", subject="一")
        was.turn(8, "二", "ticket", subject="二")
        was.says("TICKET-1", "agent", "first")
        was.says("TICKET-1", "customer", "and now?")
        was.says("TICKET-1", "agent", "second")

    await database.write(past)
    said = await database.read(lambda connection: agents_replies(connection, ["TICKET-1", "TICKET-2"]))
    assert said == {"TICKET-1": ("first", "second")}
