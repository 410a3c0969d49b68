"""Bringing replies to their platform: once, in order, and never silently not.

A reply is written down before it is sent and marked after it. Where a platform can be told to write into a message
that is already there, repeating is harmless; elsewhere a send whose end nobody knows is repeated once at most, and then
the reply belongs to the operators.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from sqlalchemy import Connection

from bot import failpoints
from bot.errors import (
    ChannelMoved,
    CredentialsRefused,
    DestinationGone,
    NotSent,
    PerhapsSent,
    SendError,
    StoreUnavailable,
    Undeliverable,
)
from bot.history import outbox
from bot.history.database import Database
from bot.history.endings import Delivery, insert_notice
from bot.history.moving import move
from bot.messages import Author, ConversationRef, Reply
from bot.ports import Channel, Clock, Part, channel_for
from bot.telemetry import Metrics, get_logger

SEND_SECONDS = 60.0
POLL_SECONDS = 1.0
"""How soon a reply that another process stored (`kefu tickets reply`) is noticed."""
MAX_UNCERTAIN_SENDS = 2
CREDENTIALS_SECONDS = 30.0
BACKOFF_SECONDS = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)
SENDS_AT_ONCE = 64
LOOK_SHARE = 0.25
"""Of the time at most is spent looking for what waits, however often it is woken."""

log = get_logger(__name__)


class StuckNotices(Protocol):
    """Tells operators of replies that need them."""

    def stuck(self, delivery: Delivery, state: str, error: str) -> Sequence[tuple[ConversationRef, Reply]]:
        """What to tell, and where; empty when nobody asked to be told."""


class Outbox:
    """Sends deliveries, the oldest of each conversation first."""

    def __init__(
        self,
        database: Database,
        channels: Mapping[tuple[str, str], Channel],
        *,
        notices: StuckNotices,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._database = database
        self._channels = channels
        self._notices = notices
        self._metrics = metrics
        self._clock = clock
        self._sending: set[int] = set()  # conversations
        self._interrupted: set[int] = set()  # conversations whose oldest reply was being sent by somebody who is gone
        self._not_before: dict[int, float] = {}  # conversation → monotonic time
        self._failures: dict[int, int] = {}  # conversation → sends that failed in a row
        self._more_due = False  # than may be sent side by side
        self._new = False  # deliveries, since the last look
        self._stirred = asyncio.Event()  # there is a reason to look sooner, or one to rest less long
        self._ended = asyncio.Event()

    async def send(self, delivery: Delivery) -> None:
        """Sends a delivery that is first in its line, has its slot and is already marked as being sent."""
        self._sending.add(delivery.conversation_id)
        try:
            await self._send_parts(delivery)
        except Exception:  # whatever it was, the send may have been under way: the outbox takes it up
            self._interrupted.add(delivery.conversation_id)
            raise
        finally:
            self._end(delivery.conversation_id)

    def wake(self) -> None:
        """There are new deliveries."""
        self._new = True
        self._stirred.set()

    async def came_back(self, conversation: ConversationRef, delivery_id: int, message_id: str, reason: str) -> bool:
        """See `bot.ports.CameBack`."""
        known = await self._database.read(lambda connection: outbox.find(connection, conversation, delivery_id))
        if known is not None and known.state in outbox.OPEN:
            return False
        # Else it was erased, is of an earlier database, or has been said before.
        if known is not None and known.state == "sent" and message_id in known.message_ids:
            await self._give_up(known.delivery, "failed", reason)
        return True

    async def settle(self, seconds: float) -> None:
        """Waits, that long at most, for the sends that are under way: an interrupted one may have to be repeated."""
        try:
            async with asyncio.timeout(seconds):
                while self._sending:
                    self._ended.clear()
                    await self._ended.wait()
        except TimeoutError:
            log.warning("sends are still under way", conversations=len(self._sending))

    async def run(self, *, take_up: bool = True) -> None:
        """Sends whatever waits, until cancelled.

        :param take_up: first, what an earlier process was sending when it ended (and no other process is).
        """
        async with asyncio.TaskGroup() as group:
            taken_up = not take_up
            while True:
                looked_at = self._clock.monotonic()
                try:
                    for conversation in await self._due(interrupted=not taken_up):
                        self._sending.add(conversation)
                        group.create_task(self._drain(conversation))
                    taken_up = True
                except StoreUnavailable as error:
                    log.warning("the outbox can not be read", reason=str(error))
                await asyncio.sleep((self._clock.monotonic() - looked_at) * (1 / LOOK_SHARE - 1))
                await self._rest(looked_at)

    async def _rest(self, looked_at: float) -> None:
        """Until the next poll, or sooner: there is something new, or a reply may be sent again since the last look."""
        poll_at = self._clock.monotonic() + POLL_SECONDS
        while not self._new:
            soonest = min((due for due in self._not_before.values() if due > looked_at), default=poll_at)
            self._stirred.clear()
            try:
                async with asyncio.timeout(min(poll_at, soonest) - self._clock.monotonic()):
                    await self._stirred.wait()
            except TimeoutError:
                break
        self._new = False

    async def _due(self, *, interrupted: bool) -> list[int]:
        """Conversations whose oldest open delivery can go out now."""
        rows = await self._database.read(lambda connection: outbox.conversations_with_open(connection, 10_000))
        await self._count()
        now = self._clock.monotonic()
        if interrupted:
            self._interrupted.update(conversation for conversation, _, _, state in rows if state == "sending")
        due = [
            conversation
            for conversation, platform, account, state in rows
            if channel_for(self._channels, platform, account) is not None
            and conversation not in self._sending
            and (state == "waiting" or conversation in self._interrupted)
            and self._not_before.get(conversation, 0.0) <= now
        ]
        free = max(0, SENDS_AT_ONCE - len(self._sending))
        self._more_due = len(due) > free
        return due[:free]

    async def _count(self) -> None:
        counts = await self._database.read(outbox.counts)
        self._metrics.deliveries_waiting.set(counts.get("waiting", 0))
        self._metrics.unknown_deliveries.set(counts.get("unknown", 0))

    async def _drain(self, conversation: int) -> None:
        """Sends what waits for one conversation, until it is empty or blocked."""
        try:
            while (delivery := await self._prepare(conversation)) is not None:
                if not await self._send_parts(delivery):
                    return
        except Exception:  # one conversation's defect must not stop everybody's replies
            log.exception("a conversation's replies could not be sent", conversation=conversation)
            self._interrupted.add(conversation)
            self._not_before[conversation] = self._clock.monotonic() + BACKOFF_SECONDS[-1]
        finally:
            self._end(conversation)

    def _end(self, conversation: int) -> None:
        self._sending.discard(conversation)
        self._ended.set()
        self._new |= self._more_due
        self._stirred.set()  # it may have to be sent again before the next poll

    async def _prepare(self, conversation: int) -> Delivery | None:
        """The oldest open delivery, marked as being sent. None when there is none that may be sent."""
        delivery = await self._database.read(lambda connection: outbox.first_open(connection, conversation))
        if delivery is None:
            return None
        if delivery.in_flight and conversation not in self._interrupted:
            return None  # a turn that has just ended sends it; it was given the reply with its commit
        self._interrupted.discard(conversation)
        if await self._database.read(lambda connection: outbox.is_closed(connection, conversation)):
            await self._give_up(delivery, "failed", "the conversation is closed on the other side")
            return await self._prepare(conversation)
        again = delivery.in_flight and self._is_harmless(delivery)
        if not again and delivery.attempts >= MAX_UNCERTAIN_SENDS:
            await self._give_up(delivery, "unknown", "interrupted twice while it was being sent")
            return await self._prepare(conversation)
        if not await self._has_slot(delivery):
            return None
        return delivery if again else await self._begin(delivery)

    def _channel(self, delivery: Delivery) -> Channel:
        channel = channel_for(self._channels, delivery.conversation.platform, delivery.conversation.account)
        assert channel is not None, "only deliveries of channels that are on are taken up"
        return channel

    async def _has_slot(self, delivery: Delivery) -> bool:
        """Waits until the platform's rate lets a part leave. False: that takes long, and the delivery waits."""
        channel = self._channel(delivery)
        try:
            await channel.wait_for_slot(delivery.conversation)
        except SendError as error:
            return await self._wait(delivery, delivery.attempts, error, _pause_after(error))
        return True

    async def _begin(self, delivery: Delivery) -> Delivery:
        """The delivery, marked as being sent."""
        attempts, now = delivery.attempts + 1, self._clock.now()
        await self._database.write(lambda connection: outbox.begin_sending(connection, delivery.id, attempts, now))
        return replace(delivery, attempts=attempts)

    async def _send_parts(self, delivery: Delivery) -> bool:
        """Sends the parts that have not arrived. False: the delivery waits, and what stands behind it too."""
        channel = self._channel(delivery)
        try:
            parts = channel.render(delivery.reply)
        except Exception as error:  # a defect of the renderer must not block the conversation for ever
            log.exception("a reply could not be rendered", delivery=delivery.id)
            return await self._after_error(delivery, Undeliverable(f"it can not be rendered: {type(error).__name__}"))
        message_ids: list[str] = []
        for number in range(delivery.parts_sent, len(parts)):
            if message_ids:  # what was taken and marked before was the first part's
                delivery = replace(delivery, parts_sent=number, attempts=0)
                if not await self._has_slot(delivery):
                    return False
                delivery = await self._begin(delivery)
            try:
                message_ids.append(await self._send_part(channel, delivery, parts[number]))
            except (SendError, TimeoutError) as error:
                return await self._after_error(delivery, error)
            except Exception as error:  # a defect of the adapter: nobody can tell how far it came
                log.exception("a reply could not be sent", delivery=delivery.id)
                return await self._after_error(delivery, PerhapsSent(type(error).__name__))
            await self._mark(delivery, number + 1, message_ids, last=number + 1 == len(parts))
        self._forget_failures(delivery)
        self._metrics.deliveries.labels(delivery.conversation.platform, "sent").inc()
        return True

    def _forget_failures(self, delivery: Delivery) -> None:
        self._failures.pop(delivery.conversation_id, None)
        self._not_before.pop(delivery.conversation_id, None)

    async def _send_part(self, channel: Channel, delivery: Delivery, part: Part) -> str:
        failpoints.reached("send.before")
        async with asyncio.timeout(SEND_SECONDS):
            message_id = await channel.send(
                delivery.conversation,
                part,
                replaces=delivery.placeholder if delivery.parts_sent == 0 else None,
                delivery_id=delivery.id,
                reply=delivery.reply,
            )
        failpoints.reached("send.after")
        return message_id

    async def _mark(self, delivery: Delivery, parts_sent: int, message_ids: Sequence[str], *, last: bool) -> None:
        now = self._clock.now()
        await self._database.write(
            lambda connection: outbox.part_sent(connection, delivery.id, parts_sent, message_ids, now, last=last)
        )
        failpoints.reached("delivery.after_commit")

    def _is_harmless(self, delivery: Delivery) -> bool:
        """Whether sending the next part again changes nothing for the reader."""
        channel = self._channel(delivery)
        return channel.repeatable or (delivery.placeholder is not None and delivery.parts_sent == 0)

    async def _after_error(self, delivery: Delivery, error: SendError | TimeoutError) -> bool:
        """Decides what becomes of a delivery that did not surely arrive. Returns whether the next one may go out."""
        match error:
            case NotSent() | CredentialsRefused():
                return await self._wait(delivery, delivery.attempts - 1, error, _pause_after(error))
            case ChannelMoved():
                await self._move(delivery, error.new_channel)
                return await self._wait(delivery, delivery.attempts - 1, error, 0.0)
            case DestinationGone():
                conversation = delivery.conversation_id
                await self._database.write(lambda connection: outbox.close_conversation(connection, conversation))
                return await self._give_up(delivery, "failed", str(error))
            case Undeliverable():
                return await self._give_up(delivery, "failed", str(error))
        if self._is_harmless(delivery):
            return await self._wait(delivery, delivery.attempts - 1, error, None)
        if delivery.attempts < MAX_UNCERTAIN_SENDS:
            return await self._wait(delivery, delivery.attempts, error, None)
        return await self._give_up(delivery, "unknown", f"sent twice without an answer: {error}")

    async def _wait(
        self, delivery: Delivery, attempts: int, error: SendError | TimeoutError, seconds: float | None
    ) -> bool:
        conversation, now = delivery.conversation_id, self._clock.now()
        reason = f"{type(error).__name__}: {error}"[:300]
        await self._database.write(
            lambda connection: outbox.wait_again(connection, delivery.id, attempts, delivery.parts_sent, reason, now)
        )
        failures = self._failures.get(conversation, 0)
        self._failures[conversation] = failures + 1
        if seconds is None:
            seconds = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)] * random.uniform(0.8, 1.2)
        self._not_before[conversation] = self._clock.monotonic() + seconds
        self._metrics.deliveries.labels(delivery.conversation.platform, "retried").inc()
        log.warning("a reply waits to be sent again", delivery=delivery.id, reason=reason, seconds=round(seconds, 1))
        return False

    async def _give_up(self, delivery: Delivery, state: str, reason: str) -> bool:
        now = self._clock.now()
        notices = [] if delivery.reply.author is Author.NOTICE else self._notices.stuck(delivery, state, reason)

        def work(connection: Connection) -> None:
            outbox.give_up(connection, delivery.id, state, reason[:300], now)
            for address, notice in notices:
                insert_notice(connection, address, notice, None, now)

        await self._database.write(work)
        self._forget_failures(delivery)
        self._metrics.deliveries.labels(delivery.conversation.platform, state).inc()
        log.error("a reply needs an operator: kefu deliveries list", delivery=delivery.id, state=state, reason=reason)
        self.wake()
        return True

    async def _move(self, delivery: Delivery, new_channel: str) -> None:
        old = delivery.conversation
        await self._database.write(lambda connection: move(connection, old, new_channel))


def _pause_after(error: SendError) -> float | None:
    """Seconds until a reply that was surely not sent may be tried again; None: as failures in a row say."""
    match error:
        case NotSent():
            return error.retry_after
        case CredentialsRefused():
            return CREDENTIALS_SECONDS
    return None
