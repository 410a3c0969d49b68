"""F9: people press Stop, close their browser, and the operator restarts, all in the middle. Nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import os
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from bot.messages import IncomingMessage, MessageKind, Sender
from tests.fakes.dialogue import ScriptedDialogue
from tests.fakes.telegram_api import FakeTelegram
from tests.faults import seeds
from tests.faults.memory import Hall, message, open_hall, place
from tests.faults.rig import Rig, new_rig


def _stop(channel: str, number: int) -> IncomingMessage:
    return IncomingMessage(
        keys=(f"stop:{channel}:{number}",),
        conversation=place(channel),
        sender=Sender(id=f"memory:{channel}"),
        kind=MessageKind.STOP,
        sent_at=datetime.now(UTC),
    )


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def _until_quiet(hall: Hall, tasks: int, seconds: float = 10.0) -> None:
    """Every task of a turn is gone."""
    async with asyncio.timeout(seconds):
        while len(asyncio.all_tasks()) > tasks:
            await asyncio.sleep(0.02)


async def _run(folder: Path, conversations: int) -> None:
    chance, report = seeds.begin("F9")
    dialogue = ScriptedDialogue(seed=report.seed, latency=(0.4, 0.8))
    async with open_hall(folder, dialogue) as hall:
        await hall.deliver([message("warm", 1, "T0")])
        await hall.rest()
        tasks, files = len(asyncio.all_tasks()), _open_files()
        stopped = set(chance.sample(range(conversations), conversations // 2))
        await hall.deliver([message(f"c{number}", 1, f"T{number}") for number in range(conversations)])

        async def press(number: int) -> None:
            while not dialogue.running[str(place(f"c{number}"))]:
                await asyncio.sleep(0.01)
            await asyncio.sleep(chance.uniform(0.0, 0.4))
            for again in range(chance.randint(1, 3)):  # impatient people press more than once
                await hall.deliver([_stop(f"c{number}", again)])

        await asyncio.gather(*(press(number) for number in stopped))
        await hall.rest()
        await _until_quiet(hall, tasks)
        gc.collect()
        report.counts |= {"conversations": conversations, "stops": len(stopped), "cancelled": dialogue.cancelled}
        report.counts |= {"tasks": len(asyncio.all_tasks()) - tasks, "files": _open_files() - files}
        report.print()
        assert dialogue.cancelled > len(stopped) / 2, "most stops have to meet a running answer"
        assert sum(dialogue.running.values()) == 0
        assert _open_files() <= files + 2
        for number in range(conversations):
            texts = hall.channel.texts(place(f"c{number}"))
            wanted = {f"T{number} 完"} | ({f"已停止 T{number} 完"} if number in stopped else set())
            assert len(texts) == 1 and texts[0] in wanted, texts
        states = await hall.rows("SELECT DISTINCT state FROM inbound")
        assert states == [{"state": "done"}]


async def test_stops_free_everything_and_leave_the_others_alone(tmp_path: Path) -> None:
    await _run(tmp_path, 100)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_a_thousand_stops_free_everything(tmp_path: Path) -> None:
    await _run(tmp_path, 2000)


async def test_browsers_that_leave_keep_their_answer(tmp_path: Path) -> None:
    """A stream that is dropped in the middle: the answer is stored, and there when the person comes back."""
    async with FakeTelegram() as telegram:
        rig = await new_rig(telegram, tmp_path, dialogue=ScriptedDialogue(latency=(0.3, 0.5)))
        async with rig.life():
            async with aiohttp.ClientSession() as http:
                await asyncio.gather(*(_leaves_early(http, rig, number) for number in range(20)))
            await rig.rest()
            async with aiohttp.ClientSession() as http:
                said = await asyncio.gather(*(_comes_back(http, rig, number) for number in range(20)))
        assert said == [[f"T{number}", f"T{number} 完"] for number in range(20)]


def _session(number: int) -> str:
    return f"session-of-person-{number:04}"


async def _leaves_early(http: aiohttp.ClientSession, rig: Rig, number: int) -> None:
    body = {"session": _session(number), "text": f"T{number}"}
    async with http.post(f"{rig.url}/api/v1/chat", json=body) as response:
        assert response.status == 200
        await response.content.readany()
        response.close()


async def _comes_back(http: aiohttp.ClientSession, rig: Rig, number: int) -> list[str]:
    async with http.post(f"{rig.url}/api/v1/chat/history", json={"session": _session(number)}) as response:
        assert response.status == 200
        return [entry["text"] for entry in (await response.json())["entries"]]


async def test_stop_under_a_telegram_draft_ends_the_answer(tmp_path: Path) -> None:
    async with FakeTelegram() as telegram:
        rig = await new_rig(telegram, tmp_path)
        async with rig.life():
            telegram.people.says(5, "slow 60 T1")
            await telegram.until(lambda: telegram.state.chats[5].drafts, timeout=10)
            draft = next(iter(telegram.state.chats[5].drafts))
            assert telegram.state.chats[5].drafts[draft]["can_stop"]
            assert telegram.people.stops(5, draft)["update_id"] is not None, "the bot does not ask for stops"
            await rig.rest()
        assert telegram.texts(5) == ["已停止 T1 完"]
        assert rig.dialogue.cancelled == 1
