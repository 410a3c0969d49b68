"""The pace: no minute and no hour holds more than WeCom lets through."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.wecom.pacing import CONVERSATION, ROBOT, Pacer
from bot.errors import NotSent
from tests.adapters.telegram.doubles import HandClock


@given(st.lists(st.floats(0, 40), min_size=1, max_size=400), st.booleans())
@settings(deadline=None, max_examples=50)
def test_no_minute_and_no_hour_holds_too_many(pauses: list[float], spare: bool) -> None:
    clock = HandClock()
    pacer = Pacer(clock, clock.sleep)
    left = []
    for pause in pauses:
        clock.at += pause
        if pacer.take_spare("a") if spare else pacer.take("a"):
            left.append(clock.at)
    for window, limit in ((60, 28), (3600, 960)):
        for at in left:
            assert sum(at - window < other <= at for other in left) <= limit


def test_a_thousand_in_an_hour_are_not_passed() -> None:
    clock = HandClock()
    pacer = Pacer(clock, clock.sleep)
    sent = 0
    for _ in range(3600):
        clock.at += 1.0
        sent += pacer.take("a")
    assert sent == 960


async def test_who_has_to_wait_long_is_sent_away_and_others_are_not() -> None:
    clock = HandClock()
    pacer = Pacer(clock, clock.sleep, rates=ROBOT)
    assert [pacer.take("a") for _ in range(19)] == [True] * 18 + [False]
    with pytest.raises(NotSent) as refused:
        await pacer.wait("a")
    assert refused.value.retry_after == pytest.approx(60)
    await pacer.wait("b")
    clock.at += 58
    await pacer.wait("a")
    assert clock.slept == [pytest.approx(2)]


async def test_those_who_wait_leave_in_the_order_they_came() -> None:
    clock = HandClock()
    pacer = Pacer(clock, clock.sleep)
    for _ in range(28):
        assert pacer.take("a")
    clock.at += 58
    waiting = asyncio.create_task(pacer.wait("a"))
    await asyncio.sleep(0)
    assert not pacer.take("a") or waiting.done()
    await waiting


def test_what_nobody_needs_leaves_room() -> None:
    clock = HandClock()
    pacer = Pacer(clock, clock.sleep)
    assert sum(pacer.take_spare("a", spare=6) for _ in range(40)) == CONVERSATION[0].limit - 6
    assert sum(pacer.take("a") for _ in range(40)) == 6


async def test_silence_that_was_asked_for_is_kept() -> None:
    clock = HandClock()
    pacer = Pacer(clock, clock.sleep)
    pacer.park_all(10)
    assert not pacer.take("a")
    with pytest.raises(NotSent) as refused:
        await pacer.wait("b")
    assert refused.value.retry_after == pytest.approx(10)
    clock.at += 10
    assert pacer.take("a")
    pacer.park("a", 5)
    assert not pacer.take("a")
    assert pacer.take("b")
