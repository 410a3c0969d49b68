"""Reading what WeCom holds for an account: page after page, one reader at a time, each page stored with its cursor.

A call only says that there is something. It is acknowledged at once, for everything it is about stays with WeCom for
three days and is read from where the stored cursor stands: neither a crash nor a lost call loses anything.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta
from typing import Any

from adapters.wecom.client import Client
from adapters.wecom.failures import TOO_OFTEN
from adapters.wecom.kf.errands import Errands
from adapters.wecom.kf.holding import is_passing
from adapters.wecom.kf.parsing import PLATFORM, PageUnreadable, Read, Reading, Said, read_page
from adapters.wecom.kf.settings import SECTION
from adapters.wecom.kf.sorting import Sorter
from adapters.wecom.kf.timing import Timing
from adapters.wecom.timing import Backoff
from adapters.wecom.wire import Refused, WeComError
from bot.errors import StoreUnavailable
from bot.ports import Clock, Intake, Sleep
from bot.telemetry import get_logger

METHOD = "kf/sync_msg"
_MINUTE = 60.0
PAGE = 500
"""Items a page: few enough for a short transaction."""
_STUCK_PAGES = 10
"""Pages in a row that bring neither items nor another cursor, though WeCom says that there is more."""
_BAD_TOKEN = 95007
_BAD_CURSOR = frozenset({40035, 40058})
"""A parameter that WeCom does not take; of ours only the cursor is not always the same."""
_FIRST = "first "
"""Before a stored cursor: the first reading of this account, ever, had not come to its end."""

log = get_logger(__name__)


class Unhurried:
    """The pace of looks that nobody called for, of all accounts together: so many a minute."""

    def __init__(self, clock: Clock, sleep: Sleep, a_minute: int) -> None:
        self._clock = clock
        self._sleep = sleep
        self._line = asyncio.Lock()
        self._made: deque[float] = deque(maxlen=a_minute)

    async def wait(self) -> None:
        """Returns when one may be made."""
        async with self._line:
            if len(self._made) == self._made.maxlen:
                delay = self._made[0] + _MINUTE - self._clock.monotonic()
                if delay > 0:
                    await self._sleep(delay)
            self._made.append(self._clock.monotonic())


class Puller:
    """The one reader of one account in this process."""

    def __init__(
        self,
        *,
        reading: Reading,
        client: Client,
        sorter: Sorter,
        unhurried: Unhurried,
        errands: Errands,
        clock: Clock,
        sleep: Sleep,
        timing: Timing,
    ) -> None:
        self._reading = reading
        self._client = client
        self._sorter = sorter
        self._unhurried = unhurried
        self._errands = errands
        self._clock = clock
        self._sleep = sleep
        self._timing = timing
        self._backoff = Backoff(timing)
        self._stored_as = f"{reading.corp_id}/{reading.open_kfid}"
        self._called = asyncio.Event()
        self._called.set()  # what was missed while we were away
        self._token = ""
        self._token_until = 0.0
        self._token_came = asyncio.Event()
        self._said = ""

    def call(self, token: str) -> None:
        """WeCom says that there is something, and gives a token to read it with."""
        self._token, self._token_until = token, self._clock.monotonic() + self._timing.token_life
        if token:
            self._token_came.set()
        self._called.set()

    async def run(self, intake: Intake) -> None:
        """Reads whenever it is called for, and now and then although it is not, until cancelled."""
        while True:
            await self._wait_for_call()
            self._called.clear()  # before reading: a call that comes meanwhile is about something newer
            try:
                await self._read_all(intake)
            except (WeComError, PageUnreadable, StoreUnavailable, TimeoutError) as error:
                await self._come_back_after(self._pause(error))
            except Exception as error:  # a defect must not make us deaf: the same page comes again
                log.exception("wecom.reading_failed", channel=SECTION, error=type(error).__name__)
                await self._come_back_after(self._backoff.pause())
            else:
                self._backoff.reset()
                self._said = ""

    async def _come_back_after(self, pause: float | None) -> None:
        if pause is not None:
            self._called.set()
            await self._sleep(pause)

    def _pause(self, error: Exception) -> float | None:
        """Seconds until the next try; None where it has to wait for a call, or for the next look."""
        store = isinstance(error, StoreUnavailable | TimeoutError)
        self._say("wecom.store_unavailable" if store else "wecom.not_read", str(error))
        if isinstance(error, Refused):
            if error.errcode == TOO_OFTEN:
                return self._timing.frequency_pause
            if not is_passing(error):
                return None  # an account that was deleted, or that is no longer ours
        return self._backoff.pause()

    def _say(self, event: str, reason: str) -> None:
        """One line a kind of trouble: an outage lasts long."""
        if reason != self._said:
            log.warning(event, channel=SECTION, reason=reason)
        self._said = reason

    async def _wait_for_call(self) -> None:
        try:
            async with asyncio.timeout(self._timing.look):
                await self._called.wait()
        except TimeoutError:
            log.debug("wecom.looking", channel=SECTION)

    async def _read_all(self, intake: Intake) -> None:
        """Every page there is. The cursor is the stored one: another process may have read meanwhile."""
        async with asyncio.timeout(self._timing.store_limit):
            stored = await intake.cursor(PLATFORM, self._stored_as)
        first = stored is None or stored.startswith(_FIRST)
        cursor, stuck = (stored or "").removeprefix(_FIRST), 0
        while True:
            try:
                page = read_page(await self._page(cursor), self._reading)
            except Refused as refused:
                if not cursor or refused.errcode not in _BAD_CURSOR:
                    raise
                log.error("wecom.cursor_lost", channel=SECTION, reason=str(refused))
                cursor, first = "", True
                continue
            if page.has_more and not page.happenings and page.cursor == cursor:
                stuck += 1
                if stuck > _STUCK_PAGES:
                    raise PageUnreadable("there is said to be more, and nothing comes")
                await self._sleep(self._backoff.pause())
                continue
            await self._store(self._young(page) if first else page, intake, first=first and page.has_more)
            cursor, stuck = page.cursor, 0
            if not page.has_more:
                return

    async def _page(self, cursor: str) -> Any:
        body: dict[str, Any] = {"open_kfid": self._reading.open_kfid, "limit": PAGE}
        if cursor:
            body["cursor"] = cursor
        while True:
            if token := self._live_token():
                try:
                    return await self._client.post(METHOD, {**body, "token": token})
                except Refused as refused:
                    if refused.errcode != _BAD_TOKEN:
                        raise
                    # It waited too long for us. Without one it works as well, only not often.
                    if token == self._token:
                        self._token = ""
            elif await self._may_look():
                return await self._client.post(METHOD, body)

    def _live_token(self) -> str:
        return self._token if self._clock.monotonic() < self._token_until else ""

    async def _may_look(self) -> bool:
        """Waits until a look may be made that nobody called for. False: a call has come instead, with its token."""
        self._token_came.clear()
        waits = [asyncio.create_task(self._unhurried.wait()), asyncio.create_task(self._token_came.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return waits[0].done()
        finally:
            for wait in waits:
                wait.cancel()

    async def _store(self, page: Read, intake: Intake, *, first: bool) -> None:
        sorted_page = await self._sorter.sort(page)
        await self._errands.report(sorted_page.failures)
        cursor = _FIRST + page.cursor if first else page.cursor
        async with asyncio.timeout(self._timing.store_limit):
            await intake.accept(sorted_page.messages, cursor=(PLATFORM, self._stored_as, cursor))
        self._errands.welcome(sorted_page.welcomes)

    def _young(self, page: Read) -> Read:
        """A page of an account that was never read: without what was said long before we came."""
        since = self._clock.now() - timedelta(seconds=self._timing.first_look)
        kept = tuple(one for one in page.happenings if not isinstance(one, Said) or one.at >= since)
        if len(kept) < len(page.happenings):
            log.info("wecom.left_alone", channel=SECTION, messages=len(page.happenings) - len(kept))
        return Read(cursor=page.cursor, has_more=page.has_more, happenings=kept)
