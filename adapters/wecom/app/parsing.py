"""An app's callbacks as the core's messages. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from adapters.wecom.app.settings import SECTION
from adapters.wecom.cards import pressed
from bot.messages import ConversationRef, IncomingMessage, MessageKind, ReplyAction, Sender

PLATFORM = SECTION
COMMANDS = frozenset({"start", "help", "reset", "ticket", "stop"})

_USER = re.compile(r"[0-9a-z][0-9a-z_.@-]{0,63}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
_LATEST = 2**33
_KEY_CHARS = 500
_ATTACHMENTS = {"image": "photo", "voice": "voice", "video": "video", "location": "location", "file": "file"}


class Malformed(Exception):
    """Not what WeCom promises. The text says where, and not what stands there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A card's button that was pressed. It looks as before until it is told otherwise."""

    user: str
    response_code: str
    """Lets us change the card, once."""
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What one callback comes to."""

    message: IncomingMessage | None = None
    ignored: str = ""
    """Why there is no message."""
    press: Press | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a callback is read with."""

    corp_id: str
    agent_id: int
    collections: tuple[str, ...]

    @property
    def account(self) -> str:
        return f"{self.corp_id}/{self.agent_id}"


def user_id(text: str) -> str:
    """The user's id as WeCom compares it, in lower case; "" where this names nobody, or several ("@all", "a|b")."""
    lower = text.strip().lower()
    return lower if _USER.fullmatch(lower) else ""


def parse(fields: Mapping[str, Any], reading: Reading) -> Parsed:
    """:raises Malformed: it lacks what every callback has."""
    agent = _word(fields, "AgentID")
    if _word(fields, "ToUserName") != reading.corp_id or (agent and agent != str(reading.agent_id)):
        return Parsed(ignored="for another app")
    envelope = _Envelope(user=_user(fields), at=_time(fields), reading=reading)
    kind = _word(fields, "MsgType")
    if kind == "event":
        return _event(fields, envelope)
    return _message(fields, kind, envelope)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Envelope:
    """What every callback has."""

    user: str
    at: datetime
    reading: Reading

    def message(self, key: str, kind: MessageKind, **parts: Any) -> IncomingMessage:
        return IncomingMessage(
            keys=(key,),
            conversation=ConversationRef(platform=PLATFORM, account=self.reading.account, channel=self.user),
            sender=Sender(id=f"{PLATFORM}:{self.user}", name=self.user),
            kind=kind,
            sent_at=self.at,
            # Seconds are all that WeCom says of the order; inside one, arrival counts.
            sequence=int(self.at.timestamp()),
            collections=self.reading.collections,
            **parts,
        )


# -- Messages --


def _message(fields: Mapping[str, Any], kind: str, envelope: _Envelope) -> Parsed:
    number = _word(fields, "MsgId")
    if not _NUMBER.fullmatch(number):
        raise Malformed("MsgId")
    text, attachments = _words(fields, kind)
    if not text and not attachments:
        return Parsed(ignored=f"a message without words ({kind[:20]})")
    return Parsed(
        message=envelope.message(
            f"msg:{envelope.reading.agent_id}:{number}",
            MessageKind.TEXT,
            text=text,
            attachments=attachments,
            message_id=number,
        )
    )


def _words(fields: Mapping[str, Any], kind: str) -> tuple[str, tuple[str, ...]]:
    """(words, kinds of what can not be read)."""
    if kind == "text":
        return _word(fields, "Content").strip(), ()
    if kind == "link":
        # A page that was passed on: its title is what there is to read.
        return "\n".join(filter(None, (_word(fields, "Title").strip(), _word(fields, "Description").strip()))), ()
    return "", ((_ATTACHMENTS[kind],) if kind in _ATTACHMENTS else ())


# -- Events --


def _event(fields: Mapping[str, Any], envelope: _Envelope) -> Parsed:
    name = _word(fields, "Event").lower()
    entry = _word(fields, "EventKey")
    about = (entry, _word(fields, "TaskId"), _word(fields, "ResponseCode"))
    # FromUserName and CreateTime alone would make one of two presses in a second.
    seconds = int(envelope.at.timestamp())
    key = f"event:{envelope.user}:{seconds}:{name[:40]}:{_digest(about)}"
    match name:
        case "click":
            return _click(entry.strip()[:_KEY_CHARS], key, envelope)
        case "template_card_event":
            return _press(entry, _word(fields, "ResponseCode"), key, envelope)
        case "unsubscribe":
            return Parsed(message=envelope.message(key, MessageKind.GONE))
    return Parsed(ignored=f"an event that says nothing to us ({name[:40]})")


def _click(entry: str, key: str, envelope: _Envelope) -> Parsed:
    """The app's menu: a command, the wish for a person, a button of ours, or a question as the operator wrote it."""
    name = entry.lower().lstrip("/")
    if name in COMMANDS:
        return Parsed(message=envelope.message(key, MessageKind.COMMAND, command=name))
    if name == ReplyAction.TALK_TO_PERSON:
        return Parsed(message=envelope.message(key, MessageKind.ACTION, command=name))
    if meant := pressed(entry):
        return Parsed(message=envelope.message(key, MessageKind.ACTION, command=meant[0], text=meant[1]))
    if not entry:
        return Parsed(ignored="an entry of the menu without a key")
    return Parsed(message=envelope.message(key, MessageKind.TEXT, text=entry))


def _press(entry: str, response_code: str, key: str, envelope: _Envelope) -> Parsed:
    meant = pressed(entry)
    if meant is None:
        return Parsed(ignored="a button that is not ours")
    action, text = meant
    press = Press(user=envelope.user, response_code=response_code, action=action) if response_code else None
    return Parsed(message=envelope.message(key, MessageKind.ACTION, command=action, text=text), press=press)


# -- Fields --


def _word(fields: Mapping[str, Any], name: str) -> str:
    found = fields.get(name, "")
    if not isinstance(found, str):
        raise Malformed(name)
    return found


def _user(fields: Mapping[str, Any]) -> str:
    found = user_id(_word(fields, "FromUserName"))
    if not found:
        raise Malformed("FromUserName")
    return found


def _time(fields: Mapping[str, Any]) -> datetime:
    found = _word(fields, "CreateTime")
    if not _NUMBER.fullmatch(found) or int(found) > _LATEST:
        raise Malformed("CreateTime")
    return datetime.fromtimestamp(int(found), UTC)


def _digest(parts: tuple[str, ...]) -> str:
    """Keys hold nobody's words, and are short."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:20]
