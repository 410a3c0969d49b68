"""A platform gives a channel another name: a Telegram group becomes a supergroup."""

from __future__ import annotations

from sqlalchemy import Connection, select, tuple_, update

from bot.history.tables import conversations, deliveries, history, inbound, participants, tickets, turns
from bot.messages import ConversationRef


def move(connection: Connection, old: ConversationRef, new_channel: str) -> None:
    """The platform renamed a channel: its conversations keep their history under the new name."""
    there = (
        conversations.c.platform == old.platform,
        conversations.c.account == old.account,
        conversations.c.channel == old.channel,
    )
    for row in connection.execute(select(conversations.c.id, conversations.c.thread).where(*there)).all():
        taken = connection.execute(
            select(conversations.c.id).where(
                tuple_(
                    conversations.c.platform, conversations.c.account, conversations.c.channel, conversations.c.thread
                )
                == (old.platform, old.account, new_channel, row.thread)
            )
        ).scalar()
        if taken is None:
            connection.execute(update(conversations).where(conversations.c.id == row.id), {"channel": new_channel})
        else:
            _merge(connection, row.id, taken)


def _merge(connection: Connection, old: int, new: int) -> None:
    """The new name has a conversation already (its first message overtook the news): it takes over everything."""
    for table in (inbound, turns, history, deliveries, tickets):
        connection.execute(update(table).where(table.c.conversation_id == old), {"conversation_id": new})
    there = select(participants.c.person_id).where(participants.c.conversation_id == new)
    stays = participants.c.person_id.in_(there)
    connection.execute(participants.delete().where(participants.c.conversation_id == old, stays))
    connection.execute(update(participants).where(participants.c.conversation_id == old), {"conversation_id": new})
    connection.execute(conversations.delete().where(conversations.c.id == old))
