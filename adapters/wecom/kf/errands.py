"""What a stored page asks for beside answers: a welcome, and the news that a message of ours did not arrive."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, select

from adapters.wecom.client import Client
from adapters.wecom.kf.naming import delivery_of
from adapters.wecom.kf.parsing import Entered, Failed
from adapters.wecom.kf.replies import welcome
from adapters.wecom.kf.settings import SECTION
from adapters.wecom.kf.timing import Timing
from adapters.wecom.wire import WeComError
from bot.errors import StoreUnavailable
from bot.history import outbox
from bot.history.tables import conversations, deliveries
from bot.ports import Clock, Sleep, Transactions
from bot.telemetry import Metrics, get_logger

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
        database: Transactions,
        metrics: Metrics,
        clock: Clock,
        sleep: Sleep,
        timing: Timing,
    ) -> None:
        self._client = client
        self._database = database
        self._metrics = metrics
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
        """Marks replies as failed, where operators look for such. To be called before their page is stored.

        :raises StoreUnavailable: nothing was marked.
        """
        for failed in failures:
            log.error(
                "a message did not reach a customer",
                channel=SECTION,
                reason=_why(failed),
                delivery=delivery_of(failed.msgid),
            )
            self._metrics.deliveries.labels(SECTION, "failed").inc()
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
        delivery = delivery_of(failed.msgid)
        if delivery is None:
            return True
        try:
            async with asyncio.timeout(self._timing.store_limit):
                return await self._database.write(lambda connection: self._mark(connection, delivery, failed))
        except TimeoutError:
            raise StoreUnavailable("it can not be written in time") from None

    def _mark(self, connection: Connection, delivery: int, failed: Failed) -> bool:
        where = failed.conversation
        statement = (
            select(deliveries.c.state, deliveries.c.message_ids)
            .join(conversations, conversations.c.id == deliveries.c.conversation_id)
            .where(
                deliveries.c.id == delivery,
                conversations.c.platform == where.platform,
                conversations.c.account == where.account,
                conversations.c.channel == where.channel,
                conversations.c.thread == where.thread,
            )
        )
        row = connection.execute(statement).first()
        if row is None:
            return True  # erased, or of an earlier database
        if row.state in outbox.OPEN:
            return False
        if row.state == "sent" and failed.msgid in row.message_ids:
            error = f"WeCom took it, and it did not arrive: {_why(failed)} (fail_type {failed.fail_type})"
            outbox.give_up(connection, delivery, "failed", error, self._clock.now())
        return True


def _why(failed: Failed) -> str:
    return _WHY.get(failed.fail_type, "WeCom does not say why")
