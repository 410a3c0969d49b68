"""The pace of calls: per method and workspace, and per channel for posts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.slack.pacing import RATES, Pacer
from bot.errors import NotSent
from tests.fakes.clocks import HandClock


def pacer(clock: HandClock) -> Pacer:
    return Pacer(clock, clock.sleep)


@given(
    st.lists(st.floats(0, 20), max_size=150), st.sampled_from(["chat.startStream", "chat.appendStream", "chat.update"])
)
@settings(deadline=None, max_examples=50)
def test_never_more_in_a_minute_than_slack_allows(pauses: list[float], method: str) -> None:
    limits = {"chat.startStream": 20, "chat.appendStream": 90, "chat.update": 50}
    clock = HandClock()
    paced = pacer(clock)
    left: list[float] = []
    for pause in pauses:
        clock.at += pause
        if paced.take_spare("", method, "C1") or paced.take("", method, "C1"):
            left.append(clock.at)
    for at in left:
        assert sum(at - 60 < other <= at for other in left) <= limits[method]


async def test_twenty_streams_may_begin_at_once_and_the_next_waits() -> None:
    paced = pacer(clock := HandClock())
    assert [paced.take("", "chat.startStream", f"C{n}") for n in range(21)] == [True] * 20 + [False]
    assert paced.take("T2", "chat.startStream", "C1")
    with pytest.raises(NotSent) as error:
        await paced.wait("", "chat.startStream", "C1")
    assert error.value.retry_after == pytest.approx(60)
    clock.at += 45
    await paced.wait("", "chat.startStream", "C1")
    assert clock.slept == [pytest.approx(15)]


async def test_posts_are_paced_per_channel() -> None:
    paced = pacer(clock := HandClock())
    assert [paced.take("", "chat.postMessage", "C1") for _ in range(4)] == [True, True, True, False]
    assert paced.take("", "chat.postMessage", "C2")
    await paced.wait("", "chat.postMessage", "C1")
    assert clock.slept and clock.slept[0] <= 2.0


async def test_those_who_wait_leave_one_after_the_other() -> None:
    paced = pacer(clock := HandClock())
    for _ in range(5):
        await paced.wait("", "chat.postMessage", "C1")
    assert clock.at - 1000.0 >= 2.0


async def test_patience_parks_one_method_in_one_workspace() -> None:
    paced = pacer(clock := HandClock())
    paced.park("T1", "chat.appendStream", 30)
    assert not paced.take_spare("T1", "chat.appendStream", "C1")
    assert paced.take_spare("T2", "chat.appendStream", "C1") and paced.take_spare("T1", "chat.update", "C1")
    with pytest.raises(NotSent) as error:
        await paced.wait("T1", "chat.appendStream", "C9")
    assert error.value.retry_after == pytest.approx(30)
    clock.at += 30
    assert paced.take_spare("T1", "chat.appendStream", "C1")


async def test_parking_posts_parks_every_channel() -> None:
    paced = pacer(HandClock())
    paced.park("T1", "chat.postMessage", 5)
    assert not paced.take("T1", "chat.postMessage", "C1") and not paced.take("T1", "chat.postMessage", "C2")


def test_snapshots_leave_room_for_final_messages() -> None:
    paced = pacer(HandClock())
    while paced.take_spare("", "chat.update", "C1"):
        pass
    assert paced.take("", "chat.update", "C1")
    assert RATES["chat.update"].spare
