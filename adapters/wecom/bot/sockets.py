"""Keeping the one connection that WeCom allows a bot: by one process at a time, opened anew when it ends, never fought
for.

A newer subscription ends the older one. Between our own processes a lease says whose turn it is. Where somebody else
takes the place (another installation with the same secret), taking it back at once would make two that take it from
each other for ever: it is an alarm, and for a long while nothing more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from math import inf
from typing import Any, Literal, TypeAlias

from adapters.wecom.bot.lease import Lease
from adapters.wecom.bot.lines import SUBSCRIBE, Line
from adapters.wecom.bot.parsing import Kicked, Parsed
from adapters.wecom.bot.timing import BotTiming
from adapters.wecom.failures import operator_line
from adapters.wecom.timing import Backoff
from adapters.wecom.wire import NotReached, Refused, WeComError
from bot.ports import ChannelHealth, Clock, Sleep
from bot.telemetry import get_logger

Take: TypeAlias = Callable[[Parsed, str], Awaitable[None]]
"""Is given what came in and its req_id; returns soon."""
_End: TypeAlias = Literal["closed", "kicked", "lapsed", "given up"]
_CALLBACKS = frozenset({"aibot_msg_callback", "aibot_event_callback"})

log = get_logger(__name__)


class Sockets:
    """The connection of a bot, whichever it is at the moment."""

    def __init__(
        self,
        *,
        url: str,
        bot_id: str,
        secret: str,
        read: Callable[[Mapping[str, Any]], Parsed],
        lease: Lease,
        clock: Clock,
        sleep: Sleep,
        timing: BotTiming,
    ) -> None:
        self._url = url
        self._bot_id = bot_id
        self._secret = secret
        self._read_frame = read
        self._lease = lease
        self._clock = clock
        self._sleep = sleep
        self._timing = timing
        self._backoff = Backoff(timing)
        self._line: Line | None = None
        self.opened_at = inf
        """When the connection of this moment took the place of the one before it, on the monotonic clock."""
        self._ready = asyncio.Event()
        self._refused: Refused | None = None
        self._trouble = "starting"
        self._said: set[str] = set()
        """The troubles of this outage that stand in the log."""

    def health(self) -> ChannelHealth:
        """Up while connected, and while another process of ours is: it hears then, and we stand by."""
        if self._line is not None:
            return ChannelHealth(up=True)
        if self._lease.known and not self._lease.held.is_set():
            return ChannelHealth(up=True, detail="another process holds the connection; this one stands by")
        return ChannelHealth(up=False, detail=self._trouble)

    async def request(self, cmd: str, body: Mapping[str, Any], *, req_id: str = "") -> None:
        """As `Line.request`, over the connection of this moment. One that is just being made is waited for a little.

        :raises Refused, NotReached, NoAnswer: as there.
        """
        await (await self.opened(cmd)).request(cmd, body, req_id=req_id)

    async def opened(self, cmd: str) -> Line:
        """The connection of this moment; waited for as in `request`.

        :raises Refused, NotReached: there is none.
        """
        if self._line is None and self._refused is None:
            try:
                async with asyncio.timeout(self._timing.line_wait):
                    await self._ready.wait()
            except TimeoutError:
                pass
        if self._line is None:
            if self._refused is not None:
                raise Refused(SUBSCRIBE, self._refused.errcode)
            raise NotReached(cmd, "not connected")
        return self._line

    async def run(self, take: Take) -> None:
        """Keeps it until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            leasing = tasks.create_task(self._lease.run())
            opening = tasks.create_task(self._keep_open(take))
            await asyncio.wait([leasing, opening], return_when=asyncio.FIRST_COMPLETED)
            # A task group takes no notice of a child that was cancelled: without this line we would be deaf for good.
            raise RuntimeError("the keeper of the connection has ended")

    async def _keep_open(self, take: Take) -> None:
        while True:
            await self._lease.held.wait()
            try:
                pause = await self._once(take)
            except WeComError as error:
                pause = self._failed(error)
            except Exception as error:  # a defect must not make us deaf
                log.exception("wecom.connection_failed", error=type(error).__name__)
                self._note("the connection failed; see the log")
                pause = self._backoff.pause()
            await self._sleep(pause)

    async def _once(self, take: Take) -> float:
        """One connection from beginning to end. Returns how long to wait before the next."""
        line = await Line.open(self._url, self._bot_id, self._secret, self._timing)
        started = self._clock.monotonic()
        self._opened(line)
        try:
            end = await self._live(line, take)
        finally:
            self._line, self.opened_at = None, inf
            self._ready.clear()
            await line.close()
        if self._clock.monotonic() - started > self._timing.longest_pause:
            self._backoff.reset()
        return await self._after(end)

    async def _live(self, line: Line, take: Take) -> _End:
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._hear(line, take))
            lapsed = tasks.create_task(line.lapsed.wait())
            lost = tasks.create_task(self._lease.lost.wait())
            pinging = tasks.create_task(line.keep_alive(self._sleep))
            try:
                await asyncio.wait([reading, lapsed, lost], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (reading, lapsed, lost, pinging):
                    task.cancel()
        if not reading.cancelled():
            return reading.result()
        return "lapsed" if line.lapsed.is_set() else "given up"

    async def _hear(self, line: Line, take: Take) -> _End:
        async for said in line.frames():
            if said["cmd"] not in _CALLBACKS:
                continue
            body, headers = said.get("body"), said.get("headers")
            request = headers.get("req_id") if isinstance(headers, dict) else None
            parsed = self._read_frame(body if isinstance(body, dict) else {})
            if isinstance(parsed, Kicked):
                return "kicked"
            await take(parsed, request if isinstance(request, str) else "")
        return "closed"

    async def _after(self, end: _End) -> float:
        if end == "kicked" and await self._lease.look():
            self._note(
                "another connection of this bot has taken our place: does another installation use its secret? "
                f"Restart kefu to take it back; it tries again in {self._timing.kicked_pause / 60:.0f} minutes"
            )
            log.error("wecom.kicked", channel="wecom_bot", reason=self._trouble)
            return self._timing.kicked_pause
        if end == "lapsed":
            self._note("WeCom says that we are not subscribed any more (846609)")
            return self._timing.lapsed_pause
        if end == "closed":
            self._note("the connection was lost")
            return self._backoff.pause()
        return 0.0  # another process of ours has it now

    # -- Standing --

    def _opened(self, line: Line) -> None:
        log.info("wecom.up", channel="wecom_bot", after=self._trouble)
        self._line, self.opened_at = line, self._clock.monotonic()
        self._refused = None
        self._trouble = "the connection was lost"
        self._said.clear()
        self._ready.set()

    def _failed(self, error: WeComError) -> float:
        self._note(operator_line(error, "wecom_bot"))
        if isinstance(error, Refused):
            self._refused = error
            return self._timing.refused_pause
        return self._backoff.pause()

    def _note(self, trouble: str) -> None:
        """One line when it goes down, and one for each other face of the same outage: it has many, and lasts long."""
        self._trouble = trouble
        if trouble not in self._said:
            log.warning("wecom.still_down" if self._said else "wecom.down", channel="wecom_bot", reason=trouble)
            self._said.add(trouble)
