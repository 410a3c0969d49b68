"""Whether WeCom's duplicate check may be asked for.

`enable_duplicate_check` lets a message through once in an interval, so a send whose answer was lost can be repeated.
But WeCom compares what is said to whom, and not which delivery says it: the same answer to a question that is asked
again would never arrive, and nobody would be told. So a message is sent under the check only where no other delivery to
this person has said the same lately. What was sent lately stands in the database, and is right across restarts and
replicas; where it can not be read there is no check, and the worst is one copy too many.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pydantic
from sqlalchemy import Connection, select

from adapters.wecom.app.replies import Forms, render
from bot.errors import StoreUnavailable
from bot.history.codec import conversation_to_columns, reply_from_json
from bot.history.tables import conversations, deliveries
from bot.messages import ConversationRef, Reply
from bot.ports import Clock, Transactions

INTERVAL = 300
"""Seconds for which WeCom keeps a message from being repeated: a lost answer, a backoff and a restart fit into it."""
_MARGIN = 120
"""Seconds: a delivery's row is written before its message leaves."""
_LOOKED_AT = 50
_PATIENCE = 2.0


class Twins:
    """Looks for other deliveries that say the same."""

    def __init__(self, database: Transactions, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def may_check(self, conversation: ConversationRef, forms: Forms, *, delivery_id: int, reply: Reply) -> bool:
        """Whether the duplicate check can only meet this very message."""
        if forms.kind == "card":
            return True  # its name is its own
        if _count(reply, forms) != 1:
            return False  # two parts of one reply
        try:
            async with asyncio.timeout(_PATIENCE):
                return not await self._is_said_by_others(conversation, forms, delivery_id)
        except (StoreUnavailable, TimeoutError):
            return False

    async def _is_said_by_others(self, conversation: ConversationRef, forms: Forms, delivery_id: int) -> bool:
        since = self._clock.now() - timedelta(seconds=INTERVAL + _MARGIN)

        def read(connection: Connection) -> bool:
            where = [conversations.c[name] == value for name, value in conversation_to_columns(conversation).items()]
            rows = connection.execute(
                select(deliveries.c.reply)
                .where(deliveries.c.conversation_id == select(conversations.c.id).where(*where).scalar_subquery())
                .where(deliveries.c.id != delivery_id, deliveries.c.updated_at >= since)
                .order_by(deliveries.c.id.desc())
                .limit(_LOOKED_AT)
            )
            # Here and not on the event loop: rendering takes a while.
            return any(_count(reply, forms) for (data,) in rows if (reply := _reply(data)) is not None)

        return await self._database.read(read)


def _reply(data: object) -> Reply | None:
    try:
        return reply_from_json(data) if isinstance(data, dict) else None
    except pydantic.ValidationError:
        return None  # erased, or another version's


def _count(reply: Reply, forms: Forms) -> int:
    """How many messages of this reply say the same."""
    return sum(
        isinstance(part.payload, Forms) and forms.content in (part.payload.content, part.payload.plain)
        for part in render(reply)
    )
