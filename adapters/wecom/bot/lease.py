"""What one process at a time may do, agreed upon in the database.

Whoever holds a lease counts on in its row. Who wants it watches the number, and takes the lease over when it has stood
still for too long on the watcher's own clock. No time of day is compared: clocks of machines differ, and jump.
"""

from __future__ import annotations

import asyncio
import secrets
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from adapters.wecom.bot.timing import BotTiming
from bot.errors import StoreUnavailable
from bot.history.inbound import upsert
from bot.history.tables import leases
from bot.ports import Clock, Sleep, Transactions
from bot.telemetry import get_logger

_RELEASE_SECONDS = 2.0

log = get_logger(__name__)


class Lease:
    """One name. `run` contends for it and keeps it; `held` says whether it is ours."""

    def __init__(self, name: str, database: Transactions, *, clock: Clock, sleep: Sleep, timing: BotTiming) -> None:
        self._name = name
        self._database = database
        self._clock = clock
        self._sleep = sleep
        self._timing = timing
        self._owner = secrets.token_hex(12)
        self._seen: tuple[str, int] | None = None
        self._seen_at = 0.0
        self.held = asyncio.Event()
        self.lost = asyncio.Event()
        self.lost.set()
        self.known = False
        """Whether the database has been asked successfully at all."""

    async def run(self) -> None:
        """Contends, keeps, and gives back when cancelled."""
        try:
            while True:
                await self.look()
                await self._sleep(self._timing.lease_beat)
        finally:
            await self._release()

    async def look(self) -> bool:
        """Counts on, takes over, or sees that somebody else holds it. While the database can not be asked, what was so
        stays so: nobody else can take it over either, and if somebody could, WeCom would tell us."""
        takes_over = self._seen is not None and (self._clock.monotonic() - self._seen_at >= self._timing.lease_life)
        seen, now = self._seen, self._clock.now()
        try:
            found = await self._database.write(
                lambda connection: _beat(connection, self._name, self._owner, seen if takes_over else None, now)
            )
        except StoreUnavailable as error:
            log.debug("wecom.lease_unknown", reason=str(error))
            return self.held.is_set()
        self.known = True
        self._mark(found)
        return self.held.is_set()

    def _mark(self, found: tuple[str, int]) -> None:
        if found[0] == self._owner:
            self._seen = None
            if not self.held.is_set():
                log.info("wecom.lease_taken", name=self._name)
            self.held.set()
            self.lost.clear()
            return
        if found != self._seen:
            self._seen, self._seen_at = found, self._clock.monotonic()
        if self.held.is_set():
            log.warning("wecom.lease_lost", name=self._name)
        self.held.clear()
        self.lost.set()

    async def _release(self) -> None:
        """So that the next one need not wait; not worth much time."""
        if not self.held.is_set():
            return
        self.held.clear()
        self.lost.set()
        mine = delete(leases).where(leases.c.name == self._name, leases.c.owner == self._owner)
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._database.write(lambda connection: connection.execute(mine))
        except (StoreUnavailable, TimeoutError):
            log.debug("wecom.lease_not_released")


def _beat(
    connection: Connection, name: str, owner: str, stands_still: tuple[str, int] | None, now: datetime
) -> tuple[str, int]:
    """(owner, number) as they are now."""
    upsert(connection, leases, {"name": name, "owner": owner, "beat": 0, "updated_at": now}, "name")
    here = select(leases.c.owner, leases.c.beat).where(leases.c.name == name).with_for_update()
    found = connection.execute(here).one()
    if found.owner != owner and (found.owner, found.beat) != stands_still:
        return str(found.owner), int(found.beat)
    beat = int(found.beat) + 1
    connection.execute(update(leases).where(leases.c.name == name), {"owner": owner, "beat": beat, "updated_at": now})
    return owner, beat
