"""How fast we speak."""

from __future__ import annotations

import asyncio

import pytest

from adapters.telegram.pacing import Pacer
from bot.errors import NotSent
from tests.fakes.clocks import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def pacer(clock: HandClock) -> Pacer:
    return Pacer(clock, clock.sleep)


async def test_a_private_chat_gets_about_one_message_a_second(pacer: Pacer, clock: HandClock) -> None:
    began = clock.at
    for _ in range(12):
        await pacer.wait_for_slot("5", group=False)
    assert clock.at - began == pytest.approx(10.0)


async def test_what_would_have_to_wait_takes_no_slot(pacer: Pacer, clock: HandClock) -> None:
    taken = [pacer.take_slot("5", group=False) for _ in range(5)]
    assert taken == [True, True, False, False, False]
    assert pacer.take_slot("6", group=False), "another chat has its own"
    clock.at += 1.0
    assert pacer.take_slot("5", group=False), "those that were refused have used up nothing"


async def test_a_group_never_gets_more_than_twenty_in_any_minute(clock: HandClock) -> None:
    pacer = Pacer(clock, clock.sleep, chat_patience=60.0)
    times = []
    for _ in range(60):
        await pacer.wait_for_slot("-5", group=True)
        times.append(clock.at)
    assert all(later - earlier >= 60.0 for earlier, later in zip(times, times[20:], strict=False))


async def test_all_chats_together_get_thirty_a_second(clock: HandClock) -> None:
    pacer = Pacer(clock, clock.sleep, chat_patience=60.0)
    times = []
    for number in range(150):
        await pacer.wait_for_slot(str(number), group=False)
        times.append(clock.at)
    assert all(later - earlier >= 1.0 for earlier, later in zip(times, times[30:], strict=False))
    assert times[-1] - times[0] < 6.0


async def test_a_long_wait_is_handed_back_with_its_length(pacer: Pacer, clock: HandClock) -> None:
    pacer.park("5", group=False, seconds=40)
    with pytest.raises(NotSent) as refused:
        await pacer.wait_for_slot("5", group=False)
    assert refused.value.retry_after == pytest.approx(40)
    clock.at += 40
    await pacer.wait_for_slot("5", group=False)


async def test_a_parked_chat_holds_up_no_other(pacer: Pacer, clock: HandClock) -> None:
    pacer.park("5", group=False, seconds=40)
    await pacer.wait_for_slot("6", group=False)
    assert clock.slept == []


async def test_messages_of_one_chat_leave_in_the_order_they_were_asked_for(clock: HandClock) -> None:
    left: list[int] = []
    delays: list[float] = []

    async def sleep(seconds: float) -> None:
        delays.append(seconds)
        await asyncio.sleep(seconds / 100)

    pacer = Pacer(clock, sleep)

    async def one(number: int) -> None:
        await pacer.wait_for_slot("5", group=False)
        left.append(number)

    await asyncio.gather(*(one(number) for number in range(5)))
    assert left == [0, 1, 2, 3, 4]
    assert delays == pytest.approx([1.0, 2.0, 3.0])


async def test_snapshots_leave_room_for_final_messages(pacer: Pacer, clock: HandClock) -> None:
    taken = 0
    while pacer.take_spare("-5", group=True, counts=True):
        taken += 1
    assert taken >= 1
    await pacer.wait_for_slot("-5", group=True)
    assert clock.slept == [], "a final never waits behind snapshots"


async def test_snapshots_of_many_chats_leave_room_for_a_final_one(pacer: Pacer, clock: HandClock) -> None:
    shown = sum(pacer.take_spare(str(number), group=False, counts=False) for number in range(100))
    assert 1 <= shown < 30
    await pacer.wait_for_slot("7", group=False)
    assert clock.slept == []


async def test_a_snapshot_is_never_made_to_wait(pacer: Pacer, clock: HandClock) -> None:
    pacer.park("5", group=False, seconds=5)
    assert not pacer.take_spare("5", group=False, counts=False)
    assert clock.slept == []


async def test_a_wall_clock_that_jumps_changes_nothing(pacer: Pacer, clock: HandClock) -> None:
    await pacer.wait_for_slot("5", group=False)
    clock.at -= 0.5  # not even a monotonic clock that forgets itself makes a bucket overflow or starve
    await pacer.wait_for_slot("5", group=False)
    await pacer.wait_for_slot("5", group=False)
    assert sum(clock.slept) <= 2.0
