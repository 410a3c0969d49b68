"""The AI bot's channel: what hears and what speaks, as one, for either transport."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from aiohttp import web

from adapters.wecom.bot.callback import Doorway
from adapters.wecom.bot.hearing import Hearing
from adapters.wecom.bot.keeper import Keeper
from adapters.wecom.bot.parsing import PLATFORM
from adapters.wecom.bot.posting import Poster
from adapters.wecom.bot.replies import Forms, render
from adapters.wecom.bot.rows import Rows
from adapters.wecom.bot.sockets import Sockets
from adapters.wecom.bot.timing import BotTiming
from bot.errors import StoreUnavailable
from bot.messages import ConversationRef, Reply
from bot.ports import ChannelHealth, Intake, Part, Sleep
from bot.telemetry import get_logger

_TIDY_SECONDS = 600.0
_WORDS_SECONDS = 7200.0
"""The words of an answer that has ended are needed no longer than WeCom may ask for them."""

log = get_logger(__name__)


class Sender(Protocol):
    """What both transports' sending halves are."""

    def take_slot(self, conversation: ConversationRef) -> bool: ...

    async def wait_for_slot(self, conversation: ConversationRef) -> None: ...

    async def show(
        self, conversation: ConversationRef, text: str, *, shown: str | None, turn_id: str
    ) -> str | None: ...

    async def send(
        self, conversation: ConversationRef, forms: Forms, *, replaces: str | None, delivery_id: int, reply: Reply
    ) -> str: ...

    def silent(self, answers: tuple[int, ...]) -> None: ...


class BotChannel:
    """As `bot.ports.Channel`."""

    platform = PLATFORM
    repeatable = False
    """What is written into the answer of a message is; a message of its own is not, and WeCom knows no ids of ours."""

    def __init__(
        self, *, account: str, sender: Sender, rows: Rows, card_apart: bool, sleep: Sleep, timing: BotTiming
    ) -> None:
        self.account = account
        self._sender = sender
        self._rows = rows
        self._card_apart = card_apart
        self._sleep = sleep
        self._timing = timing

    def placeholder_first(self, conversation: ConversationRef) -> bool:
        """Every message has a place for its answer: naming it costs nothing, and what is written there may be written
        again after a crash."""
        return True

    def show_interval(self, conversation: ConversationRef) -> float | None:
        return self._timing.apart + 0.05

    async def show(self, conversation: ConversationRef, text: str, *, shown: str | None, turn_id: str) -> str | None:
        return await self._sender.show(conversation, text, shown=shown, turn_id=turn_id)

    def render(self, reply: Reply) -> tuple[Part, ...]:
        return render(reply, card_apart=self._card_apart)

    def take_slot(self, conversation: ConversationRef) -> bool:
        return self._sender.take_slot(conversation)

    async def wait_for_slot(self, conversation: ConversationRef) -> None:
        await self._sender.wait_for_slot(conversation)

    async def send(
        self, conversation: ConversationRef, part: Part, *, replaces: str | None, delivery_id: int, reply: Reply
    ) -> str:
        forms = part.payload if isinstance(part.payload, Forms) else Forms(markdown=part.text)
        return await self._sender.send(conversation, forms, replaces=replaces, delivery_id=delivery_id, reply=reply)

    def silent(self, conversation: ConversationRef, answers: tuple[int, ...]) -> None:
        self._sender.silent(answers)

    async def _tidy(self) -> None:
        """Forgets what is old, now and then."""
        while True:
            try:
                await self._rows.tidy(keep=self._timing.keep, words=_WORDS_SECONDS)
            except StoreUnavailable as error:
                log.debug("wecom.not_tidied", reason=str(error))
            await self._sleep(_TIDY_SECONDS)


class ConnectedChannel(BotChannel):
    """Over the long connection.

    Cancelling `run` does not end the connection; `close` does. In between the core lets running turns come to their
    end, whose answers WeCom takes over this connection only, and what comes in meanwhile comes once: it is stored, for
    the next start.
    """

    def __init__(
        self,
        *,
        account: str,
        sockets: Sockets,
        hearing: Hearing,
        keeper: Keeper,
        sender: Sender,
        rows: Rows,
        sleep: Sleep,
        timing: BotTiming,
    ) -> None:
        super().__init__(account=account, sender=sender, rows=rows, card_apart=True, sleep=sleep, timing=timing)
        self._sockets = sockets
        self._hearing = hearing
        self._keeper = keeper
        self._work: asyncio.Task[None] | None = None

    async def run(self, intake: Intake) -> None:
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._everything(intake), name="wecom_bot connection")
        await asyncio.shield(self._work)

    async def _everything(self, intake: Intake) -> None:
        async with asyncio.TaskGroup() as tasks:
            parts = [self._sockets.run(self._hearing.take), self._hearing.run(intake), self._keeper.run()]
            running = [tasks.create_task(part) for part in (*parts, self._tidy())]
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            # A task group takes no notice of a child that was cancelled: without this line we would be deaf for good.
            raise RuntimeError("a part of the AI bot's channel has ended")

    def health(self) -> ChannelHealth:
        return self._sockets.health()

    async def close(self) -> None:
        work, self._work = self._work, None
        if work is not None:
            work.cancel()
            await asyncio.wait([work])
            if not work.cancelled() and (error := work.exception()) is not None:
                log.warning("wecom.ended_badly", error=type(error).__name__)


class CalledChannel(BotChannel):
    """Over callbacks; as `bot.ports.HttpChannel`."""

    repeatable = True
    """What WeCom comes for is written down once. A message of its own costs a code, which is claimed for it for good
    before it is used, and which WeCom takes once."""

    def __init__(
        self,
        *,
        account: str,
        doorway: Doorway,
        poster: Poster,
        answering: _Runs,
        sender: Sender,
        rows: Rows,
        sleep: Sleep,
        timing: BotTiming,
    ) -> None:
        super().__init__(account=account, sender=sender, rows=rows, card_apart=False, sleep=sleep, timing=timing)
        self._doorway = doorway
        self._poster = poster
        self._answering = answering

    async def run(self, intake: Intake) -> None:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._answering.run()), tasks.create_task(self._tidy())]
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            raise RuntimeError("a part of the AI bot's channel has ended")

    def routes(self, intake: Intake) -> Sequence[web.AbstractRouteDef]:
        return self._doorway.routes(intake)

    def health(self) -> ChannelHealth:
        """WeCom calls us: its silence says nothing."""
        return ChannelHealth(up=True)

    async def close(self) -> None:
        await self._poster.close()


class _Runs(Protocol):
    async def run(self) -> None: ...
