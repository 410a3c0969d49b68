"""The 微信客服 channel: what is called, what reads, what sends, as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import web

from adapters.wecom.client import Client
from adapters.wecom.kf.accounts import Accounts
from adapters.wecom.kf.errands import Errands
from adapters.wecom.kf.parsing import PLATFORM
from adapters.wecom.kf.receiving import Receiver
from adapters.wecom.kf.replies import Words, render
from adapters.wecom.kf.sending import Sender
from adapters.wecom.kf.timing import Timing
from adapters.wecom.standing import Standing
from bot.messages import ConversationRef, Reply
from bot.ports import ChannelHealth, Intake, Part, Unpaced

_DEAF_AFTER = 2.0
"""Seconds of grace for an answer that is overdue."""


class KfChannel(Unpaced):
    """As `bot.ports.HttpChannel`. How often a customer may be written to is decided where it is sent: the database
    knows, and a slot is asked for where there is none to ask."""

    platform = PLATFORM
    repeatable = True
    """Messages have names, and WeCom takes each once."""

    def __init__(
        self,
        *,
        account: str,
        client: Client,
        standing: Standing,
        receiver: Receiver,
        accounts: Accounts,
        errands: Errands,
        sender: Sender,
        timing: Timing,
    ) -> None:
        self.account = account
        self._client = client
        self._standing = standing
        self._receiver = receiver
        self._accounts = accounts
        self._errands = errands
        self._sender = sender
        self._timing = timing

    async def run(self, intake: Intake) -> None:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._errands.run()), tasks.create_task(self._accounts.run(intake))]
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            # A task group takes no notice of a child that was cancelled: without this line we would be deaf for good.
            raise RuntimeError("the 微信客服 receiver has ended")

    def routes(self, intake: Intake) -> Sequence[web.AbstractRouteDef]:
        return self._receiver.routes()

    def health(self) -> ChannelHealth:
        if self._standing.trouble:
            return self._standing.health()
        silence = self._accounts.silent_for()
        if silence is None or silence > 2 * self._timing.upkeep + _DEAF_AFTER:
            return ChannelHealth(up=False, detail="WeCom has not answered for too long")
        return ChannelHealth(up=True)

    def placeholder_first(self, conversation: ConversationRef) -> bool:
        return False

    def show_interval(self, conversation: ConversationRef) -> float | None:
        """Never: a word that somebody is at work would be one of five."""
        return None

    async def show(self, conversation: ConversationRef, text: str, *, shown: str | None, turn_id: str) -> str | None:
        return None

    def render(self, reply: Reply) -> tuple[Part, ...]:
        return render(reply)

    async def send(
        self, conversation: ConversationRef, part: Part, *, replaces: str | None, delivery_id: int, reply: Reply
    ) -> str:
        words = part.payload if isinstance(part.payload, Words) else Words(text=part.text)
        return await self._sender.send(conversation, words, delivery_id=delivery_id, reply=reply)

    def silent(self, conversation: ConversationRef, answers: tuple[int, ...]) -> None:
        """Nobody waits for a call's answer here."""

    async def close(self) -> None:
        await self._client.close()
