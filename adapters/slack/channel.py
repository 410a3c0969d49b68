"""The Slack channel: what hears, what speaks, and the small things in between, as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from aiohttp import web

from adapters.slack.api import Api
from adapters.slack.errands import Errands
from adapters.slack.http import Doorway
from adapters.slack.oauth import OAuthDoor
from adapters.slack.reading import PLATFORM
from adapters.slack.replies import Forms, render, words_only
from adapters.slack.sending import Sender
from adapters.slack.sockets import Sockets
from adapters.slack.timing import Timing
from adapters.slack.wire import SlackError
from bot.errors import SendError
from bot.messages import ConversationRef, Reply
from bot.ports import ChannelHealth, Intake, Part, Sleep
from bot.telemetry import get_logger

log = get_logger(__name__)


class Standing(Protocol):
    """The tokens, as far as an operator is told of them."""

    @property
    def trouble(self) -> str:
        """Why nothing can be sent; "" while all is well."""


class SlackChannel:
    """As `bot.ports.HttpChannel`. One for every workspace: the accounts are in the conversations."""

    platform = PLATFORM
    account = ""
    repeatable = True
    """A message that may have arrived is looked for in its thread before it is sent again."""

    def __init__(
        self,
        *,
        api: Api,
        receiver: Sockets | Doorway,
        sender: Sender,
        errands: Errands,
        tokens: Standing,
        installing: OAuthDoor | None,
        sleep: Sleep,
        timing: Timing,
    ) -> None:
        """
        :param installing: where there may be several workspaces.
        """
        self._api = api
        self._receiver = receiver
        self._sender = sender
        self._errands = errands
        self._tokens = tokens
        self._installing = installing
        self._sleep = sleep
        self._timing = timing
        self._unreachable = ""

    async def run(self, intake: Intake) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._errands.run())
            if isinstance(self._receiver, Sockets):
                receiving = tasks.create_task(self._receiver.run(intake))
            else:
                receiving = tasks.create_task(self._look_after())
            await asyncio.wait([receiving])
            # A task group takes no notice of a child that was cancelled: without this line we would be deaf for good.
            raise RuntimeError("the Slack receiver has ended")

    def routes(self, intake: Intake) -> Sequence[web.AbstractRouteDef]:
        heard = self._receiver.routes(intake) if isinstance(self._receiver, Doorway) else []
        return [*heard, *(self._installing.routes() if self._installing is not None else [])]

    def health(self) -> ChannelHealth:
        trouble = self._tokens.trouble
        if self._unreachable or (trouble and self._installing is None):
            return ChannelHealth(up=False, detail=trouble or self._unreachable)
        heard = self._receiver.health() if isinstance(self._receiver, Sockets) else ChannelHealth(up=True)
        # One of several workspaces that is lost does not take the others along.
        return replace(heard, detail=heard.detail or trouble, notice=trouble) if trouble else heard

    def placeholder_first(self, conversation: ConversationRef) -> bool:
        return False

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
        forms = part.payload if isinstance(part.payload, Forms) else words_only(part.text)
        return await self._sender.send(conversation, forms, replaces=replaces, delivery_id=delivery_id, reply=reply)

    def silent(self, conversation: ConversationRef, answers: tuple[int, ...]) -> None:
        self._sender.silent(conversation)

    async def close(self) -> None:
        await self._sender.close()
        await self._api.close()

    async def _look_after(self) -> None:
        """Where Slack calls us, silence says nothing: whether it still knows us is asked now and then."""
        while True:
            if self._installing is None:
                await self._ask()
            await self._sleep(self._timing.upkeep)

    async def _ask(self) -> None:
        try:
            await self._api.call("", "auth.test")
        except (SlackError, SendError) as error:
            if not self._unreachable:
                log.warning("slack.down", reason=str(error))
            self._unreachable = f"Slack can not be reached: {error}"
        else:
            if self._unreachable:
                log.info("slack.up", after=self._unreachable)
            self._unreachable = ""
