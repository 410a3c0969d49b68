"""The story of a turn: begin, respond, finish, deliver. One transaction to begin it, one for everything it did."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from bot import failpoints
from bot.cancellation import is_cancelled
from bot.errors import StoreUnavailable
from bot.history.database import Database
from bot.history.endings import Finished, finish
from bot.history.turns import Begun, Limits, begin
from bot.messages import ConversationRef, Reply, Turn, TurnResult
from bot.ports import Channel, Clock, SnapshotSink, channel_for
from bot.telemetry import Metrics, bind_turn, get_logger
from bot.turns.delivery import Outbox
from bot.turns.showing import Showing

MAX_ATTEMPTS = 3
"""A turn that failed, or took the process down, so often is parked: the person is told and a ticket opened."""
RETRY_SECONDS = 0.5

log = get_logger(__name__)


class Responder(Protocol):
    """The dialogue."""

    async def respond(self, turn: Turn, show: SnapshotSink) -> TurnResult: ...


class Endings(Protocol):
    """What is said when a turn does not end with the dialogue's own words."""

    def stopped(self, turn: Turn, partial: str) -> TurnResult:
        """The person pressed Stop; `partial` is what they have seen."""

    def parked(self, turn: Turn) -> TurnResult:
        """It failed again and again: an apology, and a ticket."""

    def over_budget(self, turn: Turn) -> TurnResult:
        """Today's tokens are used up."""

    def out_of_time(self, turn: Turn) -> TurnResult:
        """No answer within the time a turn may take."""


class TicketNotices(Protocol):
    """Tells operators what a turn did to tickets."""

    def of_turn(self, turn: Turn, result: TurnResult) -> Sequence[tuple[ConversationRef, Reply]]:
        """What to tell, and where; empty when there is nothing to tell or nobody asked."""


@dataclass(slots=True)
class _Running:
    """A response that is being made."""

    task: asyncio.Task[TurnResult]
    interrupted: Literal["", "stop", "edit"] = ""


