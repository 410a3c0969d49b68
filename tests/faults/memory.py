"""The core alone, in the test's own process, around a channel in memory: for numbers that no network allows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.clock import SystemClock
from bot.errors import StoreUnavailable
from bot.messages import ConversationRef, IncomingMessage, MessageKind, Receipt, Sender
from bot.ports import Clock
from tests.core.house import House, new_database, open_house
from tests.fakes.channel import MemoryChannel
from tests.fakes.dialogue import ScriptedDialogue
from tests.faults import oracle


class Hall:
    """A core with its channel and what is known of it."""

    def __init__(self, house: House, channel: MemoryChannel, dialogue: ScriptedDialogue, path: Path) -> None:
        self.house = house
        self.channel = channel
        self.dialogue = dialogue
        self.path = path

    async def deliver(self, messages: Sequence[IncomingMessage], *, batch: int = 100) -> tuple[float, list[Receipt]]:
        """Hands everything in, in batches side by side; the slowest batch's seconds, and the receipts.

        What could not be stored comes again, as from any platform; its time goes on meanwhile.
        """

        async def one(part: Sequence[IncomingMessage]) -> tuple[float, tuple[Receipt, ...]]:
            started = time.monotonic()
            while True:
                try:
                    receipts = await self.house.inbox.accept(part)
                except StoreUnavailable:
                    await asyncio.sleep(0.5)
                else:
                    return time.monotonic() - started, receipts

        parts = [messages[start : start + batch] for start in range(0, len(messages), batch)]
        done = await asyncio.gather(*map(one, parts))
        return max(seconds for seconds, _ in done), [receipt for _, receipts in done for receipt in receipts]

    async def rest(self, seconds: float = 60.0) -> None:
        """Waits until everything has come to its end.

        :raises TimeoutError: it has not.
        """
        deadline = time.monotonic() + seconds
        while left := await asyncio.to_thread(oracle.open_work, self.path):
            if time.monotonic() > deadline:
                raise TimeoutError(f"still open: {left}")
            await asyncio.sleep(0.05)

    async def rows(self, statement: str) -> list[dict[str, Any]]:
        return await asyncio.to_thread(oracle.query, self.path, statement)


@contextlib.asynccontextmanager
async def open_hall(
    folder: Path,
    dialogue: ScriptedDialogue | None = None,
    *,
    clock: Clock | None = None,
    channel: MemoryChannel | None = None,
    **about: Any,
) -> AsyncIterator[Hall]:
    """A core on a fresh database; `about` goes to `open_house`."""
    path = await asyncio.to_thread(new_database, folder)
    channel, dialogue = channel or MemoryChannel(), dialogue or ScriptedDialogue()
    async with open_house(path, [channel], dialogue, clock=clock or SystemClock(), **about) as house:
        yield Hall(house, channel, dialogue, path)


def place(channel: str) -> ConversationRef:
    return ConversationRef(platform="memory", account="", channel=channel)


def message(channel: str, number: int, text: str, *, sender: str = "", **about: Any) -> IncomingMessage:
    """Message `number` of this chat; its platform order is its number."""
    given: dict[str, Any] = {
        "keys": (f"{channel}:{number}",),
        "conversation": place(channel),
        "sender": Sender(id=sender or f"memory:{channel}"),
        "text": text,
        "sent_at": datetime.now(UTC),
        "sequence": number,
        "message_id": str(number),
    }
    return IncomingMessage(**given | about)


def edit(original: IncomingMessage, text: str) -> IncomingMessage:
    """New words for a message."""
    channel, number = original.conversation.channel, original.sequence
    keys = {"keys": (f"{channel}:{number}:edit",), "kind": MessageKind.EDIT}
    assert number is not None
    return message(channel, number, text, sender=original.sender.id, **keys)


def percentile(values: Iterable[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def resident() -> int:
    """Bytes of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
