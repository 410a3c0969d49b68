"""What WeCom tells an AI bot, as values. Pure: no clock, no I/O. Both transports say the same in the same JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qs, urlsplit

from adapters.rendering.safe_text import clean
from adapters.wecom import cards
from bot.messages import ConversationRef, Feedback, IncomingMessage, MessageKind, Sender

PLATFORM = "wecom_bot"
UP, DOWN = 1, 2
_LONGEST_ID = 128
_LONGEST_COMMENT = 500
_EARLIEST, _LATEST = 1_500_000_000, 4_000_000_000
_COMMAND = re.compile(r"/(start|help|reset|ticket|stop)(?:\s+(.*))?", re.ASCII | re.IGNORECASE | re.DOTALL)
# People's clients put a thin space behind a name they complete.
_FIRST_NAME = re.compile(r"^@[^\s\u2005]+[\s\u2005]*")
_UNREADABLE = {"image": "photo", "file": "file", "video": "video"}
# As the bot's page lists them to whoever puts a thumb down.
_REASONS = {1: "与问题无关", 2: "内容不完整", 3: "内容有错误", 4: "数据分析错误"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What parsing has to know."""

    bot_id: str
    name: str
    """The bot's name in groups; "" for none with a space in it."""
    collections: tuple[str, ...]
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Somebody wrote to the bot."""

    message: IncomingMessage
    response_url: str = field(default="", repr=False)
    """Where this one message can be answered later, once; "" over the long connection. As good as a password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed:
    """A button of a card of ours."""

    message: IncomingMessage
    task_id: str
    action: cards.Action
    number: str
    """The ticket's, where the button names one."""
    response_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A thumb up or down."""

    answer: str
    """The id that we gave the answer."""
    rating: Literal["up", "down"]
    comment: str = field(repr=False)
    message: IncomingMessage
    """As it is, without the turn that was judged: only our own notes know it."""

    def of_turn(self, turn: str, conversation: ConversationRef) -> IncomingMessage:
        """The judgement of this turn, in the conversation that it was an answer in."""
        return IncomingMessage(
            keys=self.message.keys,
            conversation=conversation,
            sender=self.message.sender,
            kind=MessageKind.FEEDBACK,
            sent_at=self.message.sent_at,
            feedback=Feedback(turn_id=turn, rating=self.rating, comment=self.comment),
            collections=self.message.collections,
            direct=self.message.direct,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """Somebody opened the chat with the bot, for the first time today."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """WeCom asks how far an answer is (callbacks only)."""

    stream: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kicked:
    """Another connection has taken our place (long connection only)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """Nothing that anybody expects an answer to."""

    reason: str


Parsed: TypeAlias = Said | Pressed | Judged | Entered | Refreshed | Kicked | Ignored


def parse(body: Mapping[str, Any], reading: Reading) -> Parsed:
    """What it means. Whatever stands in it, nothing is raised."""
    kind = body.get("msgtype")
    if kind == "event":
        return _event(body, reading)
    if kind == "stream":
        stream = _id(_object(body.get("stream")).get("id"))
        return Refreshed(stream=stream) if stream else Ignored(reason="a refresh without an id")
    if not isinstance(kind, str):
        return Ignored(reason="without a kind")
    return _said(kind, body, reading)


