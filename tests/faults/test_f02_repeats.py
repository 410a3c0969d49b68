"""F2: every event arrives four times, in parallel, again after its acknowledgement, after a restart, after minutes."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from tests.fakes.dialogue import final_tokens, tokens
from tests.fakes.telegram_api import FakeTelegram
from tests.faults import oracle, seeds
from tests.faults.rig import Rig, new_rig
from tests.faults.seeds import Report


async def _four_times(rig: Rig, updates: list[int], chance: random.Random) -> int:
    """What a platform with a bad memory does: three repeats each, one in twenty of them two at a time."""
    sender = rig.telegram.sender
    posts = 0
    for update in updates:
        copies = [2, 2] if chance.random() < 0.05 else [1, 1, 1]
        for count in copies:
            statuses = await sender.post(update, count)
            assert set(statuses) == {200}, statuses
            posts += count
    return posts


async def _again_under_new_numbers(rig: Rig, updates: list[int], share: float, chance: random.Random) -> int:
    """Telegram's numbers start anew after a quiet week: the message itself has to be recognised."""
    again = [update for update in updates if chance.random() < share] or updates[:1]
    for update in again:
        rig.telegram.people.redelivers(update, fresh_id=True)
    await rig.rest()
    return len(again)


def _check_exactly_once(rig: Rig, wanted: set[str], report: Report) -> None:
    rows = oracle.query(rig.path, "SELECT text FROM inbound")
    stored = Counter(token for row in rows for token in tokens(row["text"]))
    replies = oracle.query(rig.path, "SELECT reply FROM deliveries WHERE author = 'bot'")
    answered = Counter(token for row in replies for token in final_tokens(json.loads(row["reply"])["text"]))
    said = Counter(
        token
        for chat in rig.telegram.state.chats
        for words in rig.telegram.texts(chat)
        for token in final_tokens(words)
    )
    tickets = Counter(
        token for row in oracle.query(rig.path, "SELECT subject FROM tickets") for token in tokens(row["subject"])
    )
    report.counts |= {"stored": stored.total(), "replies": answered.total(), "said": said.total()}
    report["tickets"] = tickets.total()
    report.print()
    once = dict.fromkeys(wanted, 1)
    assert stored == once
    assert answered == once
    assert said == once
    assert set(tickets.values()) == {1}
    assert len(tickets) >= len(wanted) / 4


async def _run(folder: Path, events: int) -> None:
    chance, report = seeds.begin("F2")
    async with FakeTelegram() as telegram:
        rig = await new_rig(telegram, folder, transport="webhook")
        updates: list[int] = []
        wanted: set[str] = set()
        posts = repeats = 0
        for number in range(3):  # three lives on one database
            async with rig.life():
                await telegram.until(lambda: telegram.state.webhook is not None)
                fresh = []
                for event in range(events // 3):
                    token = f"T{number * events + event}"
                    words = "ticket " if event % 3 == 0 else ""
                    told = telegram.people.says(chance.randrange(1, 10 * events), f"{words}{token}")
                    wanted.add(token)
                    fresh.append(told["update_id"])
                    updates.append(told["update_id"])
                posts += await _four_times(rig, fresh, chance)
                await rig.rest()
                # Everything again after the restart, and once more minutes later.
                posts += await _four_times(rig, chance.sample(updates, max(1, len(updates) // 10)), chance)
                repeats += await _again_under_new_numbers(rig, updates, 0.1, chance)
                rig.clock.offset += timedelta(minutes=6)
                repeats += await _again_under_new_numbers(rig, updates, 0.05, chance)
        report.counts |= {"events": len(wanted), "posts": posts, "repeats": repeats}
        await asyncio.to_thread(_check_exactly_once, rig, wanted, report)
        assert posts >= 3 * len(wanted)


async def test_redelivery_is_answered_once(tmp_path: Path) -> None:
    await _run(tmp_path, 36)


@pytest.mark.faults
@pytest.mark.timeout(900)
async def test_redelivery_is_answered_once_long(tmp_path: Path) -> None:
    await _run(tmp_path, 1500)


async def test_a_poll_whose_offset_was_lost_is_answered_once(tmp_path: Path) -> None:
    """The bot dies between its commit and the next poll: Telegram sends the whole batch again."""
    async with FakeTelegram() as telegram:
        rig = await new_rig(telegram, tmp_path)
        async with rig.life():
            await telegram.until(lambda: telegram.calls("getUpdates"))
            told = [telegram.people.says(chat, f"T{chat}") for chat in range(1, 20)]
            await rig.rest()
        for one in told:
            telegram.people.redelivers(one["update_id"], fresh_id=True)
        async with rig.life():
            await rig.rest()
        assert [telegram.texts(chat) for chat in range(1, 20)] == [[f"T{chat} 完"] for chat in range(1, 20)]


async def test_a_web_message_sent_again_gets_the_same_answer(tmp_path: Path) -> None:
    """A browser that lost its connection repeats its message with the same id."""
    async with FakeTelegram() as telegram, aiohttp.ClientSession() as http:
        rig = await new_rig(telegram, tmp_path)
        async with rig.life():
            body = {"session": "0123456789abcdef0123456789abcdef", "text": "ticket T1", "id": "client-message-1"}
            answers = await asyncio.gather(*(_ask(http, rig, body) for _ in range(4)))
        assert len({json.dumps(answer, sort_keys=True) for answer in answers}) == 1
        tickets = await asyncio.to_thread(oracle.query, rig.path, "SELECT number FROM tickets")
        assert [answer["ticket"] for answer in answers] == [tickets[0]["number"]] * 4
        assert len(tickets) == 1


async def _ask(http: aiohttp.ClientSession, rig: Rig, body: dict[str, str]) -> dict[str, object]:
    """The reply event of one request."""
    async with http.post(f"{rig.url}/api/v1/chat", json=body) as response:
        assert response.status == 200, await response.text()
        events = (await response.text()).split("\n\n")
    reply = next(event for event in events if event.startswith("event: reply"))
    found: dict[str, object] = json.loads(reply.partition("data: ")[2])
    return found
