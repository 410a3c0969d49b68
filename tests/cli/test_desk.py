"""`kefu tickets`, `kefu deliveries` and `kefu db` on a real database that a real core has filled."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pysqlite3 import dbapi2 as sqlite3  # as the product: two SQLite libraries on one file undo each other's locks

from adapters.terminal.channel import TerminalChannel
from bot.clock import SystemClock
from bot.errors import Undeliverable
from bot.history import outbox
from bot.messages import Reply
from tests.cli.house import Kefu
from tests.core.house import new_database, open_house
from tests.fakes.dialogue import ScriptedDialogue

NUMBER = re.compile(r"TICKET-[0-9A-Z]+")


class Refusing(TerminalChannel):
    """A platform that takes nothing."""

    async def send(self, *_: Any, **__: Any) -> str:
        raise Undeliverable("the platform refuses this")


@pytest.fixture
def data(kefu: Kefu, tmp_path: Path) -> Path:
    """An empty database where `kefu` looks for it."""
    (tmp_path / "data").mkdir()
    return new_database(tmp_path / "data")


@contextlib.asynccontextmanager
async def talking(path: Path, **callbacks: Any) -> AsyncIterator[TerminalChannel]:
    clock = SystemClock()
    channel = TerminalChannel(clock, max_message_chars=4000, **callbacks)
    async with open_house(path, [channel], ScriptedDialogue(), clock=clock):
        yield channel


@pytest.fixture
def number(data: Path) -> str:
    """The number of a ticket of the person "terminal:li"."""

    async def ask() -> str:
        async with talking(data) as channel:
            reply: Reply = await channel.ask("T1 ticket", "li")
            assert reply.ticket is not None
            return reply.ticket.number

    return asyncio.run(ask())


@pytest.fixture
def stuck(data: Path) -> None:
    """A reply that its platform refused."""

    async def ask() -> None:
        clock = SystemClock()
        channel = Refusing(clock, max_message_chars=4000)
        async with open_house(data, [channel], ScriptedDialogue(), clock=clock) as house, asyncio.timeout(10):
            asking = asyncio.create_task(channel.ask("T1", "li"))
            while (await house.database.read(outbox.counts)).get("failed") != 1:
                await asyncio.sleep(0.02)
            asking.cancel()

    asyncio.run(ask())


def test_a_ticket_is_listed_shown_assigned_and_closed(kefu: Kefu, number: str) -> None:
    assert number in kefu("tickets", "list").out
    shown = kefu("tickets", "show", number.lower())
    assert shown.status == 0
    assert "terminal:li" in shown.out and "opened" in shown.out

    assert kefu("tickets", "assign", number, "韩梅梅", "--json").json["assignee"] == "韩梅梅"
    listed = kefu("tickets", "list", "--json").json
    assert [(one["number"], one["state"]) for one in listed["tickets"]] == [(number, "assigned")]
    assert listed["next"] is None

    assert "closed" in kefu("tickets", "close", number).out
    assert kefu("tickets", "list", "--state", "open").out == "No tickets.\n"
    assert number in kefu("tickets", "list", "--state", "closed", "--requester", "terminal:li").out
    assert kefu("tickets", "list", "--requester", "terminal:wang").out == "No tickets.\n"


def test_pages_of_tickets_meet_without_a_gap(kefu: Kefu, data: Path) -> None:
    async def ask() -> None:
        async with talking(data) as channel:
            for count in range(5):
                await channel.ask(f"T{count} ticket", f"user{count}")

    asyncio.run(ask())
    first = kefu("tickets", "list", "--limit", "3", "--json").json
    second = kefu("tickets", "list", "--limit", "3", "--before", first["next"], "--json").json
    requesters = [one["requester"] for page in (first, second) for one in page["tickets"]]
    assert requesters == [f"terminal:user{count}" for count in (4, 3, 2, 1, 0)]
    assert second["next"] is None


def test_an_agents_reply_reaches_the_customer_where_the_ticket_came_from(kefu: Kefu, number: str, data: Path) -> None:
    sent = kefu("tickets", "reply", number, "已为您加急处理", "--agent", "李雷", "--json")
    assert (sent.status, sent.json["ticket"]) == (0, number)
    assert "李雷" in kefu("tickets", "show", number).out

    async def sit_down() -> list[Reply]:
        notices: list[Reply] = []
        async with talking(data, on_notice=notices.append) as channel:
            with channel.present("li"):
                async with asyncio.timeout(10):
                    while not notices:
                        await asyncio.sleep(0.02)
        return notices

    (notice,) = asyncio.run(sit_down())
    assert (notice.text, notice.agent) == ("已为您加急处理", "李雷")


@pytest.mark.parametrize(
    "command",
    [("show", "TICKET-NONE"), ("reply", "TICKET-NONE", "a"), ("assign", "TICKET-NONE", "a"), ("close", "TICKET-NONE")],
    ids=lambda command: command[0],
)
def test_a_ticket_that_does_not_exist_is_one_line(kefu: Kefu, data: Path, command: tuple[str, ...]) -> None:
    called = kefu("tickets", *command)
    assert (called.status, called.err) == (1, "kefu: there is no ticket TICKET-NONE\n")


@pytest.mark.parametrize("text", ["", "  ", "\x1b\x00"], ids=["empty", "spaces", "control characters"])
def test_an_empty_reply_is_not_sent(kefu: Kefu, number: str, text: str) -> None:
    assert kefu("tickets", "reply", number, text).status == 2


def test_a_customers_words_can_not_drive_the_agents_terminal(kefu: Kefu, number: str) -> None:
    kefu("tickets", "reply", number, "a\x1b[2Jb\udcff", "--agent", "\x1b]0;x\x07")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", kefu("tickets", "show", number).out)


def test_a_refused_reply_is_listed_and_sent_again(kefu: Kefu, data: Path, stuck: None) -> None:
    assert "the platform refuses this" in kefu("deliveries", "list").out
    (one,) = kefu("deliveries", "list", "--json").json["deliveries"]
    assert (one["state"], one["conversation"]["channel"]) == ("failed", "li")

    assert kefu("deliveries", "retry", str(one["id"]), "--json").json == {"id": one["id"], "state": "waiting"}
    assert kefu("deliveries", "list", "--json").json == {"deliveries": []}
    assert kefu("deliveries", "retry", str(one["id"])).status == 1

    async def sit_down() -> list[Reply]:
        notices: list[Reply] = []
        async with talking(data, on_notice=notices.append) as channel:
            with channel.present("li"):
                async with asyncio.timeout(10):
                    while not notices:
                        await asyncio.sleep(0.02)
        return notices

    (reply,) = asyncio.run(sit_down())
    assert "T1" in reply.text


def test_a_refused_reply_can_be_left(kefu: Kefu, stuck: None) -> None:
    (one,) = kefu("deliveries", "list", "--json").json["deliveries"]
    assert kefu("deliveries", "drop", str(one["id"])).status == 0
    assert kefu("deliveries", "list").out == "Every reply has arrived, or is on its way.\n"


# -- db --


def test_upgrade_makes_the_database_and_check_finds_it_sound(kefu: Kefu, tmp_path: Path) -> None:
    assert kefu("db", "check").status == 1
    assert kefu("db", "upgrade").status == 0
    assert kefu("db", "check").out == "The database is sound and up to date.\n"
    assert kefu("db", "check", "--json").json == {"ok": True, "problems": []}


def test_check_names_what_differs(kefu: Kefu, data: Path) -> None:
    with contextlib.closing(sqlite3.connect(data)) as connection:
        connection.execute("DROP TABLE feedback")
        connection.commit()
    called = kefu("db", "check", "--json")
    assert called.status == 1
    assert called.json["problems"]


def test_a_newer_database_is_refused_in_one_line(kefu: Kefu, data: Path) -> None:
    with contextlib.closing(sqlite3.connect(data)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    for command in (["db", "upgrade"], ["tickets", "list"]):
        called = kefu(*command)
        assert called.status == 2
        assert called.err.startswith("kefu: the database is at revision 9999")


def test_a_backup_holds_everything_and_nobody_else_can_read_it(kefu: Kefu, number: str, tmp_path: Path) -> None:
    assert kefu("db", "backup", "copy.db").status == 0
    assert (tmp_path / "copy.db").stat().st_mode & 0o077 == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        assert connection.execute("SELECT number FROM tickets").fetchall() == [(number,)]
    again = kefu("db", "backup", "copy.db")
    assert (again.status, again.err) == (2, "kefu: copy.db exists already\n")


def test_a_backup_is_taken_while_somebody_writes(kefu: Kefu, data: Path, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(data, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE alembic_version SET version_num = version_num")
        assert kefu("db", "backup", "copy.db").status == 0
        writer.execute("ROLLBACK")


@pytest.mark.parametrize("where", ["no folder", "no database", "another database"])
def test_a_backup_that_can_not_be_is_one_line(
    kefu: Kefu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    if where == "no folder":
        kefu("db", "upgrade")
    if where == "another database":
        monkeypatch.setenv("KEFU_DATABASE__URL", "postgresql+psycopg://kefu@db/kefu")
    called = kefu("db", "backup", "gone/copy.db" if where == "no folder" else "copy.db")
    assert called.status == 2
    assert called.err.count("\n") == 1
