"""The accounts (客服账号) of the company that our app may speak for, and a reader for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from adapters.wecom.client import Client
from adapters.wecom.kf.settings import SECTION
from adapters.wecom.kf.syncing import Puller
from adapters.wecom.kf.timing import Timing
from adapters.wecom.timing import Backoff
from adapters.wecom.wire import WeComError
from bot.ports import Clock, Intake, Sleep
from bot.telemetry import get_logger

METHOD = "kf/account/list"
PAGE = 100
_MOST = 5000
"""WeCom lets a company have no more."""
_LONGEST_ID = 128

log = get_logger(__name__)


class Accounts:
    """Keeps one reader an account, known from WeCom's list or from its calls."""

    def __init__(
        self,
        *,
        client: Client,
        make_puller: Callable[[str], Puller],
        clock: Clock,
        sleep: Sleep,
        timing: Timing,
    ) -> None:
        self._client = client
        self._make_puller = make_puller
        self._clock = clock
        self._sleep = sleep
        self._timing = timing
        self._pullers: dict[str, Puller] = {}
        self._idle: asyncio.Queue[Puller | None] = asyncio.Queue()
        """Readers that nobody runs; None: the upkeep has ended."""
        self._listed_at: float | None = None

    def call(self, open_kfid: str, token: str) -> None:
        """WeCom has called for this account."""
        puller = self._puller(open_kfid)
        if puller is not None:
            puller.call(token)

    def silent_for(self) -> float | None:
        """Seconds since WeCom last answered; None if it never did."""
        return None if self._listed_at is None else self._clock.monotonic() - self._listed_at

    async def run(self, intake: Intake) -> None:
        """Looks after the list and runs every reader, until cancelled."""
        idle = self._idle = asyncio.Queue()
        for known in self._pullers.values():  # after an earlier run, or called for before this one
            idle.put_nowait(known)
        # A task group takes no notice of a child that was cancelled: a reader is put to work again, and without the
        # upkeep there is no going on.
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_after()).add_done_callback(lambda _: idle.put_nowait(None))
            while (puller := await idle.get()) is not None:
                reader = tasks.create_task(puller.run(intake))
                reader.add_done_callback(lambda _, ended=puller: idle.put_nowait(ended))  # type: ignore[misc]
            raise RuntimeError("looking after the accounts has ended")

    async def _look_after(self) -> None:
        """The list again and again: for new accounts, and to notice when WeCom can not be reached or refuses us."""
        backoff = Backoff(self._timing)
        while True:
            pause = self._timing.upkeep
            try:
                await self._list()
                backoff.reset()
            except WeComError:  # its standing has said so
                pause = min(pause, backoff.pause())
            except Exception as error:  # a defect must not end the upkeep
                log.exception("wecom.upkeep_failed", channel=SECTION, error=type(error).__name__)
            await self._sleep(pause)

    async def _list(self) -> None:
        offset = 0
        while offset < _MOST:
            answer = await self._client.post(METHOD, {"offset": offset, "limit": PAGE})
            self._listed_at = self._clock.monotonic()
            listed = answer.get("account_list")
            accounts = listed if isinstance(listed, list) else []
            for account in accounts:
                # Of accounts that others look after, WeCom would let us read nothing.
                if isinstance(account, dict) and account.get("manage_privilege", True):
                    self._puller(str(account.get("open_kfid") or ""))
            if len(accounts) < PAGE:
                return
            offset += PAGE

    def _puller(self, open_kfid: str) -> Puller | None:
        known = self._pullers.get(open_kfid)
        if known is None and 0 < len(open_kfid) <= _LONGEST_ID and len(self._pullers) < _MOST:
            known = self._pullers[open_kfid] = self._make_puller(open_kfid)
            self._idle.put_nowait(known)
        return known
