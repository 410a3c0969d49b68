"""What a stored page asks for beside answers: a welcome, and the news that a message of ours did not arrive."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, select

from adapters.wecom.client import Client
from adapters.wecom.kf.naming import delivery_of
from adapters.wecom.kf.parsing import Entered, Failed
from adapters.wecom.kf.replies import welcome
from adapters.wecom.kf.settings import SECTION
from adapters.wecom.kf.sorting import Sorted
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
    """Runs them one after another, beside everything else. Past a bound they are let go, and the log says so."""

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
        self._unmarked: set[asyncio.Task[None]] = set()

    def put(self, page: Sorted) -> None:
        """Takes the errands of a page."""
        errands: tuple[Entered | Failed, ...] = (*page.welcomes, *page.failures)
        for errand in errands:
            try:
                self._waiting.put_nowait(errand)
            except asyncio.QueueFull:
                log.warning("wecom.errand_dropped", channel=SECTION, kind=type(errand).__name__)

    async def run(self) -> None:
        """Runs them until cancelled."""
        async with asyncio.TaskGroup() as reports:
            while True:
                errand = await self._waiting.get()
                try:
                    if isinstance(errand, Entered):
                        await self._welcome(errand)
                    else:
                        self._count(errand)
                        reports.create_task(self._report(errand))
                except WeComError as error:
                    log.warning("wecom.not_welcomed", channel=SECTION, reason=str(error))
                except Exception as error:  # one errand's defect must not stop the others
                    log.exception("wecom.errand_failed", channel=SECTION, error=type(error).__name__)

    # -- Welcome --

    async def _welcome(self, entered: Entered) -> None:
        if self._clock.now() - entered.at > timedelta(seconds=self._timing.welcome):
            log.info("wecom.too_late_to_welcome", channel=SECTION)
            return
        name = "w-" + hashlib.sha256(entered.code.encode()).hexdigest()[:24]
        await self._client.post("kf/send_msg_on_event", {"code": entered.code, "msgid": name, **welcome().body()})

    # -- Failures --

    def _count(self, failed: Failed) -> None:
        why = _WHY.get(failed.fail_type, "WeCom does not say why")
        log.error("a message did not reach a customer", channel=SECTION, reason=why, fail_type=failed.fail_type)
        self._metrics.deliveries.labels(SECTION, "failed").inc()

    async def _report(self, failed: Failed) -> None:
        """Marks the reply as failed, where operators look for such. The news may overtake our own mark that it was
        sent, so it is looked at more than once."""
        if (delivery := delivery_of(failed.msgid)) is None:
            return
        for _ in range(_TRIES):
            with contextlib.suppress(StoreUnavailable):
                if await self._database.write(lambda connection: self._mark(connection, delivery, failed)):
                    return
            await self._sleep(self._timing.settle)

    def _mark(self, connection: Connection, delivery: int, failed: Failed) -> bool:
        """Whether there is no more to be done."""
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
            why = _WHY.get(failed.fail_type, "WeCom does not say why")
            error = f"WeCom took it, and it did not arrive: {why} (fail_type {failed.fail_type})"
            outbox.give_up(connection, delivery, "failed", error, self._clock.now())
        return True
