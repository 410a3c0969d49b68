"""Accepting what arrives: stored with every key and the platform's cursor, then acknowledged, then answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from bot import failpoints
from bot.history import inbound
from bot.history.database import Database
from bot.history.inbound import Admission, Known, Stored
from bot.messages import IncomingMessage, MessageKind, Receipt, ReceiptStatus, Reply
from bot.ports import Clock
from bot.telemetry import Metrics
from bot.turns.lanes import Lanes
from bot.turns.limits import Notices, QueueLimits, Rates
from bot.turns.runner import TurnRunner

PATIENCE_SECONDS = 2.0
"""How long a platform waits for the commit: Slack gives 3 s in all, and every platform delivers again."""
KNOWN_ROWS = 20_000

_ANSWERED_KINDS = frozenset({MessageKind.TEXT, MessageKind.COMMAND, MessageKind.ACTION})
_STOP_WORDS = frozenset({"stop", "停", "停止", "别说了", "停下"})


class Inbox:
    """The core's side of `bot.ports.Intake`."""

    def __init__(
        self,
        database: Database,
        lanes: Lanes,
        runner: TurnRunner,
        outbox_wake: Callable[[], None],
        *,
        limits: QueueLimits,
        busy: Callable[[IncomingMessage], Reply],
        expect: Callable[[IncomingMessage], None],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._database = database
        self._lanes = lanes
        self._runner = runner
        self._outbox_wake = outbox_wake
        self._limits = limits
        self._busy = busy
        self._expect = expect
        self._metrics = metrics
        self._clock = clock
        self._rates = Rates(limits.user_per_minute)
        self._notices = Notices()
        self._known = Known(conversations={}, people=set())
        self._storing: set[asyncio.Task[tuple[Receipt, ...]]] = set()

    async def accept(
        self, messages: Sequence[IncomingMessage], *, cursor: tuple[str, str, str] | None = None
    ) -> tuple[Receipt, ...]:
        """See `bot.ports.Intake.accept`."""
        now = self._clock.now()
        admissions = [self._admit(self._read(message)) for message in messages]
        failpoints.reached("inbox.before_commit")
        for admission in admissions:
            if not admission.shed:
                self._expect(admission.message)
        # Whoever waits may give up while the commit is under way. It comes to its end all the same, and turns have to
        # begin then: the platform delivers again, and what is a duplicate begins none.
        storing = asyncio.create_task(self._store(admissions, cursor, now))
        self._storing.add(storing)
        storing.add_done_callback(self._stored)
        return await asyncio.shield(storing)

    async def cursor(self, platform: str, account: str) -> str | None:
        """See `bot.ports.Intake.cursor`."""
        return await self._database.read(lambda connection: inbound.read_cursor(connection, platform, account))

    def _stored(self, storing: asyncio.Task[tuple[Receipt, ...]]) -> None:
        self._storing.discard(storing)
        if not storing.cancelled():
            storing.exception()  # whoever waits for it gets it too; nobody may be waiting any more

    async def _store(
        self, admissions: Sequence[Admission], cursor: tuple[str, str, str] | None, now: datetime
    ) -> tuple[Receipt, ...]:
        """Commits, and lets begin what the commit asks for."""
        try:
            stored = await self._database.write(
                lambda connection: inbound.store(connection, admissions, cursor, self._known, now),
                patience=PATIENCE_SECONDS,
            )
        except BaseException:
            # Perhaps rows that were known have been erased; the next try looks them up again.
            self._known = Known(conversations={}, people=set())
            raise
        failpoints.reached("inbox.after_commit")
        for admission, result in zip(admissions, stored, strict=True):
            self._after_commit(admission, result)
        return tuple(result.receipt for result in stored)

    def _read(self, message: IncomingMessage) -> IncomingMessage:
        """The word "stop" means the button while an answer is growing, and is a message like any other otherwise."""
        if message.kind is MessageKind.COMMAND and message.command == "stop":
            return replace(message, kind=MessageKind.STOP) if self._is_answering(message) else message
        if message.kind is MessageKind.TEXT and message.text.strip().lower().rstrip("!！。.") in _STOP_WORDS:
            return replace(message, kind=MessageKind.STOP) if self._is_answering(message) else message
        if len(message.text) > self._limits.max_message_chars:
            return replace(message, text=message.text[: self._limits.max_message_chars])
        return message

    def _is_answering(self, message: IncomingMessage) -> bool:
        conversation = self._known.conversations.get(message.conversation)
        return conversation is not None and self._runner.is_answering(conversation)

    def _admit(self, message: IncomingMessage) -> Admission:
        if message.kind not in _ANSWERED_KINDS:
            return Admission(message=message)
        now = self._clock.monotonic()
        conversation = self._known.conversations.get(message.conversation, 0)
        if (
            self._lanes.total_waiting < self._limits.queue_total
            and self._lanes.waiting(conversation) < self._limits.queue_per_conversation
            and self._rates.take(message.sender.id, now)
        ):
            return Admission(message=message)
        told = self._notices.due(message.conversation, message.sender.id, now)
        return Admission(message=message, shed=True, notice=self._busy(message) if told else None)

    def _after_commit(self, admission: Admission, stored: Stored) -> None:
        message, receipt = admission.message, stored.receipt
        self._metrics.inbound.labels(message.conversation.platform, _RESULTS[receipt.status]).inc()
        if stored.second_copy:
            if message.kind in _ANSWERED_KINDS and not admission.shed:
                self._rates.give_back(message.sender.id)
            return
        if receipt.status is ReceiptStatus.ACCEPTED:
            self._lanes.wake(stored.conversation_id, messages=1)
        elif admission.notice is not None:
            self._outbox_wake()
        self._remember(message, stored)
        if stored.stop:
            self._runner.interrupt(stored.conversation_id, "stop")
        if stored.rerun:
            self._runner.interrupt(stored.conversation_id, "edit")

    def _remember(self, message: IncomingMessage, stored: Stored) -> None:
        known = self._known
        if stored.moved_to or message.kind is MessageKind.GONE:
            self._known = Known(conversations={}, people=known.people)
            return
        if len(known.conversations) >= KNOWN_ROWS or len(known.people) >= KNOWN_ROWS:
            self._known = known = Known(conversations={}, people=set())
        known.conversations[message.conversation] = stored.conversation_id
        known.people.add(message.sender)


_RESULTS = {
    ReceiptStatus.ACCEPTED: "accepted",
    ReceiptStatus.DUPLICATE: "duplicate",
    ReceiptStatus.EDITED: "edit",
    ReceiptStatus.SHED: "shed",
    ReceiptStatus.DONE: "event",
}
