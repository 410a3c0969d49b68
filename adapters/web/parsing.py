"""Bytes of a request to values, or a refusal with its status. Pure: no clock, no I/O, no randomness."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot.messages import ConversationRef, IncomingMessage, MessageKind, ReplyAction, Sender

PLATFORM = "web"
MAX_VALUE_CHARS = 200
_SESSION = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)
_MESSAGE_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,4}", re.ASCII)
_COMMAND = re.compile(r"/(start|help|reset|ticket)(?:\s+(.*))?", re.ASCII | re.IGNORECASE | re.DOTALL)
_ACTIONS = frozenset({ReplyAction.OPEN_TICKET.value, ReplyAction.TALK_TO_PERSON.value})
_LARGEST_ID = 2**63 - 1
# What JSON can blow one character of text up to: two \uXXXX escapes for a character outside the basic plane.
_BYTES_PER_CHAR = 12
_BYTES_BESIDE_TEXT = 4096


class Refused(Exception):
    """A request that is not served.

    `status` is the HTTP status, `code` a stable word for programs, the text one sentence for developers. It never
    repeats a value of the request, because a session's id is a secret.
    """

    def __init__(self, status: int, code: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """POST /api/v1/chat."""

    session: str = field(repr=False)
    text: str = field(repr=False)
    id: str = ""
    """The client's own name of the message: sending it again is the same message. "" for none."""
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed:
    """POST /api/v1/chat/action."""

    session: str = field(repr=False)
    action: str
    value: str = field(default="", repr=False)
    id: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """POST /api/v1/chat/events."""

    session: str = field(repr=False)
    after: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """POST /api/v1/chat/history and /api/v1/chat/stop: a session and nothing else."""

    session: str = field(repr=False)


def largest_body(*, max_message_chars: int, max_body_bytes: int) -> int:
    """Bytes after which a body can not hold a message of allowed length, so that nothing bigger is ever parsed."""
    return min(max_body_bytes, max_message_chars * _BYTES_PER_CHAR + _BYTES_BESIDE_TEXT)


def check_content_type(header: str) -> None:
    """:raises Refused: 415 unless the header says JSON in UTF-8.

    JSON alone keeps foreign pages out: a browser sends this type across origins only after a preflight.
    """
    kind, _, parameters = header.partition(";")
    if kind.strip().lower() != "application/json":
        raise Refused(415, "content_type", "The Content-Type must be application/json.")
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in ("utf-8", "utf8"):
            raise Refused(415, "content_type", "The charset must be utf-8.")


def parse_said(body: bytes, *, max_chars: int) -> Said:
    """:raises Refused: 400 or 413, naming the field."""
    data = _object(body)
    text = _text(data, "text", max_chars=max_chars)
    if not text.strip():
        raise Refused(400, "empty", "`text` must not be empty.")
    return Said(session=_session(data), text=text, id=_message_id(data), language=_language(data))


def parse_pressed(body: bytes) -> Pressed:
    """:raises Refused: 400 or 413, naming the field."""
    data = _object(body)
    action = _string(data, "action")
    if action not in _ACTIONS:
        raise Refused(400, "invalid", f"`action` must be one of: {', '.join(sorted(_ACTIONS))}.")
    value = _text(data, "value", max_chars=MAX_VALUE_CHARS) if "value" in data else ""
    return Pressed(session=_session(data), action=action, value=value, id=_message_id(data), language=_language(data))


def parse_watched(body: bytes) -> Watched:
    """:raises Refused: 400, naming the field."""
    data = _object(body)
    after = data.get("after", 0)
    # bool is an int in Python; `true` is no delivery.
    if not isinstance(after, int) or isinstance(after, bool) or not 0 <= after <= _LARGEST_ID:
        raise Refused(400, "invalid", "`after` must be a delivery id: a whole number from 0.")
    return Watched(session=_session(data), after=after)


