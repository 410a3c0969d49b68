"""The app in its place: the real inbox, lanes, turns and outbox on a real database, and the fake WeCom."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.adapters.telegram.doubles import SystemClock
from tests.adapters.wecom.app.conftest import App
from tests.core.house import House, _template, new_database, open_house
from tests.fakes.dialogue import ScriptedDialogue
from tests.fakes.wecom_api import Fault


@pytest.fixture(scope="module", autouse=True)
def _empty_database() -> None:
    """Made outside the event loop; every test copies it."""
    _template()


@contextlib.asynccontextmanager
async def at_work(app: App, path: Path, dialogue: ScriptedDialogue | None = None) -> AsyncIterator[House]:
    channel = app.build()
    async with open_house(path, [channel], dialogue or ScriptedDialogue(), clock=SystemClock()) as house:
        app.database.inner, app.intake.inner = house.database, house.inbox
        async with app.running(channel):
            yield house
        app.database.inner = app.intake.inner = None


async def test_a_question_is_answered_once_however_often_it_is_delivered(app: App, tmp_path: Path) -> None:
    async with at_work(app, new_database(tmp_path)):
        said = app.wecom.colleagues.says("LiSi", "T1 密码忘了怎么办")
        await app.wecom.until(lambda: app.wecom.texts("app", "lisi") == ["T1 完"])
        await app.wecom.feed.again(said.id, 3)
        app.wecom.colleagues.says("lisi", "T2")
        await app.wecom.until(lambda: len(app.wecom.texts("app", "lisi")) == 2)
    assert app.wecom.texts("app", "lisi") == ["T1 完", "T2 完"]


async def test_an_answer_that_takes_long_is_acknowledged_at_once_and_arrives_once(app: App, tmp_path: Path) -> None:
    app.wecom.feed.ack_seconds = 2.0  # WeCom waits for five
    async with at_work(app, new_database(tmp_path)):
        said = app.wecom.colleagues.says("lisi", "T1 slow 3")
        await app.wecom.until(lambda: said.fate)
        assert said.attempts[0].seconds < 1
        await app.wecom.until(lambda: app.wecom.texts("app", "lisi"), timeout=15)
    assert (len(said.attempts), app.wecom.texts("app", "lisi")) == (1, ["T1 完"])


async def test_the_same_question_twice_gets_the_same_answer_twice(app: App, tmp_path: Path) -> None:
    async with at_work(app, new_database(tmp_path)):
        for count in (1, 2, 3):
            app.wecom.colleagues.says("lisi", "T1")
            await app.wecom.until(lambda count=count: len(app.wecom.texts("app", "lisi")) == count)
    assert app.wecom.texts("app", "lisi") == ["T1 完"] * 3


async def test_an_answer_whose_sending_was_cut_off_stands_there_once(app: App, tmp_path: Path) -> None:
    path = new_database(tmp_path)
    app.wecom.faults.add(Fault(kind="hang", method="message/send", apply=True, times=1))
    async with at_work(app, path):
        app.wecom.colleagues.says("lisi", "T1")
        await app.wecom.until(lambda: app.wecom.texts("app", "lisi"))
    async with at_work(app, path):
        await app.wecom.until(lambda: len(app.wecom.calls("message/send")) == 2)
        app.wecom.colleagues.says("lisi", "T2")
        await app.wecom.until(lambda: len(app.wecom.texts("app", "lisi")) == 2)
    assert app.wecom.texts("app", "lisi") == ["T1 完", "T2 完"]


async def test_a_ticket_is_closed_with_its_button(app: App, tmp_path: Path) -> None:
    dialogue = ScriptedDialogue()
    async with at_work(app, new_database(tmp_path), dialogue):
        app.wecom.colleagues.says("lisi", "T1 ticket")
        await app.wecom.until(lambda: len(app.wecom.messages("app", "lisi")) == 2)
        card = app.wecom.messages("app", "lisi")[1].body["template_card"]
        app.wecom.colleagues.presses("lisi", card["button_list"][0]["key"])
        await app.wecom.until(lambda: len(dialogue.seen) == 2 and app.wecom.messages("app", "lisi")[1].updated)
    [message] = dialogue.seen[1].messages
    assert message.command == "solved"
    assert message.text in str(card)


async def test_a_refused_secret_holds_replies_until_it_is_mended(app: App, tmp_path: Path) -> None:
    async with at_work(app, new_database(tmp_path)) as house:
        app.wecom.tokens.ends("app")
        app.wecom.colleagues.says("lisi", "T1")
        await app.wecom.until(lambda: not app.made[-1].health().up)
        app.wecom.tokens.works_again("app")
        await app.wecom.until(lambda: app.made[-1].health().up)
        house.outbox._not_before.clear()  # half a minute has passed
        house.outbox.wake()
        await app.wecom.until(lambda: app.wecom.texts("app", "lisi") == ["T1 完"])
