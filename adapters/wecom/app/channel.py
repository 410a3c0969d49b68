"""The channel of a WeCom app: what hears and what speaks, as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import web

from adapters.wecom.app.parsing import PLATFORM, user_id
from adapters.wecom.app.presses import Presses
from adapters.wecom.app.receiving import Doorway
from adapters.wecom.app.replies import Forms, render, words_only
from adapters.wecom.app.sending import Sender
from adapters.wecom.client import Client
from adapters.wecom.standing import Standing
from adapters.wecom.timing import Timing
from adapters.wecom.wire import WeComError
from bot.messages import ConversationRef, Reply
from bot.ports import ChannelHealth, Intake, Part, Sleep
from bot.telemetry import get_logger

log = get_logger(__name__)


class AppChannel:
    """As `bot.ports.HttpChannel`."""

    platform = PLATFORM
    repeatable = False
    """WeCom's duplicate check compares contents, so it does not serve every delivery (`adapters.wecom.app.twins`)."""

    def __init__(
        self,
        *,
        account: str,
        agent_id: int,
        client: Client,
        standing: Standing,
        doorway: Doorway,
        sender: Sender,
        presses: Presses,
        sleep: Sleep,
        timing: Timing,
    ) -> None:
        self.account = account
        self._agent_id = agent_id
        self._client = client
        self._standing = standing
        self._doorway = doorway
        self._sender = sender
        self._presses = presses
        self._sleep = sleep
        self._timing = timing

    async def run(self, intake: Intake) -> None:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._presses.run()), tasks.create_task(self._look_after())]
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            # A task group takes no notice of a child that was cancelled: without this line we would go on without it.
            raise RuntimeError("looking after the WeCom app has ended")

    def routes(self, intake: Intake) -> Sequence[web.AbstractRouteDef]:
        return self._doorway.routes(intake)

    def health(self) -> ChannelHealth:
        return self._standing.health()

    def placeholder_first(self, conversation: ConversationRef) -> bool:
        return False

    def show_interval(self, conversation: ConversationRef) -> float | None:
        """Nothing is shown before the reply: a message can not be written into again."""
        return None

    async def show(self, conversation: ConversationRef, text: str, *, shown: str | None, turn_id: str) -> str | None:
        return None

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
        self._presses.spoke(user_id(conversation.channel), reply.language)
        return await self._sender.send(conversation, forms, delivery_id=delivery_id, reply=reply)

    def silent(self, conversation: ConversationRef, answers: tuple[int, ...]) -> None:
        """Nobody waits for a call's answer here."""

    async def close(self) -> None:
        await self._client.close()

    async def _look_after(self) -> None:
        """WeCom calls us, so silence says nothing: whether it still knows us is asked now and then."""
        while True:
            pause = self._timing.upkeep
            try:
                await self._client.get("agent/get", agentid=str(self._agent_id))
            except WeComError:
                # The standing knows; what an operator mends is to be noticed soon.
                pause = min(pause, self._timing.refused_pause * 1.02)
            except Exception as error:  # a defect must not end the upkeep
                log.exception("wecom_app.upkeep_failed", error=type(error).__name__)
            await self._sleep(pause)
