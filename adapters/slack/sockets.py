"""Receiving through Socket Mode: several sockets that Slack spreads its envelopes over, each acknowledged once stored.

slack_sdk's own client is not used. It puts envelopes into a queue without a bound and handles each in a task that
nobody owns, so a conversation has no order; it looks for silence with the time of day, which may jump; it closes the
old socket before it opens the new one; and it keeps one HTTP session for ever, which once closed is an endless loop of
errors. Bolt is still what dispatches (`adapters.slack.dispatch`).
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from adapters.slack.dispatch import Answer, Dispatcher
from adapters.slack.lines import Line, Opener
from adapters.slack.order import InOrder, conversation_of
from adapters.slack.timing import Backoff, Timing
from adapters.slack.wire import Refused, SlackError
from bot import failpoints
from bot.cancellation import is_cancelled
from bot.ports import ChannelHealth, Clock, Intake, Sleep
from bot.telemetry import get_logger

ANSWER_LIMIT = 2.9
"""Seconds for one envelope. After three Slack takes it for lost and sends it again."""
GRACE = 20.0
"""Seconds in which a socket that was replaced is still read: Slack may have sent something into it."""
QUIET = 900.0
"""Seconds without an envelope, after which a socket is replaced although it answers pings: sockets have been seen that
are alive and get nothing any more."""
_AT_ONCE = 256

log = get_logger(__name__)


class Sockets:
    """The receiver of an app that Slack can not call."""

    def __init__(
        self,
        *,
        opener: Opener,
        dispatcher: Dispatcher,
        count: int,
        clock: Clock,
        sleep: Sleep,
        timing: Timing,
        grace: float = GRACE,
        quiet: float = QUIET,
    ) -> None:
        self._opener = opener
        self._dispatcher = dispatcher
        self._count = count
        self._clock = clock
        self._sleep = sleep
        self._timing = timing
        self._grace = grace
        self._quiet = quiet
        self._open: set[Line] = set()
        self._heard: dict[Line, float] = {}
        self._trouble = "starting"
        self._said: set[str] = set()
        """The troubles of this outage that stand in the log."""

    def health(self) -> ChannelHealth:
        """Up while one socket at least is open: Slack then sends everything there."""
        return ChannelHealth(up=bool(self._open), detail="" if self._open else self._trouble)

    async def run(self, intake: Intake) -> None:
        """Receives until cancelled."""
        order = InOrder(_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._count):
                tasks.create_task(self._keep_open(tasks, order, intake))

    async def _keep_open(self, tasks: asyncio.TaskGroup, order: InOrder, intake: Intake) -> None:
        """One socket after the other; the next one is open before the last one is closed."""
        backoff = Backoff(self._timing)
        last: Line | None = None
        while True:
            try:
                line = await Line.open(await self._opener.address(), self._timing)
            except SlackError as error:
                self._failed(error)
                await self._sleep(backoff.pause())
                continue
            except Exception as error:  # a defect must not make us deaf
                log.exception("slack.socket_failed", error=type(error).__name__)
                self._note("opening a socket failed; see the log")
                await self._sleep(backoff.pause())
                continue
            self._opened(line)
            if last is not None:
                last.retire(self._grace)
            last = line
            started = self._clock.monotonic()
            tasks.create_task(self._read(line, tasks, order, intake))
            await self._until_replaced(line)
            if self._clock.monotonic() - started > self._timing.longest_pause:
                backoff.reset()
            else:
                # One that was closed as soon as it was open is no success.
                await self._sleep(backoff.pause())

    async def _until_replaced(self, line: Line) -> None:
        while not line.replacement_wanted.is_set():
            try:
                async with asyncio.timeout(self._timing.ping):
                    await line.replacement_wanted.wait()
            except TimeoutError:
                if self._clock.monotonic() - self._heard.get(line, 0.0) > self._quiet:
                    return

    async def _read(self, line: Line, tasks: asyncio.TaskGroup, order: InOrder, intake: Intake) -> None:
        try:
            async for said in line.frames():
                if said.get("type") == "disconnect":
                    self._asked_to_leave(line, said.get("reason"))
                    continue
                envelope, payload = said.get("envelope_id"), said.get("payload")
                if not isinstance(envelope, str):
                    continue
                self._heard[line] = self._clock.monotonic()
                found = payload if isinstance(payload, dict) else {}
                work = functools.partial(self._take, line, envelope, found, intake)
                await order.put(tasks, conversation_of(found), work)
        except Exception as error:  # a defect must not make us deaf
            log.exception("slack.socket_failed", error=type(error).__name__)
        finally:
            self._closed(line)
            await line.close(ANSWER_LIMIT)

    async def _take(self, line: Line, envelope: str, payload: dict[str, Any], intake: Intake) -> None:
        """Stores, then acknowledges. What could not be stored is not acknowledged, and comes again."""
        with line.answering():
            try:
                async with asyncio.timeout(ANSWER_LIMIT):
                    answer = await self._dispatcher.dispatch(payload, intake)
            except TimeoutError:
                log.warning("slack.too_slow")
                answer = Answer(status=503)
            if answer.status == 200:
                await line.acknowledge(envelope, answer.payload)
                failpoints.reached("inbox.after_ack")

    # -- Standing --

    def _opened(self, line: Line) -> None:
        if not self._open:
            log.info("slack.up", after=self._trouble)
        self._open.add(line)
        self._heard[line] = self._clock.monotonic()
        self._trouble = "every socket has closed"
        self._said.clear()

    def _closed(self, line: Line) -> None:
        self._open.discard(line)
        self._heard.pop(line, None)
        if not self._open and not is_cancelled():  # an orderly end is no outage
            self._say()

    def _asked_to_leave(self, line: Line, reason: object) -> None:
        """ "warning" and "refresh_requested" come every few hours; the line goes on until it is closed."""
        if reason == "link_disabled":
            self._note("Socket Mode is switched off for this app")
        elif reason == "too_many_websockets":
            self._note("too many sockets are open for this app (Slack allows ten): does another process use it?")
        log.debug("slack.socket_leaves", reason=reason if isinstance(reason, str) else "")
        line.replacement_wanted.set()

    def _failed(self, error: SlackError) -> None:
        if not isinstance(error, Refused):
            self._note(f"Slack can not be reached: {error}")
        elif error.retry_after is not None:
            self._note("Slack asks for patience with new sockets")
        elif error.error in ("missing_scope", "not_allowed_token_type"):
            self._note("slack.app_token is not allowed to open sockets: it needs the scope connections:write")
        else:
            self._note(f"Slack refuses slack.app_token: {error.error or error.status}")

    def _note(self, trouble: str) -> None:
        self._trouble = trouble
        if not self._open:
            self._say()

    def _say(self) -> None:
        """One line when it goes down, and one for each other face of the same outage: it has many, and lasts long."""
        if self._trouble not in self._said:
            log.warning("slack.still_down" if self._said else "slack.down", reason=self._trouble)
            self._said.add(self._trouble)
