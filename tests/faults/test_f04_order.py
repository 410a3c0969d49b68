"""F4: shuffled and parallel arrival, edits mixed in. Order inside a conversation, none between them."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from pathlib import Path

import pytest

from bot.messages import MessageKind
from tests.fakes.dialogue import ScriptedDialogue
from tests.faults import seeds
from tests.faults.memory import Hall, edit, message, open_hall, percentile, place

WAVES = 8
"""Arrivals with turns in between: a late message of a conversation finds its later ones answered already."""


async def _run(folder: Path, conversations: int, messages: int) -> None:
    chance, report = seeds.begin("F4")
    async with open_hall(folder, ScriptedDialogue(seed=report.seed, latency=(0.0, 0.002))) as hall:
        originals = [
            message(f"c{place}", number, f"T{place * messages + number}")
            for place in range(conversations)
            for number in range(1, messages + 1)
        ]
        edited = {
            original.text: edit(original, f"{original.text} neu")
            for original in chance.sample(originals, len(originals) // 20)
        }
        arriving = [*originals, *edited.values()]
        chance.shuffle(arriving)
        slowest = 0.0
        for wave in range(WAVES):
            seconds, _ = await hall.deliver(arriving[wave::WAVES], batch=10)
            slowest = max(slowest, seconds)
        await hall.rest(300)
        rows = await hall.rows(
            "SELECT c.channel, h.text, h.role FROM history h JOIN conversations c ON c.id = h.conversation_id"
            " ORDER BY h.conversation_id, h.sequence, h.rank, h.id"
        )
        said: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            if row["role"] == "customer":
                said[row["channel"]].append(row["text"])
        report.counts |= {"messages": len(originals), "edits": len(edited), "slowest_ack": f"{slowest:.2f}s"}
        report["turns"] = len(hall.dialogue.seen)
        report["overlaps"] = hall.dialogue.overlaps
        report.print()
        assert hall.dialogue.overlaps == 0, "never two answers at a time for one conversation"
        for number in range(conversations):
            tokens = [f"T{number * messages + message}" for message in range(1, messages + 1)]
            assert said[f"c{number}"] == [edited[token].text if token in edited else token for token in tokens]
        answered = [
            token
            for texts in map(hall.channel.texts, map(place, said))
            for text in texts
            for token in text.split()[:-1]
        ]
        assert sorted(answered) == sorted(original.text for original in originals), "each answered once"


async def test_history_has_the_platforms_order(tmp_path: Path) -> None:
    await _run(tmp_path, 60, 20)


@pytest.mark.faults
@pytest.mark.timeout(900)
async def test_history_has_the_platforms_order_long(tmp_path: Path) -> None:
    await _run(tmp_path, 1000, 20)


async def test_an_edit_before_the_answer_replaces_the_question(tmp_path: Path) -> None:
    async with open_hall(tmp_path) as hall:
        original = message("c", 1, "slow 30 T1")
        await hall.deliver([original])
        await _until_answering(hall, 1)
        await hall.deliver([edit(original, "T2")])
        await hall.rest()
        assert hall.channel.texts(place("c")) == ["T2 完"]
        assert hall.dialogue.cancelled == 1


async def test_an_edit_after_the_answer_only_corrects_history(tmp_path: Path) -> None:
    async with open_hall(tmp_path) as hall:
        original = message("c", 1, "T1")
        await hall.deliver([original])
        await hall.rest()
        await hall.deliver([edit(original, "T2")])
        await hall.rest()
        assert hall.channel.texts(place("c")) == ["T1 完"]
        assert await hall.rows("SELECT text FROM history WHERE role = 'customer'") == [{"text": "T2"}]


async def _until_answering(hall: Hall, count: int) -> None:
    async with asyncio.timeout(10):
        while sum(hall.dialogue.running.values()) < count:
            await asyncio.sleep(0.005)


async def _latencies(hall: Hall, names: str, count: int) -> list[float]:
    """Seconds from handing in to the answer standing there, one conversation after another."""
    seconds = []
    for number in range(count):
        started = time.monotonic()
        await hall.deliver([message(f"{names}{number}", 1, f"T{number}")])
        async with asyncio.timeout(20):
            while not hall.channel.texts(place(f"{names}{number}")):
                await asyncio.sleep(0.001)
        seconds.append(time.monotonic() - started)
    return seconds


async def test_a_slow_conversation_delays_no_other(tmp_path: Path) -> None:
    async with open_hall(tmp_path) as hall:
        before = await _latencies(hall, "a", 30)
        await hall.deliver([message(f"slow{number}", 1, "hang") for number in range(8)])
        await _until_answering(hall, 8)
        beside = await _latencies(hall, "b", 30)
        assert sum(hall.dialogue.running.values()) == 8, "the slow ones are still at it"
        assert percentile(beside, 0.99) - percentile(before, 0.99) <= 0.5


@pytest.mark.faults
async def test_a_slow_conversation_delays_no_other_by_50_ms(tmp_path: Path) -> None:
    _, report = seeds.begin("F4 slow neighbours")
    async with open_hall(tmp_path) as hall:
        before = percentile(await _latencies(hall, "a", 400), 0.99)
        await hall.deliver([message(f"slow{number}", 1, "hang") for number in range(64)])
        await _until_answering(hall, 64)
        beside = percentile(await _latencies(hall, "b", 400), 0.99)
        report.counts |= {"p99_alone": f"{before * 1000:.1f}ms", "p99_beside": f"{beside * 1000:.1f}ms"}
        report.print()
        assert beside - before <= 0.05


async def test_an_edit_of_a_stopped_question_reaches_history(tmp_path: Path) -> None:
    """Found by the state machine: a stopped turn wrote its words as they had been when it began."""
    async with open_hall(tmp_path) as hall:
        original = message("c", 1, "hang T1")
        stop = message("c", 2, "", kind=MessageKind.STOP)
        await hall.deliver([original])
        await _until_answering(hall, 1)
        await hall.deliver([stop, edit(original, "T2")], batch=2)
        await hall.rest()
        assert await hall.rows("SELECT text FROM history WHERE role = 'customer'") == [{"text": "T2"}]
