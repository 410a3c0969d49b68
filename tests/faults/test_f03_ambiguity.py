"""F3: Telegram takes a message and does not say so. One repeat, no third copy, and operators see what nobody knows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.history import outbox
from tests.core.house import House
from tests.fakes.botapi.faults import Kind
from tests.fakes.telegram_api import FakeTelegram, Fault
from tests.faults import oracle, seeds
from tests.faults.rig import Rig, new_rig

pytestmark = pytest.mark.usefixtures("quick_repeats")
LOST: Sequence[tuple[Kind, int]] = (
    ("close", 0),
    ("reset", 0),
    ("cut", 0),
    ("truncated", 0),
    ("shape", 0),
)
"""Ways to lose an answer after the message was taken."""
FAILED: tuple[tuple[Kind, int], ...] = (("html", 502), ("error", 500))
"""Answers that say it went wrong, although the message was taken."""


async def _say_and_lose(
    rig: Rig, ways: Sequence[tuple[Kind, int]], times: int, *, seconds: float = 3600.0
) -> list[Fault]:
    """One message in a chat of its own for each way; the answer to it is lost so often."""
    faults = []
    for chat, (kind, code) in enumerate(ways, start=1):
        fault = Fault(kind=kind, method="sendMessage", code=code or 500, chat=chat, times=times, apply=True)
        faults.append(rig.telegram.faults.add(fault))
        rig.telegram.people.says(chat, f"T{chat}")
    await rig.rest(120)
    return faults


def _copies(rig: Rig, count: int) -> list[int]:
    return [rig.telegram.texts(chat).count(f"T{chat} 完") for chat in range(1, count + 1)]


async def _run(folder: Path, ways: Sequence[tuple[Kind, int]]) -> None:
    _, report = seeds.begin("F3")
    async with FakeTelegram(version=(10, 0)) as telegram:  # without rich messages: one method to break
        once = await new_rig(telegram, folder)
        async with once.life():
            faults = await _say_and_lose(once, ways, times=1)
        copies = _copies(once, len(ways))
        report.counts |= {"faults": sum(fault.fired for fault in faults), "copies": copies}
        report.print()
        assert [fault.fired for fault in faults] == [1] * len(ways)
        assert set(copies) <= {1, 2}, dict(zip(ways, copies, strict=True))
        states = {row["state"] for row in oracle.query(once.path, "SELECT state FROM deliveries")}
        assert states == {"sent"}


async def test_a_lost_answer_costs_one_copy_at_most(tmp_path: Path) -> None:
    await _run(tmp_path, (*LOST, *FAILED))


async def test_a_second_lost_answer_is_for_the_operators(tmp_path: Path) -> None:
    """No third copy: the reply is marked unknown, shown in the metrics and listed for people."""
    async with FakeTelegram(version=(10, 0)) as telegram:
        rig = await new_rig(telegram, tmp_path)
        async with rig.life() as house:
            faults = await _say_and_lose(rig, LOST, times=5)
            copies = _copies(rig, len(LOST))
            stuck = await house.database.read(lambda connection: outbox.stuck(connection, 100))
            async with asyncio.timeout(5):
                while f"kefu_unknown_deliveries {len(LOST)}.0" not in await _metrics(house):
                    await asyncio.sleep(0.1)
        assert max(copies) <= 2, dict(zip(LOST, copies, strict=True))
        assert [fault.fired for fault in faults] == [2] * len(LOST)
        assert {(one.state, one.text) for one in stuck} == {("unknown", f"T{n} 完") for n in range(1, len(LOST) + 1)}


async def _metrics(house: House) -> str:
    return (await asyncio.to_thread(house.metrics.exposition)).decode()


async def test_what_was_surely_not_taken_is_sent_once(tmp_path: Path) -> None:
    """Refusals before the message was taken are repeated as often as it needs."""
    refusals: Sequence[tuple[Kind, int]] = (("flood", 429), ("error", 502))
    async with FakeTelegram(version=(10, 0)) as telegram:
        rig = await new_rig(telegram, tmp_path)
        async with rig.life():
            for chat, (kind, code) in enumerate(refusals, start=1):
                fault = Fault(kind=kind, method="sendMessage", code=code, chat=chat, times=2, retry_after=1)
                telegram.faults.add(fault)
                telegram.people.says(chat, f"T{chat}")
            await rig.rest(60)
        assert _copies(rig, len(refusals)) == [1, 1]


async def test_an_edit_whose_answer_is_lost_leaves_one_message(tmp_path: Path) -> None:
    """In a group the answer is written into what was shown before: repeating that changes nothing."""
    async with FakeTelegram(version=(10, 0)) as telegram:
        rig = await new_rig(telegram, tmp_path)
        group = -1_000_000_000_001
        fault = telegram.faults.add(Fault(kind="close", method="editMessageText", apply=True, times=2, contains="完"))
        async with rig.life():
            telegram.people.says(group, "@kefu_test_bot slow 1 T1", sender=7)
            await rig.rest(60)
        assert fault.fired >= 1
        assert telegram.texts(group) == ["T1 完"]


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_a_silent_telegram_costs_one_copy_at_most(tmp_path: Path) -> None:
    """The long form adds the answers that never come: each takes the adapter's whole patience."""
    await _run(tmp_path, (*LOST, *FAILED, ("hang", 0)))
