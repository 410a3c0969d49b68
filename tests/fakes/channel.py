"""A channel in memory that fails on order."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bot.errors import DestinationGone, NotSent, PerhapsSent, Undeliverable
from bot.messages import ConversationRef, Reply
from bot.ports import ChannelHealth, Intake, Part, Unpaced

Mishap = Literal["refused", "lost", "lost after", "hang", "hang after", "gone", "undeliverable", "defect"]
"""What becomes of a send: surely not sent; nobody can tell (and it was not, or it was); no answer; nobody there; never
like this; an exception that no adapter should let out."""

_AFTER = {"lost after", "hang after"}


@dataclass(slots=True)
class Message:
    """One message as the reader sees it now."""

    id: str
    text: str
    delivery: int
    """0 for a placeholder that has no final text yet."""


class MemoryChannel(Unpaced):
    """A platform in memory: `messages` is what stands there, `mishaps` is what goes wrong next, in order."""

    def __init__(
        self,
        platform: str = "memory",
        account: str = "",
        *,
        repeatable: bool = False,
        placeholders: Callable[[ConversationRef], bool] = lambda conversation: False,
        show_interval: float | None = None,
        seconds: float = 0.0,
    ) -> None:
        self.platform = platform
        self.account = account
        self.repeatable = repeatable
        self._placeholders = placeholders
        self._interval = show_interval
        self._seconds = seconds
        self.messages: dict[ConversationRef, list[Message]] = defaultdict(list)
        self.mishaps: deque[Mishap | None] = deque()
        self.down = False
        """Nothing can be sent: every call is refused."""
        self.dead = False
        """The process on our side is gone: nothing it still does has an effect."""
        self.sends = 0
        self.shows = 0
        self.intake: Intake | None = None

    async def run(self, intake: Intake) -> None:
        self.intake = intake
        await asyncio.Event().wait()

    def health(self) -> ChannelHealth:
        return ChannelHealth(up=not self.down)

    def placeholder_first(self, conversation: ConversationRef) -> bool:
        return self._placeholders(conversation)

    def show_interval(self, conversation: ConversationRef) -> float | None:
        if self._placeholders(conversation):
            return self._interval or 0.5
        return self._interval

    async def show(self, conversation: ConversationRef, text: str, *, shown: str | None, turn_id: str) -> str | None:
        self.shows += 1
        await asyncio.sleep(self._seconds)
        if self.dead or self.down:
            raise NotSent("the line is down")
        if not self._placeholders(conversation):
            return None
        if shown is None:
            return self._put(conversation, text, 0)
        for message in self.messages[conversation]:
            if message.id == shown:
                message.text = text
        return shown

    def render(self, reply: Reply) -> tuple[Part, ...]:
        return (Part(text=reply.text),)

    async def send(
        self, conversation: ConversationRef, part: Part, *, replaces: str | None, delivery_id: int, reply: Reply
    ) -> str:
        await asyncio.sleep(self._seconds)
        self.sends += 1
        if self.dead:
            await asyncio.Event().wait()
        if self.down:
            raise NotSent("the line is down")
        mishap = self.mishaps.popleft() if self.mishaps else None
        message_id = ""
        if mishap is None or mishap in _AFTER:
            message_id = self._write(conversation, part.text, replaces, delivery_id)
        if mishap in {"hang", "hang after"}:
            await asyncio.Event().wait()
        if mishap is not None:
            raise _error(mishap)
        return message_id

    def silent(self, conversation: ConversationRef, answers: tuple[int, ...]) -> None:
        return

    async def close(self) -> None:
        return

    def copies(self, delivery_id: int) -> int:
        """How often the text of one delivery stands there."""
        return sum(message.delivery == delivery_id for there in self.messages.values() for message in there)

    def texts(self, conversation: ConversationRef) -> list[str]:
        return [message.text for message in self.messages[conversation]]

    def _write(self, conversation: ConversationRef, text: str, replaces: str | None, delivery_id: int) -> str:
        for message in self.messages[conversation]:
            same = message.id == replaces or (self.repeatable and message.delivery == delivery_id)
            if same:
                message.text, message.delivery = text, delivery_id
                return message.id
        return self._put(conversation, text, delivery_id)

    def _put(self, conversation: ConversationRef, text: str, delivery_id: int) -> str:
        message_id = str(sum(map(len, self.messages.values())) + 1)
        self.messages[conversation].append(Message(message_id, text, delivery_id))
        return message_id


def _error(mishap: Mishap) -> Exception:
    match mishap:
        case "defect":
            return KeyError("a defect")
        case "refused":
            return NotSent("refused", retry_after=1.0)
        case "gone":
            return DestinationGone("nobody there")
        case "undeliverable":
            return Undeliverable("not like this")
        case _:
            return PerhapsSent("the connection broke")
