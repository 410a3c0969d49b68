"""Who sends a reply: exactly one, whatever coincides."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import Connection

from bot.clock import SystemClock
from bot.errors import StoreUnavailable
from bot.history import outbox
from bot.history.endings import Delivery, insert_notice
from bot.messages import Author, ConversationRef, Outcome, Reply
from bot.ports import Part
from tests.core.house import new_database, open_house
from tests.fakes.channel import MemoryChannel
from tests.fakes.dialogue import ScriptedDialogue
from tests.fakes.logs import plain_logs
from tests.faults.memory import Hall, message, open_hall, place


@pytest.fixture(autouse=True)
def _plain_logs() -> Iterator[None]:
    with plain_logs():
        yield


class _Gate(MemoryChannel):
    """Holds notices back until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = asyncio.Event()

    async def send(self, conversation: ConversationRef, part: Part, **about: Any) -> str:
        if part.text == "notice":
            await self.opened.wait()
        return await super().send(conversation, part, **about)


async def test_an_answer_behind_a_notice_is_said_once(tmp_path: Path) -> None:
    """A notice arrives just as a turn of its conversation ends: two senders must not take the same reply."""
    channel = _Gate()
    async with open_hall(tmp_path, channel=channel) as hall:
        write, now = hall.house.database.write, datetime.now(UTC)
        notice = Reply(outcome=Outcome.CHAT, text="notice", language="zh", author=Author.NOTICE)
        await write(lambda connection: insert_notice(connection, place("c"), notice, None, now))
        hall.house.outbox.wake()
        await hall.deliver([message("c", 1, "slow 0.3 T1")])
        await asyncio.sleep(0.2)
        busy = asyncio.create_task(write(lambda connection: time.sleep(0.4)))
        await asyncio.sleep(0.02)
        channel.opened.set()  # its mark now waits for the writer, and the turn's end behind it
        await busy
        await hall.rest()
        await asyncio.sleep(0.3)
        assert channel.texts(place("c")) == ["notice", "T1 完"]


async def test_an_interrupted_reply_survives_a_failing_read(tmp_path: Path) -> None:
    """Whoever takes it up meets a disk that can not be read: the reply waits, and is not left for the next start."""
    path = await asyncio.to_thread(new_database, tmp_path)
    dialogue = ScriptedDialogue()
    first, second = MemoryChannel(), MemoryChannel()
    async with open_house(path, [first], dialogue, clock=SystemClock()) as house:
        first.mishaps.append("hang")
        await Hall(house, first, dialogue, path).deliver([message("c", 1, "T1")])
        async with asyncio.timeout(5):
            while not first.sends:
                await asyncio.sleep(0.01)
    failures = iter([StoreUnavailable("the disk can not be read")])
    look = outbox.first_open

    def first_open(connection: Connection, conversation: int) -> Delivery | None:
        if failure := next(failures, None):
            raise failure
        return look(connection, conversation)

    with patch.object(outbox, "first_open", first_open), patch("bot.turns.delivery.BACKOFF_SECONDS", (0.1,)):
        async with open_house(path, [second], dialogue, clock=SystemClock()) as house:
            await Hall(house, second, dialogue, path).rest(10)
    assert second.texts(place("c")) == ["T1 完"]


async def test_a_reply_is_sent_again_when_its_time_has_come_and_not_at_the_next_look(tmp_path: Path) -> None:
    channel = MemoryChannel()
    pauses = patch.multiple("bot.turns.delivery", POLL_SECONDS=60.0, BACKOFF_SECONDS=(0.1,))
    with pauses:
        async with open_hall(tmp_path, channel=channel) as hall:
            await hall.deliver([message("c", 1, "T1")])
            await hall.rest(10)
            channel.mishaps.append("lost")
            notice = Reply(outcome=Outcome.CHAT, text="notice", language="zh", author=Author.NOTICE)
            now = datetime.now(UTC)
            await hall.house.database.write(lambda connection: insert_notice(connection, place("c"), notice, None, now))
            hall.house.outbox.wake()
            await hall.rest(10)
    assert channel.texts(place("c")) == ["T1 完", "notice"]
