"""F34: one person, or one script, writes without end. The others do not notice, and nothing vanishes in silence."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from bot.messages import ReceiptStatus
from bot.turns.limits import QueueLimits
from tests.fakes.dialogue import ScriptedDialogue
from tests.fakes.telegram_api import FakeTelegram
from tests.faults import seeds
from tests.faults.memory import Hall, message, open_hall, percentile, place, resident
from tests.faults.rig import new_rig

LIMITS = QueueLimits(user_per_minute=20, queue_per_conversation=20, queue_total=2000, max_message_chars=4000)
"""The defaults of section `limits`."""
BUSY = "请稍候"


async def _latency(hall: Hall, channel: str, number: int) -> float:
    started = time.monotonic()
    await hall.deliver([message(channel, number, f"T{number}")])
    async with asyncio.timeout(20):
        while f"T{number} 完" not in hall.channel.texts(place(channel)):
            await asyncio.sleep(0.001)
    return time.monotonic() - started


async def _others(hall: Hall, names: str, count: int) -> list[float]:
    return [await _latency(hall, f"{names}{number}", 1) for number in range(count)]


async def test_a_flood_is_answered_to_its_limit_and_told_once(tmp_path: Path) -> None:
    async with open_hall(tmp_path, limits=LIMITS) as hall:
        flood = [message("flood", number, f"T{number}") for number in range(1, 301)]
        _, receipts = await hall.deliver(flood, batch=1)
        await _others(hall, "other", 20)
        await hall.rest()
        texts = hall.channel.texts(place("flood"))
        accepted = [receipt for receipt in receipts if receipt.status is ReceiptStatus.ACCEPTED]
        assert len(accepted) == LIMITS.user_per_minute
        assert texts.count(BUSY) == 1, "told once, not once a message"
        answered = {token for text in texts if text != BUSY for token in text.split()[:-1]}
        assert len(answered) == LIMITS.user_per_minute
        kept = await hall.rows("SELECT count(*) AS n FROM history WHERE role = 'customer' AND text LIKE 'T%'")
        assert kept == [{"n": 300 + 20}], "what was not answered was said all the same"


async def test_a_full_house_says_so_and_keeps_every_word(tmp_path: Path) -> None:
    """`queue_total` is reached by many people: each who finds it full is told once, politely."""
    limits = QueueLimits(user_per_minute=20, queue_per_conversation=20, queue_total=50, max_message_chars=4000)
    async with open_hall(tmp_path, ScriptedDialogue(latency=(0.05, 0.05)), limits=limits, workers=4) as hall:
        crowd = [message(f"c{number}", 1, f"T{number}") for number in range(200)]
        statuses = []
        for start in range(0, len(crowd), 20):
            _, receipts = await hall.deliver(crowd[start : start + 20], batch=20)
            statuses += [receipt.status for receipt in receipts]
        await hall.rest()
        assert set(statuses) == {ReceiptStatus.ACCEPTED, ReceiptStatus.SHED}
        for number, status in enumerate(statuses):
            wanted = [f"T{number} 完"] if status is ReceiptStatus.ACCEPTED else [BUSY]
            assert hall.channel.texts(place(f"c{number}")) == wanted
        kept = await hall.rows("SELECT count(*) AS n FROM history WHERE role = 'customer'")
        assert kept == [{"n": 200}]


async def test_long_messages_are_cut_not_refused(tmp_path: Path) -> None:
    async with open_hall(tmp_path, limits=LIMITS) as hall:
        await hall.deliver([message("c", 1, "T1 " + "长" * 60_000)])
        await hall.rest()
        assert hall.channel.texts(place("c")) == ["T1 完"]
        stored = await hall.rows("SELECT length(text) AS n FROM inbound")
        assert stored == [{"n": LIMITS.max_message_chars}]


async def test_an_album_of_a_hundred_photos_is_one_question(tmp_path: Path) -> None:
    async with FakeTelegram() as telegram:
        rig = await new_rig(telegram, tmp_path, limits=LIMITS)
        async with rig.life():
            for number in range(100):
                photo = {"photo": [{"file_id": str(number), "file_unique_id": str(number), "width": 9, "height": 9}]}
                caption = {"caption": "T1"} if number == 0 else {}
                telegram.people.says(5, extra={**photo, **caption, "media_group_id": "album-1"})
            await rig.rest()
        assert telegram.texts(5) == ["T1 完"]


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_a_flood_does_not_slow_the_others(tmp_path: Path) -> None:
    """100 messages a second of one person, for half a minute; the others' p99 may grow by a tenth."""
    _, report = seeds.begin("F34")
    async with open_hall(tmp_path, ScriptedDialogue(latency=(0.05, 0.05)), limits=LIMITS) as hall:
        await _others(hall, "warm", 50)
        alone = percentile(await _others(hall, "alone", 300), 0.99)
        rss = resident()
        flooding = asyncio.create_task(_flood(hall, 3000))
        beside = percentile(await _others(hall, "beside", 300), 0.99)
        sent = await flooding
        grown = resident() - rss
        report.counts |= {"flood": sent, "p99_alone": f"{alone * 1000:.1f}ms", "p99_beside": f"{beside * 1000:.1f}ms"}
        report["grown"] = f"{grown / 1e6:.0f}MB"
        report.print()
        await hall.rest()
        assert beside <= alone * 1.1 + 0.005
        assert grown < 100e6


async def _flood(hall: Hall, count: int) -> int:
    began = time.monotonic()
    for number in range(1, count + 1):
        await hall.house.inbox.accept([message("flood", number, f"T{number}", sender="memory:flood")])
        await asyncio.sleep(max(0.0, number / 100 - (time.monotonic() - began)))
    return count
