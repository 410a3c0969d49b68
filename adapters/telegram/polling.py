"""Receiving by long polls: what was asked for is stored before more is asked for.

The library's own updater moves its offset as soon as updates are in memory, and stops for good on a surprise; this loop
confirms to Telegram what the database has confirmed to us, and nothing ends it but cancellation.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from telegram.error import TelegramError

from adapters.telegram.api import Api
from adapters.telegram.parsing import PLATFORM, Press
from adapters.telegram.reading import Reader
from adapters.telegram.standing import Standing
from adapters.telegram.timing import Backoff, Timing
from adapters.telegram.wire import Refused
from bot import failpoints
from bot.errors import StoreUnavailable
from bot.ports import Clock, Intake, Sleep
from bot.telemetry import get_logger

log = get_logger(__name__)


class Poller:
    """The receiver of a bot without a webhook."""

    def __init__(
        self,
        *,
        api: Api,
        reader: Reader,
        standing: Standing,
        account: str,
        on_presses: Callable[[tuple[Press, ...]], None],
        clock: Clock,
        sleep: Sleep,
        timing: Timing,
    ) -> None:
        self._api = api
        self._reader = reader
        self._standing = standing
        self._account = account
        self._on_presses = on_presses
        self._clock = clock
        self._sleep = sleep
        self._timing = timing
        self._backoff = Backoff(timing)
        self._offset: int | None = None
        self._news_at = clock.monotonic()
        self._ready = False
        self._unconfirmed = False

    async def run(self, intake: Intake) -> None:
        """Receives until cancelled."""
        self._ready = False
        while True:
            try:
                if not self._ready:
                    await self._prepare(intake)
                await self._receive(intake)
                self._backoff.reset()
            except TelegramError as error:
                await self._recover(error)
            except (StoreUnavailable, TimeoutError):  # nothing was confirmed: the same updates come again
                log.warning("telegram.store_unavailable")
                await self._sleep(self._backoff.pause())
            except Exception as error:  # a defect must not make us deaf: the same updates come again
                log.exception("telegram.receiving_failed", error=type(error).__name__)
                self._standing.failed("defect", "receiving failed; see the log")
                await self._sleep(self._backoff.pause())

    async def _prepare(self, intake: Intake) -> None:
        self._reader.me = await self._api.me()
        await self._api.remove_webhook()
        async with asyncio.timeout(self._timing.store_limit):
            stored = await intake.cursor(PLATFORM, self._account)
        self._offset = int(stored) if stored is not None and stored.isdecimal() else None
        self._news_at = self._clock.monotonic()
        self._ready = True
        self._standing.heard()

    async def _receive(self, intake: Intake) -> None:
        """One poll, and one commit if it brought anything. Only then does the offset move."""
        if self._clock.monotonic() - self._news_at > self._timing.quiet:
            self._offset = None
        updates = await self._api.updates(self._offset)
        self._standing.heard()
        if self._unconfirmed:
            self._unconfirmed = False
            failpoints.reached("inbox.after_ack")
        if not updates:
            return
        batch = self._reader.read(updates)
        if batch.last_update_id is None:
            # Nothing to go on from: asking again at once would only spin.
            await self._sleep(self._backoff.pause())
            return
        offset = batch.last_update_id + 1
        async with asyncio.timeout(self._timing.store_limit):
            await intake.accept(batch.messages, cursor=(PLATFORM, self._account, str(offset)))
        self._reader.remember(batch)
        self._offset = offset
        self._unconfirmed = True
        self._news_at = self._clock.monotonic()
        self._on_presses(batch.presses)

    async def _recover(self, error: TelegramError) -> None:
        pause = self._backoff.pause()
        if not isinstance(error, Refused):
            self._standing.failed("unreachable", f"Telegram can not be reached: {error.message}")
        elif error.code in (401, 404):
            # getMe, deleteWebhook and getUpdates are as old as bots: 404 is the token here, or another address.
            self._standing.refuse()
            pause = self._timing.refused_pause
        elif error.code == 409:
            webhook = "webhook" in error.description
            words = "somebody has set a webhook" if webhook else "another process polls with the same token"
            self._standing.failed("rival", words)
            # A webhook is removed again; another poller is asked to give way by nothing but our patience.
            self._ready = self._ready and not webhook
            pause = max(pause, self._timing.longest_pause * random.uniform(0.3, 1.0))
        else:
            self._standing.failed("unreachable", f"Telegram answers with an error: {error.message}")
            pause = max(pause, error.retry_after or 0.0)
        await self._sleep(pause)
