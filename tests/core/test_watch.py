"""Operators hear of a channel that has stopped working, on the channels that still work."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.dialogue.phrases import Phrases
from bot.messages import ConversationRef
from bot.ports import ChannelHealth
from bot.privacy import Redactor
from bot.tickets.notices import OperatorNotices
from bot.tickets.watch import GRACE_SECONDS, ChannelWatch, Course
from tests.core.house import new_database, open_house
from tests.core.test_turns import CLOCK, until
from tests.fakes.channel import MemoryChannel
from tests.fakes.clocks import HandClock
from tests.fakes.dialogue import ScriptedDialogue

BUSY = ChannelHealth(up=True, detail="3 open streams")
UP, DOWN = ChannelHealth(up=True), ChannelHealth(up=False, detail="the token is refused")
NOTE = ChannelHealth(up=True, notice="the app was removed from T1")


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        pytest.param([(0, UP), (500, UP)], [], id="all is well"),
        pytest.param([(0, BUSY), (100, BUSY), (500, UP)], [], id="how things stand is no news"),
        pytest.param([(0, DOWN), (59, DOWN), (60, UP), (400, UP)], [], id="a start that takes a while"),
        pytest.param([(0, UP), (10, DOWN), (69, DOWN), (70, DOWN), (500, DOWN)], [(70, "down")], id="told once"),
        pytest.param(
            [(0, UP), (10, DOWN), (70, DOWN), (80, UP), (90, DOWN), (160, DOWN), (170, UP), (230, UP)],
            [(70, "down"), (230, "up")],
            id="up for a moment is not up",
        ),
        pytest.param(
            [(0, NOTE), (60, NOTE), (70, NOTE), (80, UP), (200, NOTE)], [(60, "note"), (200, "note")], id="a note"
        ),
    ],
)
def test_what_is_news(seen: list[tuple[float, ChannelHealth]], told: list[tuple[float, str]]) -> None:
    course = Course()
    news = [(at, course.news(health, float(at))) for at, health in seen]
    assert [(at, said) for at, said in news if said] == told


async def test_operators_are_told_on_another_channel_and_when_it_is_over(tmp_path: Path) -> None:
    new_database(tmp_path)
    broken, other = MemoryChannel("slack"), MemoryChannel("memory")
    here = ConversationRef(platform="memory", account="", channel="ops")
    there = ConversationRef(platform="slack", account="", channel="ops")
    clock = HandClock()
    notices = OperatorNotices((here, there), Phrases(refusal=""), Redactor(enabled=True))
    async with open_house(tmp_path / "kefu.db", [broken, other], ScriptedDialogue(), clock=CLOCK) as house:
        watch = ChannelWatch(
            {(channel.platform, channel.account): channel for channel in (broken, other)},
            notices=notices, language="zh", database=house.database, wake_outbox=house.outbox.wake, clock=clock,
        )  # fmt: skip
        broken.down = True
        for _ in range(3):
            await watch.look()
            await clock.sleep(GRACE_SECONDS)
        await until(lambda: other.texts(here))
        broken.down = False
        for _ in range(3):
            await watch.look()
            await clock.sleep(GRACE_SECONDS)
        await until(lambda: len(other.texts(here)) > 1)
        down, up = other.texts(here)
        assert down.startswith("渠道 slack 已中断") and "kefu doctor" in down
        assert up.startswith("渠道 slack 已恢复")
        assert not broken.texts(there)
