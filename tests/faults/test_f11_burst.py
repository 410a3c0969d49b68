"""F11: everybody writes at once. Every acknowledgement in time, every answer given, memory in proportion."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.fakes.dialogue import ScriptedDialogue
from tests.faults import seeds
from tests.faults.memory import message, open_hall, percentile, place, resident

ACK_SECONDS = 3.0
BYTES_A_CONVERSATION = 30_000


async def _burst(folder: Path, conversations: int, *, batch: int) -> None:
    _, report = seeds.begin("F11")
    dialogue = ScriptedDialogue(seed=report.seed, latency=(0.2, 0.2), snapshots=1)
    async with open_hall(folder, dialogue) as hall:
        await hall.deliver([message("warm", 1, "T0")])
        await hall.rest()
        before = resident()
        started = time.monotonic()
        crowd = [message(f"c{number}", 1, f"T{number}") for number in range(conversations)]
        slowest, receipts = await hall.deliver(crowd, batch=batch)
        peak = resident()
        while hall.house.lanes.total_waiting:
            peak = max(peak, resident())
            await asyncio.sleep(0.1)
        await hall.rest(120)
        took = time.monotonic() - started
        grown = (peak - before) / conversations
        report.counts |= {
            "conversations": conversations,
            "slowest_ack": f"{slowest:.2f}s",
            "all_answered": f"{took:.1f}s",
        }
        report["bytes_a_conversation"] = int(grown)
        report.print()
        assert len(receipts) == conversations
        assert slowest < ACK_SECONDS
        assert grown < BYTES_A_CONVERSATION
        for number in range(conversations):
            assert hall.channel.texts(place(f"c{number}")) == [f"T{number} 完"]


async def test_three_hundred_at_once_are_all_answered(tmp_path: Path) -> None:
    await _burst(tmp_path, 300, batch=1)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_ten_thousand_at_once_are_all_answered(tmp_path: Path) -> None:
    await _burst(tmp_path, 10_000, batch=1)


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_three_hundred_messages_a_second_are_taken_quickly(tmp_path: Path) -> None:
    _, report = seeds.begin("F11 steady")
    async with open_hall(tmp_path, ScriptedDialogue(seed=report.seed, latency=(0.0, 0.2), snapshots=1)) as hall:
        seconds: list[float] = []

        async def one(number: int) -> None:
            started = time.monotonic()
            await hall.house.inbox.accept([message(f"c{number % 10_000}", number, f"T{number}")])
            seconds.append(time.monotonic() - started)

        async with asyncio.TaskGroup() as group:
            began = time.monotonic()
            for number in range(20 * 300):
                group.create_task(one(number))
                ahead = number / 300 - (time.monotonic() - began)
                if ahead > 0:
                    await asyncio.sleep(ahead)
        await hall.rest(60)
        p99 = percentile(seconds, 0.99)
        report.counts |= {"messages": len(seconds), "p50": f"{percentile(seconds, 0.5) * 1000:.1f}ms"}
        report["p99"] = f"{p99 * 1000:.1f}ms"
        report.print()
        assert p99 < 0.25
