"""Who somebody is, and whether they are one of ours."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from adapters.slack.people import People, Person, not_ours
from adapters.slack.reading import Place
from adapters.slack.texts import escape, unescape
from adapters.slack.wire import NoAnswer
from tests.adapters.slack.house import TEAM, Json
from tests.fakes.clocks import HandClock

PLACE = Place(account=TEAM, workspace=TEAM, enterprise="E1")
COLLEAGUE = Person(name="Li Na")


@pytest.mark.parametrize(
    ("person", "home", "guests", "answered"),
    [
        (COLLEAGUE, "", False, True),
        (None, "", False, True),
        (None, "T9", False, False),
        (COLLEAGUE, "T9", True, False),
        (Person(enterprise="E1"), "T2SISTER", False, True),
        (Person(enterprise="E9"), "T9", False, False),
        (Person(stranger=True), "", True, False),
        (Person(bot=True), "", True, False),
        (Person(guest=True), "", False, False),
        (Person(guest=True), "", True, True),
    ],
)
def test_who_is_answered(person: Person | None, home: str, guests: bool, answered: bool) -> None:
    assert (not_ours(person, home=home, place=PLACE, guests=guests) == "") is answered


class Directory:
    """Slack's, which may not answer."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Any = None
        self.patience = 0.0

    async def call(self, account: str, method: str, **arguments: Any) -> Json:
        assert (method, arguments["include_locale"]) == ("users.info", True)
        self.asked += 1
        await asyncio.sleep(self.patience)
        if self.answer is None:
            raise NoAnswer("users.info: no answer in time")
        return {"ok": True, "user": self.answer}


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def people(directory: Directory, clock: HandClock) -> People:
    return People(api=directory, clock=clock, limit=0.1)


async def test_it_is_asked_once_an_hour(people: People, directory: Directory, clock: HandClock) -> None:
    directory.answer = {
        "name": "li.na",
        "locale": "zh-CN",
        "profile": {"display_name": " 李娜 "},
        "is_restricted": True,
    }
    found = [await people.find("", "U5") for _ in range(3)]
    assert found == [Person(name="李娜", locale="zh-CN", guest=True)] * 3
    assert (directory.asked, people.name("", "U5")) == (1, "李娜")
    clock.at += 3601
    directory.answer = None
    assert await people.find("", "U5") == found[0], "old news are better than none"
    assert directory.asked == 2


async def test_a_directory_that_does_not_answer_costs_time_once(
    people: People, directory: Directory, clock: HandClock
) -> None:
    directory.patience = 5.0
    assert [await people.find("", "U5") for _ in range(5)] == [None] * 5
    assert (directory.asked, people.name("", "U5")) == (1, "")
    directory.patience, directory.answer = 0.0, {"profile": {"real_name": "Li Na"}}
    clock.at += 31
    assert await people.find("", "U5") == Person(name="Li Na")


@pytest.mark.parametrize("answer", [[], "x", {"profile": 7, "name": None, "locale": [], "enterprise_user": "E"}])
async def test_an_odd_answer_is_nobody_in_particular(people: People, directory: Directory, answer: Any) -> None:
    directory.answer = answer
    assert await people.find("", "U5") in (None, Person())


def test_escaping_and_back() -> None:
    words = "<!channel> & <@U1> &amp; ok"
    assert "<" not in escape(words)
    assert unescape(escape(words)) == words
