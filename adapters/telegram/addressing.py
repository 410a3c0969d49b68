"""Who a message in a group speaks to, and what it says without our name in it. Offsets are UTF-16 code units."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.telegram.updates import Entity, Message

COMMANDS = frozenset({"start", "help", "reset", "ticket", "stop"})
"""What we answer in a group without being named; in a private chat every command is for us."""

_AFTER_NAME = re.compile(r"[ \t]*[,，:：、]?[ \t]*")
_COMMAND = re.compile(r"/(\w+)(?:@(\w+))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """The bot itself."""

    id: int
    username: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """What a message says and to whom."""

    to_us: bool
    """Named, replied to, or given one of our commands."""
    to_another: bool = False
    """A command for another bot."""
    command: str = ""
    """In lower case, without slash and name."""
    text: str
    """The words without our name; for a command, what follows it."""


def address(message: Message, me: Me) -> Address:
    """Reads entities only: an "@name" inside code or an address is no mention."""
    units = message.words.encode("utf-16-le")
    names = [(mark.offset, mark.offset + mark.length) for mark in message.marks if _is_me(mark, units, me)]
    to_us = bool(names) or replies_to(message, me)
    command = next((mark for mark in message.marks if mark.type == "bot_command"), None)
    if command is None or _without(units[: 2 * command.offset], names).strip():
        return Address(to_us=to_us, text=_without(units, names).strip())
    found = _COMMAND.fullmatch(_piece(units, command))
    if found is None:
        return Address(to_us=to_us, text=_without(units, names).strip())
    name, whose = found[1].lower(), (found[2] or "").lower()
    if whose and whose != me.username.lower():
        return Address(to_us=False, to_another=True, text="")
    end = command.offset + command.length
    rest = _without(units[2 * end :], [(start - end, stop - end) for start, stop in names if start >= end]).strip()
    return Address(to_us=to_us or bool(whose) or name in COMMANDS, command=name, text=rest)


def replies_to(message: Message, me: Me) -> bool:
    """Whether it is a reply to one of our messages."""
    answered = replied(message)
    return answered is not None and answered.sender is not None and answered.sender.id == me.id


def replied(message: Message) -> Message | None:
    """The message this one replies to. In a forum, every message formally replies to the topic's beginning."""
    answered = message.reply_to_message
    if answered is None or answered.forum_topic_created is not None:
        return None
    return None if message.is_topic_message and answered.message_id == message.message_thread_id else answered


def _is_me(mark: Entity, units: bytes, me: Me) -> bool:
    if mark.type == "text_mention":
        return mark.user is not None and mark.user.id == me.id
    return mark.type == "mention" and bool(me.username) and _piece(units, mark).lower() == f"@{me.username.lower()}"


def _piece(units: bytes, mark: Entity) -> str:
    return units[2 * mark.offset : 2 * (mark.offset + mark.length)].decode("utf-16-le", "replace")


def _without(units: bytes, ranges: Sequence[tuple[int, int]]) -> str:
    """The text without these ranges, nor the comma and the spaces that set a name apart from what follows."""
    kept: list[str] = []
    position = 0
    for start, stop in sorted(ranges):
        kept.append(units[2 * position : 2 * start].decode("utf-16-le", "replace"))
        position = max(position, stop)
        rest = units[2 * position :].decode("utf-16-le", "replace")
        after = _AFTER_NAME.match(rest)
        assert after is not None  # it matches the empty text
        # All that it takes is one unit a character.
        position += after.end() if not "".join(kept).strip() else len(rest) - len(rest.lstrip(" \t"))
    kept.append(units[2 * position :].decode("utf-16-le", "replace"))
    return "".join(kept)
