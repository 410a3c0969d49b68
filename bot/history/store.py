"""What channels, the API and the command line may ask of the database."""

from __future__ import annotations

import json
from typing import Literal

from sqlalchemy import Connection, String, cast, select

from bot.errors import NotFound
from bot.history import outbox
from bot.history.database import Database
from bot.history.inbound import record_rating
from bot.history.outbox import StuckDelivery
from bot.history.tables import conversations, deliveries, inbound, participants, turns
from bot.history.turns import load_history
from bot.messages import Author, ConversationRef, HistoryEntry, Reply
from bot.ports import Clock

PATIENCE_SECONDS = 5.0
STUCK_SHOWN = 500
REPLIES_SHOWN = 200


class Store:
    """Implements `bot.ports.Records`, and what operators ask."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def replies(self, conversation: ConversationRef, *, after: int) -> tuple[tuple[int, Reply], ...]:
        """See `bot.ports.Records`; at most the next 200."""
        return await self._database.read(
            lambda connection: outbox.replies_after(connection, conversation, after, REPLIES_SHOWN)
        )

    async def history(self, conversation: ConversationRef, *, limit: int) -> tuple[HistoryEntry, ...]:
        """See `bot.ports.Records`."""

        def work(connection: Connection) -> tuple[HistoryEntry, ...]:
            row = connection.execute(
                select(participants)
                .join(conversations, conversations.c.id == participants.c.conversation_id)
                .where(
                    conversations.c.platform == conversation.platform,
                    conversations.c.account == conversation.account,
                    conversations.c.channel == conversation.channel,
                    conversations.c.thread == conversation.thread,
                )
            ).first()
            if row is None:
                return ()
            return load_history(
                connection, row.conversation_id, row.person_id, after=row.forgotten_through, limit=limit
            )

        return await self._database.read(work)

    async def engaged(self, conversation: ConversationRef) -> bool:
        """See `bot.ports.Records`. A notice to operators is no answer."""
        channel = (
            conversations.c.platform == conversation.platform,
            conversations.c.account == conversation.account,
            conversations.c.channel == conversation.channel,
        )
        said = (
            select(inbound.c.id)
            .join(conversations, conversations.c.id == inbound.c.conversation_id)
            .where(*channel, conversations.c.thread == conversation.thread)
            .limit(1)
        )
        answered = (
            select(deliveries.c.id)
            .join(conversations, conversations.c.id == deliveries.c.conversation_id)
            .where(
                *channel,
                deliveries.c.author != Author.NOTICE.value,
                cast(deliveries.c.message_ids, String).contains(json.dumps(conversation.thread), autoescape=True),
            )
            .limit(1)
        )
        return await self._database.read(
            lambda connection: (
                connection.execute(said).first() is not None
                or (bool(conversation.thread) and connection.execute(answered).first() is not None)
            )
        )

    async def record_feedback(
        self, turn_id: str, rating: Literal["up", "down"], comment: str, sender_id: str | None
    ) -> None:
        """Keeps a judgement; without a sender it is the person's whom the turn answered. The last one counts.

        :raises NotFound: there is no such turn.
        :raises StoreUnavailable: nothing was kept.
        """
        now = self._clock.now()

        def work(connection: Connection) -> bool:
            person = connection.execute(select(turns.c.person_id).where(turns.c.id == turn_id)).scalar()
            if person is None:
                return False
            record_rating(connection, turn_id, sender_id or person, rating, comment, now)
            return True

        if not await self._database.write(work, patience=PATIENCE_SECONDS):
            raise NotFound("there is no such turn")

    async def stuck_deliveries(self) -> tuple[StuckDelivery, ...]:
        """Replies whose fate is unknown, or that failed; oldest first."""
        return await self._database.read(lambda connection: outbox.stuck(connection, STUCK_SHOWN))

    async def retry_delivery(self, delivery_id: int) -> None:
        """Sends a stuck delivery again.

        :raises NotFound: no stuck delivery has this id.
        """
        await self._settle(delivery_id, again=True)

    async def drop_delivery(self, delivery_id: int) -> None:
        """Takes a stuck delivery off the list.

        :raises NotFound: no stuck delivery has this id.
        """
        await self._settle(delivery_id, again=False)

    async def _settle(self, delivery_id: int, *, again: bool) -> None:
        now = self._clock.now()
        done = await self._database.write(
            lambda connection: outbox.settle(connection, delivery_id, again=again, now=now), patience=PATIENCE_SECONDS
        )
        if not done:
            raise NotFound(f"no delivery that needs a decision has the number {delivery_id}")
