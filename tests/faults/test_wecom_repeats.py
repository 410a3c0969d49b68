"""F2 on WeCom: it calls three times, each time encrypted anew, and for what we have long. One message, one reply."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.tcp_proxy import CLEAN, Behaviour, TcpProxy
from tests.faults import seeds
from tests.faults.processes import free_port
from tests.faults.store_faults import locked
from tests.faults.wecom_rig import BOTH, QUICK, WeComRig, once, wecom_rig

pytestmark = pytest.mark.usefixtures("quick_repeats")

UNHEARD = Behaviour(cut_after=0)
"""What we answer is lost on its way to WeCom."""


@pytest.mark.parametrize("lost", [2, 3])
async def test_three_calls_that_are_encrypted_anew_are_one_message(tmp_path: Path, lost: int) -> None:
    """WeCom hears us at the third time, or never: then it gives up, and we have the message all the same."""
    port = free_port()
    async with TcpProxy(port) as door, wecom_rig(tmp_path, port=port, door=door.url) as rig, rig.life():
        door.behave(UNHEARD)
        rig.wecom.feed.pause = 0.15
        for number, way in enumerate(BOTH, start=1):
            rig.says(way, number, f"ticket T{number}")
        calls = list(rig.wecom.feed.deliveries.values())
        await rig.wecom.until(lambda: all(len(call.attempts) == lost for call in calls))
        await rig.wecom.until(lambda: all(call.attempts[-1].seconds for call in calls))
        door.behave(CLEAN)
        await rig.wecom.until(lambda: all(call.fate for call in calls))
        assert [call.fate for call in calls] == ["gave_up" if lost == 3 else "acknowledged"] * 2
        assert [len(call.attempts) for call in calls] == [3, 3]
        for call in calls:
            assert await rig.wecom.feed.again(call.id, 3) == [True] * 3
        await rig.rest()
        assert await rig.stored() == once(1, 2)
        assert rig.said() == once(1, 2)
        assert len(await rig.query("SELECT number FROM tickets")) == 2


async def test_a_locked_database_has_wecom_come_again(tmp_path: Path) -> None:
    """The app's message is in the call, so the call is not acknowledged; a customer's stays with WeCom."""
    async with wecom_rig(tmp_path, timing=replace(QUICK, store_limit=0.3)) as rig, rig.life():
        rig.wecom.feed.pause = 0.6
        async with locked(rig.path):
            for number, way in enumerate(BOTH, start=1):
                rig.says(way, number, f"T{number}")
            call, notice = rig.wecom.feed.deliveries.values()
            await rig.wecom.until(lambda: notice.fate == "acknowledged")
            await rig.wecom.until(lambda: call.attempts[0].seconds)
        await rig.rest(8)
        assert (call.attempts[0].status, call.fate, len(notice.attempts)) == (503, "acknowledged", 1)
        assert rig.said() == once(1, 2)


async def _is_acknowledged_at_once(folder: Path, seconds: float, patience: float) -> None:
    async with wecom_rig(folder) as rig, rig.life():
        rig.wecom.feed.ack_seconds = patience
        for number, way in enumerate(BOTH, start=1):
            rig.says(way, number, f"slow {seconds} T{number}")
        await rig.rest(seconds + 30)
        attempts = [call.attempts for call in rig.wecom.feed.deliveries.values()]
        assert [len(one) for one in attempts] == [1, 1]
        assert max(one[0].seconds for one in attempts) < patience
        assert rig.said() == once(1, 2)
        assert [len(rig.wecom.texts(way)) for way in BOTH] == [1, 1]


async def test_an_answer_of_four_patiences_is_acknowledged_at_once_and_arrives_once(tmp_path: Path) -> None:
    await _is_acknowledged_at_once(tmp_path, 2.0, 0.5)


@pytest.mark.faults
async def test_an_answer_of_twenty_seconds_is_acknowledged_at_once_and_arrives_once(tmp_path: Path) -> None:
    await _is_acknowledged_at_once(tmp_path, 20.0, 5.0)


async def test_three_customers_of_one_call_are_all_answered(tmp_path: Path) -> None:
    async with wecom_rig(tmp_path, ways=("kf",)) as rig, rig.life():
        await rig.wecom.until(lambda: rig.wecom.calls("kf/sync_msg", applied=True))
        for number in (1, 2, 3):
            rig.says("kf", number, f"T{number}", quiet=True)
        rig.wecom.customers.tells()
        await rig.rest()
        assert len(rig.wecom.calls("kf/sync_msg")) == 2, "one page"
        assert sorted((one.place, one.text) for one in rig.wecom.messages("kf")) == [
            (f"wmCustomer{number}", f"T{number} 完") for number in (1, 2, 3)
        ]


async def test_every_item_of_every_page_is_answered_in_order(tmp_path: Path) -> None:
    """Pages of three, two empty ones before them, and everybody writes four times."""
    async with wecom_rig(tmp_path, ways=("kf",)) as rig, rig.life():
        rig.wecom.kf_api.page, rig.wecom.kf_api.empty_pages = 3, 2
        for number in range(1, 29):
            rig.says("kf", number % 7, f"T{number}", quiet=True)
        rig.wecom.customers.tells()
        await rig.rest()
        assert rig.said() == once(*range(1, 29))
        for person in range(7):
            words = " ".join(rig.wecom.texts("kf", f"wmCustomer{person}")).replace("完", "").split()
            assert words == sorted(words, key=lambda token: int(token[1:])), "in order"


class Talk:
    """People who write on both channels, and WeCom that repeats itself."""

    def __init__(self, rig: WeComRig, chance: random.Random) -> None:
        self._rig = rig
        self._chance = chance
        self.written = 0

    def writes(self, count: int) -> None:
        for _ in range(count):
            self.written += 1
            words = f"ticket T{self.written}" if self.written % 4 == 0 else f"T{self.written}"
            self._rig.says(BOTH[self.written % 2], self.written % 40, words)

    async def again(self, share: float, copies: int) -> int:
        """WeCom repeats some of all its calls, all copies of a call at once, and ten calls; how many."""
        feed = self._rig.wecom.feed
        chosen = [one for one in list(feed.deliveries) if self._chance.random() < share]
        for start in range(0, len(chosen), 10):
            taken = await asyncio.gather(*(feed.again(one, copies) for one in chosen[start : start + 10]))
            assert all(all(one) for one in taken), "a repetition was not acknowledged"
        return len(chosen) * copies


async def _run(folder: Path, messages: int, lives: int) -> None:
    chance, report = seeds.begin("F2 wecom")
    async with wecom_rig(folder) as rig:
        talk, repeats = Talk(rig, chance), 0
        for _ in range(lives):
            async with rig.life():
                talk.writes(messages // lives)
                repeats += await talk.again(1.0, 3)
                await rig.rest()
                repeats += await talk.again(0.2, 2)
                await rig.rest()
        stored, answered = await rig.stored(), rig.said()
        report.counts |= {"messages": talk.written, "stored": stored.total(), "replies": answered.total()}
        report["repeats"] = repeats
        report.print()
        assert stored == once(*range(1, talk.written + 1))
        assert answered == stored
        subjects = await rig.query("SELECT subject FROM tickets")
        assert len(subjects) == len({row["subject"] for row in subjects})
        assert set(await rig.states()) == {"sent"}


async def test_redelivery_is_answered_once(tmp_path: Path) -> None:
    await _run(tmp_path, 24, 2)


@pytest.mark.faults
@pytest.mark.timeout(900)
async def test_redelivery_is_answered_once_long(tmp_path: Path) -> None:
    await _run(tmp_path, 300, 3)
