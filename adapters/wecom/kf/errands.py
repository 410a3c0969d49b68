"""What a stored page asks for beside answers: a welcome, and the news that a message of ours did not arrive."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from adapters.wecom.client import Client
from adapters.wecom.kf.naming import delivery_of
from adapters.wecom.kf.parsing import Entered, Failed
from adapters.wecom.kf.replies import welcome
from adapters.wecom.kf.settings import SECTION
from adapters.wecom.kf.timing import Timing
from adapters.wecom.wire import WeComError
from bot.errors import StoreUnavailable
from bot.ports import CameBack, Clock, Sleep
from bot.telemetry import get_logger

_WAITING = 1000
_TRIES = 20
_WHY: Final[Mapping[int, str]] = {
    1: "the account was deleted",
    2: "the app is switched off",
    4: "the customer last wrote more than 48 hours ago",
    5: "the session is closed",
    6: "five messages had been sent since the customer wrote",
    8: "the company is not verified",
    10: "the customer refuses messages",
    11: "nobody of the company has signed in to WeCom",
    12: "WeCom forbids this kind of message",
    13: "WeCom's safety rules",
}
"""`fail_type`."""

log = get_logger(__name__)


class Errands:
    """Runs them beside everything else. Past a bound they are let go, and the log says so."""

    def __init__(
        self,
        *,
        client: Client,
        came_back: CameBack,
        clock: Clock,
        sleep: Sleep,
        timing: Timing,
    ) -> None:
        self._client = client
        self._came_back = came_back
        self._clock = clock
        self._sleep = sleep
        self._timing = timing
        self._waiting: asyncio.Queue[Entered | Failed] = asyncio.Queue(_WAITING)

    async def run(self) -> None:
        """Runs what waits, until cancelled."""
        async with asyncio.TaskGroup() as reports:
            while True:
                errand = await self._waiting.get()
                if isinstance(errand, Failed):
                    reports.create_task(self._report_later(errand))
                else:
                    await self._try_to_welcome(errand)

    def _put(self, errand: Entered | Failed) -> None:
        try:
            self._waiting.put_nowait(errand)
        except asyncio.QueueFull:
            log.warning("wecom.errand_dropped", channel=SECTION, kind=type(errand).__name__)

    # -- Welcome --

    def welcome(self, entered: Sequence[Entered]) -> None:
        """Takes those who are to be welcomed, soon."""
        for one in entered:
            self._put(one)

    async def _try_to_welcome(self, entered: Entered) -> None:
        if self._clock.now() - entered.at > timedelta(seconds=self._timing.welcome):
            log.info("wecom.too_late_to_welcome", channel=SECTION)
            return
        name = "w-" + hashlib.sha256(entered.code.encode()).hexdigest()[:24]
        try:
            await self._client.post("kf/send_msg_on_event", {"code": entered.code, "msgid": name, **welcome().body()})
        except WeComError as error:
            log.warning("wecom.not_welcomed", channel=SECTION, reason=str(error))

    # -- Failures --

    async def report(self, failures: Sequence[Failed]) -> None:
        """Tells of replies that did not arrive. To be called before their page is stored.

        :raises StoreUnavailable: nothing was kept.
        """
        for failed in failures:
            if not await self._reported(failed):
                self._put(failed)

    async def _report_later(self, failed: Failed) -> None:
        """The news has overtaken our own mark that the reply was sent."""
        for _ in range(_TRIES):
            await self._sleep(self._timing.settle)
            try:
                if await self._reported(failed):
                    return
            except StoreUnavailable:
                continue
            except Exception as error:  # one report's defect must not stop the others
                log.exception("wecom.report_failed", channel=SECTION, error=type(error).__name__)
                return

    async def _reported(self, failed: Failed) -> bool:
        """Whether there is no more to be done."""
        delivery, why = delivery_of(failed.msgid), _WHY.get(failed.fail_type, "WeCom does not say why")
        if delivery is None:
            log.error("wecom.message_not_delivered", channel=SECTION, reason=why)  # a welcome
            return True
        reason = f"WeCom took it, and it did not arrive: {why} (fail_type {failed.fail_type})"
        try:
            async with asyncio.timeout(self._timing.store_limit):
                return await self._came_back(failed.conversation, delivery, failed.msgid, reason)
        except TimeoutError:
            raise StoreUnavailable("it can not be written in time") from None
