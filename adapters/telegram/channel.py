"""The Telegram channel: receiver, sender and the answers to pressed buttons, as one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from aiohttp import web
from telegram.error import TelegramError

from adapters.telegram import phrases
from adapters.telegram.api import Api
from adapters.telegram.parsing import PLATFORM, Press
from adapters.telegram.polling import Poller
from adapters.telegram.replies import Forms, render
from adapters.telegram.sending import Sender, is_group
from adapters.telegram.standing import Standing
from adapters.telegram.timing import Backoff, Timing
from adapters.telegram.webhook import Webhook
from adapters.telegram.wire import Refused
from bot.messages import ConversationRef, Reply
from bot.ports import ChannelHealth, Intake, Part, Sleep
from bot.telemetry import get_logger

_PRESSES_WAITING = 1000
_DEAF_AFTER = 2.0
"""Seconds of grace for an answer that is overdue."""

log = get_logger(__name__)


class Presses:
    """Buttons that were pressed and wait for their answer. Past the bound they are let go: they stop spinning alone."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Press] = asyncio.Queue(_PRESSES_WAITING)

    def put(self, presses: Sequence[Press]) -> None:
        for press in presses:
            with contextlib.suppress(asyncio.QueueFull):
                self._waiting.put_nowait(press)

    async def answer(self, api: Api) -> None:
        """Answers them until cancelled."""
        while True:
            press = await self._waiting.get()
            thanks = phrases.THANKS[phrases.language_of(press.language)] if press.judged else ""
            try:
                await api.answer_press(press.id, thanks)
            except TelegramError as error:
                # Too late, or answered when the update came the first time: nobody is waiting any more.
                log.debug("telegram.press_not_answered", reason=error.message)


class TelegramChannel:
    """As `bot.ports.HttpChannel`."""

    platform = PLATFORM
    repeatable = False
    """The Bot API knows no delivery ids."""

    def __init__(
        self,
        *,
        account: str,
        api: Api,
        receiver: Poller | Webhook,
        sender: Sender,
        presses: Presses,
        standing: Standing,
        sleep: Sleep,
        timing: Timing,
    ) -> None:
        self.account = account
        self._api = api
        self._receiver = receiver
        self._sender = sender
        self._presses = presses
        self._standing = standing
        self._sleep = sleep
        self._timing = timing

    async def run(self, intake: Intake) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._presses.answer(self._api))
            tasks.create_task(self._introduce())
            running = self._receiver.run(intake) if isinstance(self._receiver, Poller) else self._receiver.run()
            await asyncio.wait([tasks.create_task(running)])
            # A task group takes no notice of a child that was cancelled: without this line we would be deaf for good.
            raise RuntimeError("the Telegram receiver has ended")

    def routes(self, intake: Intake) -> Sequence[web.AbstractRouteDef]:
        return self._receiver.routes(intake) if isinstance(self._receiver, Webhook) else ()

    def health(self) -> ChannelHealth:
        if self._standing.trouble:
            return ChannelHealth(up=False, detail=self._standing.trouble)
        silence = self._standing.silent_for()
        if isinstance(self._receiver, Poller):
            overdue = self._timing.poll + self._timing.patience
        else:
            overdue = 2 * self._timing.upkeep
        if silence is None or silence > overdue + _DEAF_AFTER:
            return ChannelHealth(up=False, detail="Telegram has not answered for too long")
        return ChannelHealth(up=True)

    def placeholder_first(self, conversation: ConversationRef) -> bool:
        """In groups, where there are no drafts: what is written into a message may be written again after a crash."""
        return is_group(conversation)

    def show_interval(self, conversation: ConversationRef) -> float | None:
        return self._sender.show_interval(conversation)

    async def show(self, conversation: ConversationRef, text: str, *, shown: str | None, turn_id: str) -> str | None:
        return await self._sender.show(conversation, text, shown=shown, turn_id=turn_id)

    def render(self, reply: Reply) -> tuple[Part, ...]:
        return render(reply)

    def take_slot(self, conversation: ConversationRef) -> bool:
        return self._sender.take_slot(conversation)

    async def wait_for_slot(self, conversation: ConversationRef) -> None:
        await self._sender.wait_for_slot(conversation)

    async def send(
        self, conversation: ConversationRef, part: Part, *, replaces: str | None, delivery_id: int, reply: Reply
    ) -> str:
        forms = part.payload if isinstance(part.payload, Forms) else Forms(text=part.text, plain=part.text)
        return await self._sender.send(conversation, forms, replaces=replaces)

    def silent(self, conversation: ConversationRef, answers: tuple[int, ...]) -> None:
        """Nobody waits for a call's answer here."""

    async def close(self) -> None:
        await self._api.close()

    async def _introduce(self) -> None:
        """The command menu, once a start; not worth more than a few attempts."""
        backoff = Backoff(self._timing)
        for _ in range(8):
            try:
                await self._api.introduce()
            except TelegramError as error:
                pause = self._timing.refused_pause if isinstance(error, Refused) else backoff.pause()
                await self._sleep(pause)
            else:
                return
        log.warning("telegram.menu_not_set")
