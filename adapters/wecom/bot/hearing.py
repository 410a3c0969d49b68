"""What comes in over the long connection, one after the other. WeCom sends it once and waits for no acknowledgement:
what can not be stored now is kept until it can be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from adapters.wecom.bot.parsing import Entered, Ignored, Judged, Parsed, Pressed, Said
from adapters.wecom.bot.receiving import Receiver, Storable
from adapters.wecom.bot.sending import Speaker
from adapters.wecom.bot.timing import BotTiming
from bot import failpoints
from bot.errors import StoreUnavailable
from bot.ports import Intake, Sleep
from bot.telemetry import get_logger

_WAITING = 2000
"""Past it the connection is not read any further, until there is room."""
_TOGETHER = 64
"""Messages that are stored in one commit at most."""
_LAST_SECONDS = 2.0
"""For what has come in when we are told to end."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Came:
    what: Storable = field(repr=False)
    request: str


class Hearing:
    """Takes what the connection reads, and stores it in the order it came in."""

    def __init__(self, receiver: Receiver, speaker: Speaker, *, sleep: Sleep, timing: BotTiming) -> None:
        self._receiver = receiver
        self._speaker = speaker
        self._sleep = sleep
        self._timing = timing
        self._waiting: asyncio.Queue[_Came] = asyncio.Queue(_WAITING)
        self._now: list[_Came] = []
        self._errands: asyncio.Queue[_Came | str] = asyncio.Queue(_WAITING)

    async def take(self, parsed: Parsed, request: str) -> None:
        """As `adapters.wecom.bot.sockets.Take`."""
        match parsed:
            case Said() | Pressed() | Judged():
                await self._waiting.put(_Came(what=parsed, request=request))
            case Entered():
                self._run_errand(request)
            case Ignored(reason=reason):
                log.debug("wecom.ignored", reason=reason)

    async def run(self, intake: Intake) -> None:
        """Stores until cancelled, and then what is left, if that goes fast."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._run_errands(tasks))
                while True:
                    self._now = [await self._waiting.get()]
                    while len(self._now) < _TOGETHER and not self._waiting.empty():
                        self._now.append(self._waiting.get_nowait())
                    await self._store_patiently(self._now, intake)
                    self._now = []
        finally:
            await self._store_the_rest(intake)

    async def _store_patiently(self, came: Sequence[_Came], intake: Intake) -> None:
        said = False
        while True:
            try:
                return await self._store(came, intake)
            except StoreUnavailable as error:
                if not said:
                    log.warning("wecom.store_unavailable", reason=str(error), waiting=self._waiting.qsize() + len(came))
                said = True
                await self._sleep(self._timing.store_pause)
            except Exception as error:  # a defect with one message must not make us deaf to the others
                if len(came) == 1:
                    log.exception("wecom.message_lost", error=type(error).__name__)
                    return None
                for one in came:
                    await self._store_patiently([one], intake)
                return None

    async def _store(self, came: Sequence[_Came], intake: Intake) -> None:
        receipts = await self._receiver.store([one.what for one in came], intake)
        failpoints.reached("inbox.after_ack")
        begun = []
        for one, receipt in zip(came, receipts, strict=True):
            if isinstance(one.what, Pressed):
                self._run_errand(one)
            elif isinstance(one.what, Said) and receipt is not None:
                begun.append(self._speaker.asked(one.what, receipt, one.request))
        await self._speaker.write_down([stream for stream in begun if stream is not None])

    async def _store_the_rest(self, intake: Intake) -> None:
        """In the order they came; one that was under way may be stored twice, and is recognised."""
        left = self._now
        while not self._waiting.empty():
            left.append(self._waiting.get_nowait())
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                while left:
                    await self._receiver.store([one.what for one in left[:_TOGETHER]], intake)
                    del left[:_TOGETHER]
        except (StoreUnavailable, TimeoutError):
            log.error("wecom.messages_lost", count=len(left))

    # -- What has to be said within five seconds, beside everything else --

    def _run_errand(self, errand: _Came | str) -> None:
        try:
            self._errands.put_nowait(errand)
        except asyncio.QueueFull:
            log.info("wecom.too_late_to_say", reason="too much at once")

    async def _run_errands(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            errand = await self._errands.get()
            if isinstance(errand, str):
                tasks.create_task(self._speaker.welcome(errand))
            elif isinstance(errand.what, Pressed):
                tasks.create_task(self._speaker.pressed(errand.what, errand.request))
