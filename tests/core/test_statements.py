"""A prepared statement does what SQLAlchemy does with it, on SQLite and on the way that other databases take."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Connection, bindparam, func, select, update
from sqlalchemy.exc import DBAPIError, StatementError

from bot.history.database import create_sync_engine, is_passing
from bot.history.statements import Statement, insert_into
from bot.history.tables import conversations, deliveries, people, turns
from tests.core.house import address, new_database

NOON = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)

MEET = Statement(insert_into(people, "id platform name created_at"))
OPEN = Statement(insert_into(conversations, "platform account channel created_at").returning(conversations.c.id))
DELIVER = Statement(
    insert_into(deliveries, "conversation_id author reply state created_at updated_at").returning(deliveries.c.id)
)
FIND = Statement(select(people).where(people.c.id == bindparam("who")))
RENAME = Statement(update(people).where(people.c.id == bindparam("who")).values(name=bindparam("name")))
COUNT = Statement(select(func.count()).select_from(people))


@pytest.fixture(params=["sqlite", "another database"])
def connection(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Connection]:
    engine = create_sync_engine(address(new_database(tmp_path)))
    engine.dialect.name = request.param
    with engine.begin() as opened:
        yield opened
    engine.dispose()


def person(number: int, *, at: datetime = NOON) -> dict[str, object]:
    return {"id": f"m:{number}", "platform": "m", "name": "小林", "created_at": at}


def test_what_goes_in_comes_out_with_its_columns_names_and_kinds(connection: Connection) -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=8)))
    MEET.run(connection, person(1, at=elsewhere))
    found = FIND.first(connection, {"who": "m:1"})
    assert (found.name, found.created_at, found.created_at.tzinfo) == ("小林", NOON, UTC)
    assert found.language == "", "the table's default"
    assert FIND.first(connection, {"who": "nobody"}) is None
    assert FIND.rows(connection, {"who": "nobody"}) == []


def test_several_rows_go_in_at_once(connection: Connection) -> None:
    MEET.run(connection, [person(number) for number in range(5)])
    RENAME.run(connection, [{"who": "m:1", "name": "小吴"}, {"who": "m:2", "name": ""}])
    assert COUNT.scalar(connection, {}) == 5
    assert [FIND.first(connection, {"who": f"m:{number}"}).name for number in (0, 1, 2)] == ["小林", "小吴", ""]


def test_a_returned_column_and_json_are_read(connection: Connection) -> None:
    place = OPEN.scalar(connection, {"platform": "m", "account": "", "channel": "7", "created_at": NOON})
    reply = {"text": "好", "parts": [1, None]}
    row = {"conversation_id": place, "author": "bot", "reply": reply, "state": "waiting"}
    number = DELIVER.scalar(connection, row | {"created_at": NOON, "updated_at": NOON})
    whole = Statement(select(deliveries).where(deliveries.c.id == bindparam("number")))
    found = whole.first(connection, {"number": number})
    assert (found.reply, found.placeholder, found.attempts) == (reply, None, 0)
    assert Statement(select(turns.c.id)).scalar(connection, {}) is None


def test_what_the_database_refuses_is_an_error_of_sqlalchemys(connection: Connection) -> None:
    MEET.run(connection, person(1))
    with pytest.raises(DBAPIError) as refused:
        MEET.run(connection, person(1))
    assert not is_passing(refused.value)
    assert "小林" not in str(refused.value)


def test_a_value_that_is_not_given_is_an_error_and_not_null(connection: Connection) -> None:
    MEET.run(connection, person(1))
    with pytest.raises((KeyError, StatementError), match="name"):
        RENAME.run(connection, {"who": "m:1"})
    assert FIND.first(connection, {"who": "m:1"}).name == "小林"


def test_a_naive_time_is_refused(connection: Connection) -> None:
    with pytest.raises(Exception, match="naive time"):
        MEET.run(connection, person(1, at=NOON.replace(tzinfo=None)))