def parse_looked(body: bytes) -> Looked:
    """:raises Refused: 400, naming the field."""
    return Looked(session=_session(_object(body)))


def conversation_of(session: str) -> ConversationRef:
    """Where the session's replies go."""
    return ConversationRef(platform=PLATFORM, account="", channel=session)


def message_of(
    request: Said | Pressed | Looked, *, name: str, at: datetime, language: str, collections: tuple[str, ...]
) -> IncomingMessage:
    """The core's value for a request.

    `name` stands in where the client gave no id; it must then be unique. `language` is the browser's own hint, used
    where the request has none.
    """
    kind, text, command = _what(request)
    client_id = "" if isinstance(request, Looked) else request.id
    hint = language if isinstance(request, Looked) else request.language or language
    return IncomingMessage(
        keys=(_key(request.session, client_id or name),),
        conversation=conversation_of(request.session),
        sender=Sender(id=f"{PLATFORM}:{request.session}", language=hint),
        kind=kind,
        text=text,
        command=command,
        sent_at=at,
        message_id=client_id or name,
        collections=collections,
    )


def browser_language(accept_language: str) -> str:
    """The first tag of an Accept-Language header, "" where it can not be read."""
    tag = accept_language.split(",", 1)[0].split(";", 1)[0].strip()
    return tag if _LANGUAGE.fullmatch(tag) else ""


def _what(request: Said | Pressed | Looked) -> tuple[MessageKind, str, str]:
    if isinstance(request, Looked):
        return MessageKind.STOP, "", ""
    if isinstance(request, Pressed):
        return MessageKind.ACTION, request.value, request.action
    command = _COMMAND.fullmatch(request.text.strip())
    if command:
        return MessageKind.COMMAND, (command[2] or "").strip(), command[1].lower()
    return MessageKind.TEXT, request.text, ""


def _key(session: str, message: str) -> str:
    """A dedupe key that no other session can collide with and that gives the session away to no one who reads it."""
    # A space is in neither alphabet, so no two pairs make the same words.
    return f"{PLATFORM}:{hashlib.blake2b(f'{session} {message}'.encode(), digest_size=16).hexdigest()}"


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        data = json.loads(body.decode("utf-8-sig"))
    # ValueError also for bytes that are no UTF-8 and for numbers of thousands of digits.
    except (ValueError, RecursionError) as error:
        raise Refused(400, "json", "The body must be JSON in UTF-8.") from error
    if not isinstance(data, dict):
        raise Refused(400, "json", "The body must be a JSON object.")
    return data


def _string(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str):
        missing = name not in data
        raise Refused(400, "missing" if missing else "invalid", f"`{name}` must be a string.")
    return value


def _session(data: Mapping[str, Any]) -> str:
    value = _string(data, "session")
    if not _SESSION.fullmatch(value):
        raise Refused(400, "invalid", "`session` must have 16 to 64 characters of A-Z, a-z, 0-9, _ and -.")
    return value


def _message_id(data: Mapping[str, Any]) -> str:
    if data.get("id") in (None, ""):
        return ""
    value = _string(data, "id")
    if not _MESSAGE_ID.fullmatch(value):
        raise Refused(400, "invalid", "`id` must have 1 to 64 characters of A-Z, a-z, 0-9, _, ., : and -.")
    return value


def _language(data: Mapping[str, Any]) -> str:
    if data.get("language") in (None, ""):
        return ""
    value = _string(data, "language")
    if not _LANGUAGE.fullmatch(value):
        raise Refused(400, "invalid", "`language` must be a language tag such as zh-CN.")
    return value


def _text(data: Mapping[str, Any], name: str, *, max_chars: int) -> str:
    value = _string(data, name)
    if len(value) > max_chars:
        raise Refused(413, "too_long", f"`{name}` may have at most {max_chars} characters.")
    # JSON can carry NUL and halves of surrogate pairs; neither survives a database or UTF-8.
    clean = value.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    return clean.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