class TurnRunner:
    """Runs turns, one at a time a conversation (the lanes see to that)."""

    def __init__(
        self,
        database: Database,
        responder: Responder,
        endings: Endings,
        outbox: Outbox,
        channels: Mapping[tuple[str, str], Channel],
        *,
        notices: TicketNotices,
        limits: Limits,
        turn_seconds: float,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._database = database
        self._responder = responder
        self._endings = endings
        self._outbox = outbox
        self._channels = channels
        self._notices = notices
        self._limits = limits
        self._turn_seconds = turn_seconds
        self._metrics = metrics
        self._clock = clock
        self._running: dict[int, _Running] = {}
        self._shown: dict[int, str] = {}  # conversation → placeholder of its unfinished turn
        self._suspects: set[int] = set()
        self._one_suspect = asyncio.Lock()

    def suspect(self, conversation: int) -> None:
        """Its turn was running at two crashes: it runs alone, so that a third crash is not blamed on a bystander."""
        self._suspects.add(conversation)

    def interrupt(self, conversation: int, why: Literal["stop", "edit"]) -> None:
        """The running answer is not wanted any more: the person pressed Stop, or changed the question."""
        running = self._running.get(conversation)
        if running is not None and not running.task.done():
            running.interrupted = why
            running.task.cancel()

    def is_answering(self, conversation: int) -> bool:
        """Whether an answer is growing there."""
        return conversation in self._running

    async def run_turn(self, conversation: int, taken: Callable[[int], None]) -> bool:
        """Runs the conversation's next turn. Returns whether more may be waiting; see `lanes.RunTurn`."""
        try:
            if conversation in self._suspects:
                async with self._one_suspect:
                    self._suspects.discard(conversation)
                    return await self._run(conversation, taken)
            return await self._run(conversation, taken)
        except StoreUnavailable as error:
            log.warning("a turn has to wait for the database", reason=str(error))
        except Exception:  # a defect in one turn must not take down the lanes; its attempts lead to parking
            log.exception("a turn failed", conversation=conversation)
        if is_cancelled():
            raise asyncio.CancelledError
        await asyncio.sleep(RETRY_SECONDS)
        return True

    async def _run(self, conversation: int, taken: Callable[[int], None]) -> bool:
        begun = await self._begin(conversation, again=False)
        if begun is None:
            return False
        if begun.turn.attempt == 1:
            taken(len(begun.inbound_ids))
        more = begun.more_waiting
        with bind_turn(begun.turn.id):
            failpoints.reached("turn.begun")
            finished = await self._respond_and_finish(begun)
            while finished is None:  # edited meanwhile: the same turn, with the new words
                again = await self._begin(conversation, again=True)
                if again is None:
                    return True
                finished = await self._respond_and_finish(again)
            self._shown.pop(conversation, None)
            if finished.delivery is not None:
                await self._outbox.send(finished.delivery)
            elif finished.silent:
                self._channel(begun.turn).silent(begun.turn.conversation, begun.inbound_ids)
        if finished.more_waiting:
            self._outbox.wake()
        return more

    def _channel(self, turn: Turn) -> Channel:
        channel = channel_for(self._channels, turn.conversation.platform, turn.conversation.account)
        assert channel is not None, "nothing came in there while it was off"
        return channel

    async def _begin(self, conversation: int, *, again: bool) -> Begun | None:
        turn_id, now = secrets.token_hex(16), self._clock.now()
        return await self._database.write(
            lambda connection: begin(connection, conversation, self._limits, turn_id, now, again=again)
        )

    async def _respond_and_finish(self, begun: Begun) -> Finished | None:
        turn = begun.turn
        started = self._clock.monotonic()
        if turn.attempt > MAX_ATTEMPTS:
            log.error("a turn is parked", attempts=turn.attempt - 1)
            return await self._finish(begun, self._endings.parked(turn), None, "parked")
        if begun.stop_requested:
            return await self._finish(begun, self._endings.stopped(turn, ""), None, "stopped")
        if begun.over_budget:
            return await self._finish(begun, self._endings.over_budget(turn), None, "done")
        showing = Showing(self._channel(turn), turn, self._shown.get(begun.conversation_id))
        first_shown = _Once(lambda: self._metrics.time_to_first_snapshot.observe(self._clock.monotonic() - started))
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(showing.run())
            try:
                result, state = await self._respond(begun, showing, first_shown)
            finally:
                await showing.close(writer)
                if showing.shown is not None:
                    self._shown[begun.conversation_id] = showing.shown
        if result is None:
            return None
        first_shown()
        failpoints.reached("turn.after_engine")
        finished = await self._finish(begun, result, showing.shown, state)
        self._metrics.time_to_answer.observe(self._clock.monotonic() - started)
        return finished

    async def _respond(
        self, begun: Begun, showing: Showing, first_shown: Callable[[], None]
    ) -> tuple[TurnResult | None, Literal["done", "stopped"]]:
        """The dialogue's result, or None when an edit has made it worthless."""

        def show(text: str) -> None:
            first_shown()
            showing.show(text)

        turn = begun.turn
        running = _Running(asyncio.create_task(self._responder.respond(turn, show), name="respond"))
        self._running[begun.conversation_id] = running
        try:
            async with asyncio.timeout(self._turn_seconds):
                return await running.task, "done"
        except TimeoutError:
            log.error("a turn was out of time", seconds=self._turn_seconds)
            return self._endings.out_of_time(turn), "done"
        except asyncio.CancelledError:
            if running.interrupted == "stop" and not is_cancelled():
                return self._endings.stopped(turn, showing.latest), "stopped"
            if running.interrupted == "edit" and not is_cancelled():
                return None, "done"
            raise
        finally:
            del self._running[begun.conversation_id]
            running.task.cancel()

    async def _finish(self, begun: Begun, result: TurnResult, placeholder: str | None, state: str) -> Finished | None:
        notices = self._notices.of_turn(begun.turn, result)
        now = self._clock.now()
        at_once = result.reply is not None and self._channel(begun.turn).take_slot(begun.turn.conversation)
        failpoints.reached("turn.before_commit")
        finished = await self._database.write(
            lambda connection: finish(connection, begun, result, notices, placeholder, state, now, at_once=at_once)
        )
        failpoints.reached("turn.after_commit")
        if finished is not None:
            outcome = result.reply.outcome.value if result.reply else "silent"
            self._metrics.turns.labels(outcome, begun.turn.conversation.platform).inc()
        return finished


class _Once:
    """Calls a function the first time only."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function: Callable[[], None] | None = function

    def __call__(self) -> None:
        function, self._function = self._function, None
        if function is not None:
            function()