def response_code(url: str, api_url: str) -> str:
    """The code in an address that an answer may be sent to; "" where it is not WeCom's own."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if not url.startswith(f"{api_url}/cgi-bin/aibot/response?"):
        return ""
    codes = parse_qs(parts.query).get("response_code", [])
    return codes[0] if len(codes) == 1 and len(codes[0]) <= 1000 and codes[0].isprintable() else ""


# -- Messages --


def _said(kind: str, body: Mapping[str, Any], reading: Reading) -> Parsed:
    place = _place(body, reading)
    msgid = _id(body.get("msgid"))
    if place is None or not msgid:
        return Ignored(reason="without a sender, a place or an id")
    text, attachments = _content(kind, body.get(kind))
    quote, _ = _quoted(body.get("quote"))
    if not place.direct:
        text = _without_name(text, reading.name)
    if not text and not attachments:
        if kind not in ("text", "mixed") or not (quote or not place.direct):
            return Ignored(reason="nothing that can be read or answered")
        # The bot's name alone, under somebody's words: those are the question. Alone altogether: a greeting.
        text, quote = quote, ""
    command, text = _command(text) if text else ("" if attachments else "start", "")
    message = IncomingMessage(
        keys=(_key(reading, msgid),),
        conversation=place.conversation,
        sender=place.sender,
        kind=MessageKind.COMMAND if command else MessageKind.TEXT,
        command=command,
        text=text,
        sent_at=_time(body, reading),
        message_id=msgid,
        quote=quote,
        attachments=attachments,
        collections=reading.collections,
        direct=place.direct,
    )
    return Said(message=message, response_url=_text(body.get("response_url")))


def _content(kind: str, value: object) -> tuple[str, tuple[str, ...]]:
    """(words, kinds of what can not be read)."""
    found = _object(value)
    if kind in ("text", "voice"):  # WeCom has written down what was said
        return _words(found.get("content")), ()
    if kind in _UNREADABLE:
        return "", (_UNREADABLE[kind],)
    if kind == "mixed":
        items = found.get("msg_item")
        parts = [_content_of_item(item) for item in (items if isinstance(items, list) else [])[:50]]
        text = "\n".join(words for words, _ in parts if words)
        return text, tuple(kind for _, kinds in parts for kind in kinds)
    return "", ()


def _content_of_item(item: object) -> tuple[str, tuple[str, ...]]:
    kind = _object(item).get("msgtype")
    # A mixed message has no mixed ones in it: what says so could be nested without end.
    return _content(kind, _object(item).get(kind)) if isinstance(kind, str) and kind != "mixed" else ("", ())


def _quoted(value: object) -> tuple[str, tuple[str, ...]]:
    kind = _object(value).get("msgtype")
    return _content(kind, _object(value).get(kind)) if isinstance(kind, str) else ("", ())


def _without_name(text: str, name: str) -> str:
    """What was written to the bot, without the "@name" that made WeCom pass it on."""
    if name:
        return " ".join(text.replace(f"@{name}", " ").split(" ")).strip()
    return _FIRST_NAME.sub("", text, count=1).strip()


def _command(text: str) -> tuple[str, str]:
    found = _COMMAND.fullmatch(text.strip())
    return (found[1].lower(), (found[2] or "").strip()) if found else ("", text)


# -- Events --


def _event(body: Mapping[str, Any], reading: Reading) -> Parsed:
    event = _object(body.get("event"))
    kind = event.get("eventtype")
    if kind == "disconnected_event":
        return Kicked()
    if kind == "enter_chat":
        return Entered()
    place = _place(body, reading)
    if place is None:
        return Ignored(reason="an event of nobody")
    if kind == "template_card_event":
        return _pressed(body, _object(event.get("template_card_event")), place, reading)
    if kind == "feedback_event":
        return _judged(body, _object(event.get("feedback_event")), place, reading)
    return Ignored(reason="an event that is not for us")


def _pressed(body: Mapping[str, Any], card: Mapping[str, Any], place: _Place, reading: Reading) -> Parsed:
    task, meaning = _text(card.get("task_id")), cards.pressed(_text(card.get("event_key")))
    if meaning is None or not cards.is_task_id(task):
        return Ignored(reason="a button that is not ours")
    action, number = meaning
    message = IncomingMessage(
        keys=(_event_key(body, place, reading, f"card:{task}:{action}"),),
        conversation=place.conversation,
        sender=place.sender,
        kind=MessageKind.ACTION,
        command=action,
        text=number,
        sent_at=_time(body, reading),
        collections=reading.collections,
        direct=place.direct,
    )
    url = _text(body.get("response_url"))
    return Pressed(message=message, task_id=task, action=action, number=number, response_url=url)


def _judged(body: Mapping[str, Any], judged: Mapping[str, Any], place: _Place, reading: Reading) -> Parsed:
    answer, kind = _id(judged.get("id")), judged.get("type")
    if not answer or kind not in (UP, DOWN):
        return Ignored(reason="a judgement that was taken back")
    reasons = judged.get("inaccurate_reason_list")
    found = [_REASONS[one] for one in (reasons if isinstance(reasons, list) else []) if _is_reason(one)]
    words = _words(judged.get("content"))
    message = IncomingMessage(
        keys=(_event_key(body, place, reading, f"feedback:{answer}:{kind}"),),
        conversation=place.conversation,
        sender=place.sender,
        kind=MessageKind.FEEDBACK,
        sent_at=_time(body, reading),
        collections=reading.collections,
        direct=place.direct,
    )
    comment = "；".join([*dict.fromkeys(found), *([words] if words else [])])[:_LONGEST_COMMENT]
    return Judged(answer=answer, rating="up" if kind == UP else "down", comment=comment, message=message)


def _is_reason(value: object) -> bool:
    return isinstance(value, int) and value in _REASONS


# -- Who and where --


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    conversation: ConversationRef
    sender: Sender
    direct: bool


def _place(body: Mapping[str, Any], reading: Reading) -> _Place | None:
    """In a group, everybody has a dialogue of their own; None where nobody or nothing is named."""
    # WeCom writes ids of people in any case and takes them in any.
    user = _id(_object(body.get("from")).get("userid")).lower()
    direct = body.get("chattype") != "group"
    chat = user if direct else _id(body.get("chatid"))
    if not user or not chat or body.get("aibotid") not in (None, reading.bot_id):
        return None
    conversation = ConversationRef(
        platform=PLATFORM, account=reading.bot_id, channel=chat, thread="" if direct else user
    )
    return _Place(conversation=conversation, sender=Sender(id=f"{PLATFORM}:{user}", name=user), direct=direct)


def _key(reading: Reading, msgid: str) -> str:
    return f"msg:{reading.bot_id}:{msgid}"


def _event_key(body: Mapping[str, Any], place: _Place, reading: Reading, what: str) -> str:
    """Of the id that WeCom gives an event, or of what it is where it gives none."""
    msgid = _id(body.get("msgid"))
    stamp = int(_time(body, reading).timestamp())
    return _key(reading, msgid) if msgid else f"event:{place.sender.id}:{stamp}:{what}"[:300]


def _time(body: Mapping[str, Any], reading: Reading) -> datetime:
    stamp = body.get("create_time")
    if isinstance(stamp, int) and not isinstance(stamp, bool) and _EARLIEST < stamp < _LATEST:
        return datetime.fromtimestamp(stamp, UTC)
    return reading.now


# -- Fields --


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _words(value: object) -> str:
    """What people wrote, without what no reader sees and no database takes."""
    return clean(_text(value)).strip()


def _id(value: object) -> str:
    """An id that can stand in a key and in a mention; "" for anything else."""
    text = _text(value)
    return text if 0 < len(text) <= _LONGEST_ID and text.isprintable() and not set(text) & set("<> ") else ""
