"""A core small enough to read: it answers every question through the channel, as the real one does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from adapters.terminal.channel import TerminalChannel
from bot.errors import NotSent
from bot.messages import IncomingMessage, MessageKind, Outcome, Receipt, ReceiptStatus, Reply, Source

Answer = Callable[[IncomingMessage], Reply]


class FixedClock:
    def now(self) -> datetime:
        return datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


def echo(message: IncomingMessage) -> Reply:
    name = f"/{message.command} " if message.command else ""
    return Reply(
        outcome=Outcome.ANSWERED,
        text=f"**回答**：{name}{message.text}",
        language="zh",
        confidence=0.87654,
        sources=(Source(id="faq.csv#1", title="退货说明", url="https://shop.example.com/faq", score=0.91239),),
        turn_id=f"turn of {message.text}",
    )


class TinyCore:
    """Implements `Intake` and delivers on the channel: snapshots, then the reply, after `seconds`."""

    def __init__(self, answer: Answer = echo, *, seconds: float = 0.0) -> None:
        self.answer = answer
        self.seconds = seconds
        self.messages: list[IncomingMessage] = []
        self.status = ReceiptStatus.ACCEPTED
        self.silent = False
        self.open_turns = 0
        self.most_open_turns = 0
        self.channel: TerminalChannel | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def cursor(self, platform: str, account: str) -> str | None:
        return None

    async def accept(
        self, messages: Sequence[IncomingMessage], *, cursor: tuple[str, str, str] | None = None
    ) -> tuple[Receipt, ...]:
        return tuple([self._take(message) for message in messages])

    def _take(self, message: IncomingMessage) -> Receipt:
        self.messages.append(message)
        if message.kind is MessageKind.STOP:
            for task in self._tasks.values():
                task.cancel()
            return Receipt(status=ReceiptStatus.DONE)
        if message.kind is MessageKind.FEEDBACK or self.status is not ReceiptStatus.ACCEPTED:
            return Receipt(status=self.status if message.kind is not MessageKind.FEEDBACK else ReceiptStatus.DONE)
        number = len(self.messages)
        if not self.silent:
            self._tasks[number] = asyncio.create_task(self._turn(number, message))
        return Receipt(status=ReceiptStatus.ACCEPTED, inbound_id=number)

    async def _turn(self, number: int, message: IncomingMessage) -> None:
        assert self.channel is not None
        self.open_turns += 1
        self.most_open_turns = max(self.most_open_turns, self.open_turns)
        reply = self.answer(message)
        try:
            for end in (0, len(reply.text) // 2, len(reply.text)):
                await self.channel.show(message.conversation, reply.text[:end], shown=None, turn_id=reply.turn_id)
                await asyncio.sleep(self.seconds / 3)
        finally:
            self.open_turns -= 1
        await self.deliver(message, replace(reply, answers=(number,)))

    async def deliver(self, message: IncomingMessage, reply: Reply) -> bool:
        assert self.channel is not None
        (part,) = self.channel.render(reply)
        try:
            await self.channel.send(message.conversation, part, replaces=None, delivery_id=1, reply=reply)
        except NotSent:
            return False
        return True


def channel_with(
    core: TinyCore,
    *,
    on_snapshot: Callable[[str], None] | None = None,
    on_notice: Callable[[Reply], None] | None = None,
) -> TerminalChannel:
    channel = TerminalChannel(FixedClock(), max_message_chars=50, on_snapshot=on_snapshot, on_notice=on_notice)
    core.channel = channel
    return channel
