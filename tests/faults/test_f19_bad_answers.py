"""F19: Telegram asks for patience again and again, and answers with anything. Finals arrive, nothing crashes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.botapi.faults import Kind
from tests.fakes.telegram_api import FakeTelegram, Fault
from tests.faults import oracle, seeds
from tests.faults.rig import Rig, new_rig

pytestmark = pytest.mark.usefixtures("quick_repeats")
CHATS = 12


async def _everybody_is_answered(rig: Rig, chats: int, *, seconds: float = 60.0) -> list[int]:
    """One message in every chat; how often each answer stands there."""
    for chat in range(1, chats + 1):
        rig.telegram.people.says(chat, f"T{chat}")
    await rig.rest(seconds)
    return [rig.telegram.texts(chat).count(f"T{chat} 完") for chat in range(1, chats + 1)]


async def _not_sent(rig: Rig) -> list[str]:
    """The states of replies that have not arrived."""
    rows = await asyncio.to_thread(oracle.query, rig.path, "SELECT state FROM deliveries WHERE state != 'sent'")
    return [row["state"] for row in rows]


async def test_sends_that_are_refused_are_tried_again(tmp_path: Path) -> None:
    """Whatever Telegram says of how long to wait: nothing, zero, less, a fraction."""
    patience = (0, -5, None, 1.5)
    async with FakeTelegram(version=(10, 0)) as telegram:
        faults = [
            telegram.faults.add(Fault(kind="flood", method="sendMessage", chat=chat, times=2, retry_after=seconds))
            for chat, seconds in enumerate(patience, start=1)
        ]
        rig = await new_rig(telegram, tmp_path)
        async with rig.life():
            copies = await _everybody_is_answered(rig, CHATS)
        assert [fault.fired for fault in faults] == [2] * len(patience)
        assert copies == [1] * CHATS


async def test_a_huge_patience_parks_one_chat_only(tmp_path: Path) -> None:
    async with FakeTelegram(version=(10, 0)) as telegram:
        fault = telegram.faults.add(Fault(kind="flood", method="sendMessage", chat=1, retry_after=10**9))
        rig = await new_rig(telegram, tmp_path)
        async with rig.life():
            for chat in range(1, CHATS + 1):
                telegram.people.says(chat, f"T{chat}")
            others = range(2, CHATS + 1)
            await telegram.until(lambda: all(telegram.texts(chat) for chat in others), timeout=20)
            await asyncio.sleep(1.0)
            waiting = await _not_sent(rig)
        assert fault.fired == 1, "it is not asked again before its time"
        assert waiting == ["waiting"]


async def test_the_flood_limits_of_telegram_are_kept(tmp_path: Path) -> None:
    """About one message a second and chat: the bot paces itself and meets hardly a 429."""
    async with FakeTelegram(version=(10, 0), flood_limits=True) as telegram:
        rig = await new_rig(telegram, tmp_path)
        async with rig.life():
            for number in range(1, 6):
                telegram.people.says(5, f"/help T{number}")  # commands are answered one by one
            await rig.rest()
        refused = [call for call in telegram.calls("sendMessage") if call.status == 429]
        assert len(telegram.texts(5)) == 5
        assert len(refused) <= 1


ANSWERS: tuple[tuple[str, Kind, dict[str, Any]], ...] = (
    ("a page instead of JSON", "html", {"code": 502}),
    ("half of the JSON", "truncated", {}),
    ("a list", "shape", {"body": ["what"]}),
    ("no result", "shape", {"body": {"ok": True}}),
    ("a result of another kind", "shape", {"body": {"ok": True, "result": "yes"}}),
    ("a message without an id", "shape", {"body": {"ok": True, "result": {"date": 1}}}),
    ("nothing at all", "close", {}),
)


async def test_answers_that_can_not_be_read(tmp_path: Path) -> None:
    """One kind for each chat's reply, and all of them one after the other for everything that is asked at a start."""
    async with FakeTelegram(version=(10, 0)) as telegram:
        faults = []
        for chat, (_, kind, about) in enumerate(ANSWERS, start=1):
            faults.append(Fault(kind=kind, method="sendMessage", chat=chat, times=1, **about))
            faults += [Fault(kind=kind, method=method, times=1, **about) for method in ("getUpdates", "getMe")]
        for fault in faults:
            telegram.faults.add(fault)
        rig = await new_rig(telegram, tmp_path)
        async with rig.life(seconds=20):
            copies = await _everybody_is_answered(rig, len(ANSWERS))
            left = await _not_sent(rig)
        assert [fault.fired for fault in faults] == [1] * len(faults)
        assert copies == [1] * len(ANSWERS)
        assert left == []


async def test_one_update_that_makes_no_sense_does_not_stop_the_others(tmp_path: Path) -> None:
    async with FakeTelegram() as telegram:
        rig = await new_rig(telegram, tmp_path)
        async with rig.life():
            telegram.people.happens("message", {"nonsense": [1, {"deep": None}]})
            telegram.people.happens("message", {"message_id": "five", "date": -1, "chat": 7})
            telegram.people.happens("callback_query", {})
            assert await _everybody_is_answered(rig, 2) == [1, 1]


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_a_storm_of_everything(tmp_path: Path) -> None:
    chance, report = seeds.begin("F19")
    async with FakeTelegram() as telegram:
        rig = await new_rig(telegram, tmp_path)
        for number, (_, kind, about) in enumerate(ANSWERS):
            for method in ("*", "getUpdates"):
                skip = chance.randrange(20)
                telegram.faults.add(Fault(kind=kind, method=method, every=17 + number, skip=skip, **about))
        for retry_after in (0, -1, None, 1, 2):
            telegram.faults.add(Fault(kind="flood", every=13, retry_after=retry_after))
        async with rig.life():
            started = time.monotonic()
            copies = await _everybody_is_answered(rig, 300, seconds=400)
            took = time.monotonic() - started
        left = await _not_sent(rig)
        fired = sum(fault.fired for fault in telegram.faults.program)
        report.counts |= {"faults": fired, "messages": len(copies), "seconds": int(took)}
        report.counts |= {"extra": copies.count(2), "operators": len(left)}
        report.print()
        assert max(copies) <= 2
        assert copies.count(0) <= len(left)
