"""Events of Slack as the core's messages. Pure: what else has to be known is handed in, nothing is remembered.

What is for us: every message in a direct conversation; elsewhere what mentions us, and replies in threads that we take
part in unless they mention somebody else only. One post comes as two events (`app_mention` and `message`); both carry
the key of the message, so that they are one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pydantic

from adapters.slack.payloads import Event, EventCall, Message, sequence_of, time_of
from adapters.slack.reading import COMMANDS, NOWHERE, Place, Reading, conversation, foreign, place_of, where
from adapters.slack.texts import Said, read
from bot.messages import IncomingMessage, MessageKind

_ANSWERED = frozenset({"", "file_share", "thread_broadcast"})
"""Subtypes of messages that people write."""
_COMMAND = re.compile(r"/([a-z]+)(?:\s+|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What one event comes to."""

    message: IncomingMessage | None = None
    ignored: str = ""
    """Why there is no message."""
    malformed: bool = False
    """It is not what Slack promises; `ignored` says where."""
    place: Place = NOWHERE
    user: str = ""
    """Slack's id of the person."""
    home: str = ""
    """Their workspace, where it is another than the one we are installed in."""
    if_engaged: bool = False
    """It counts only if we take part in its thread."""
    uninstalled: str = ""
    """Why the account's token is worth nothing any more."""
    home_opened: str = ""
    """The tab of App Home that the person has opened."""
    channel: str = ""
    overheard: bool = False
    """People of other companies can read what is answered there."""


def parse_event(data: object, reading: Reading) -> Parsed:
    """Never raises: a payload that can not be read is said to be malformed."""
    kind = _kind(data)
    if kind not in _READERS:
        return Parsed(ignored="a kind of event that says nothing to us")
    try:
        call = EventCall.model_validate(data)
    except pydantic.ValidationError as refused:
        return Parsed(malformed=True, ignored=where(refused))
    return _READERS[kind](call, place_of(call, reading), reading)


def _kind(data: object) -> str:
    event = data.get("event") if isinstance(data, dict) else None
    kind = event.get("type") if isinstance(event, dict) else None
    return kind if isinstance(kind, str) else ""


# -- Messages --


def _message(call: EventCall, place: Place, reading: Reading) -> Parsed:
    event = call.event
    if event.subtype == "message_changed":
        return _edit(call, place, reading)
    if reason := _nobody_asks(event, place) or ("without a place" if not event.channel or not event.ts else ""):
        return Parsed(ignored=reason, place=place)
    said = _said(event, place, reading)
    direct = _direct(event)
    mentioned = said.to_us or event.type == "app_mention"
    if not direct and not mentioned:
        if not event.thread_ts or event.thread_ts == event.ts:
            return Parsed(ignored="not addressed to us", place=place)
        if said.to_others:
            return Parsed(ignored="addressed to somebody else", place=place)
    quote = read(event.quote, me="", name_of=lambda user: reading.name_of(place.account, user)).text
    kind, command, text, quote = _meaning(said.text, quote, event)
    message = IncomingMessage(
        keys=_keys(call, _message_key(place, event.channel, event.ts)),
        conversation=conversation(place, event.channel, event.thread_ts or event.ts),
        sender=reading.sender(place.account, event.user, _profile_name(event)),
        kind=kind,
        text=text,
        sent_at=time_of(event.ts),
        sequence=sequence_of(event.ts),
        message_id=event.ts,
        command=command,
        quote=quote,
        attachments=_attachments(event),
        collections=reading.collections,
        direct=direct,
    )
    return Parsed(
        message=message,
        place=place,
        user=event.user,
        home=foreign(event.home, place),
        if_engaged=not direct and not mentioned,
        overheard=bool(call.is_ext_shared_channel),
    )


def _nobody_asks(message: Message, place: Place) -> str:
    """Why nobody expects an answer; "" where somebody does."""
    if message.subtype not in _ANSWERED:
        return "no message of a person"
    if message.bot_id or message.user == "USLACKBOT":
        return "from a bot"
    if not message.user:
        return "without a sender"
    if message.user == place.me:
        return "our own"
    if not message.text and not message.files and message.subtype != "file_share" and not message.quote:
        return "without words"
    return ""


def _meaning(text: str, quote: str, event: Message) -> tuple[MessageKind, str, str, str]:
    """(kind, command, text, quote)."""
    if (found := _COMMAND.match(text)) and found[1].lower() in COMMANDS:
        return MessageKind.COMMAND, found[1].lower(), text[found.end() :].strip(), quote
    if text or _attachments(event):
        return MessageKind.TEXT, "", text, quote
    if quote:
        # Our name alone, over somebody's words: those are the question.
        return MessageKind.TEXT, "", quote, ""
    return MessageKind.COMMAND, "start", "", ""


def _edit(call: EventCall, place: Place, reading: Reading) -> Parsed:
    """Only a person's new words: Slack also says "changed" of link previews, of reply counts and of our own updates."""
    event, changed, before = call.event, call.event.message, call.event.previous_message
    if changed is None or not event.channel or not changed.ts:
        return Parsed(malformed=True, ignored="event.message: missing", place=place)
    if reason := _nobody_asks(changed, place):
        return Parsed(ignored=reason, place=place)
    if changed.edited is None or changed.edited.user != changed.user or not changed.edited.ts:
        return Parsed(ignored="a change by nobody", place=place)
    if before is not None and before.text == changed.text:
        return Parsed(ignored="a change of no word", place=place)
    said = _said(changed, place, reading)
    if not said.text:
        return Parsed(ignored="an edit that leaves no words", place=place)
    message = IncomingMessage(
        keys=_keys(call, f"edit:{event.channel}:{changed.ts}:{changed.edited.ts}"),
        conversation=conversation(place, event.channel, changed.thread_ts or changed.ts),
        sender=reading.sender(place.account, changed.user, _profile_name(changed)),
        kind=MessageKind.EDIT,
        text=said.text,
        sent_at=time_of(changed.ts),
        sequence=sequence_of(changed.ts),
        message_id=changed.ts,
        attachments=_attachments(changed),
        collections=reading.collections,
        direct=_direct(event),
    )
    # Storing any message makes us part of its thread; an edit of words that were not for us must not.
    return Parsed(
        message=message,
        place=place,
        user=changed.user,
        home=foreign(changed.home, place),
        if_engaged=not message.direct,
    )


def _said(message: Message, place: Place, reading: Reading) -> Said:
    return read(message.text, me=place.me, name_of=lambda user: reading.name_of(place.account, user))


def _attachments(message: Message) -> tuple[str, ...]:
    """A file that Slack keeps back (another company's) is a file all the same."""
    return message.kinds or (("file",) if message.subtype == "file_share" else ())


def _profile_name(message: Message) -> str:
    profile = message.user_profile
    return (profile.display_name or profile.real_name) if profile is not None else ""


def _direct(event: Event) -> bool:
    return event.channel_type in ("im", "app_home") or (not event.channel_type and event.channel.startswith("D"))


# -- Everything else --


def _stopped(call: EventCall, place: Place, reading: Reading) -> Parsed:
    event = call.event
    if not event.user or not event.channel or not event.thread_ts:
        return Parsed(malformed=True, ignored="event.thread_ts: missing", place=place)
    stamp = event.event_ts or event.thread_ts
    message = IncomingMessage(
        keys=_keys(call, f"stop:{event.channel}:{event.thread_ts}:{stamp}"),
        conversation=conversation(place, event.channel, event.thread_ts),
        sender=reading.sender(place.account, event.user),
        kind=MessageKind.STOP,
        sent_at=time_of(stamp),
        sequence=sequence_of(stamp),
        collections=reading.collections,
        direct=event.channel.startswith("D"),
    )
    return Parsed(message=message, place=place, user=event.user)


def _left(call: EventCall, place: Place, reading: Reading) -> Parsed:
    return _of_channel(call, place, reading, MessageKind.GONE, call.event.channel)


def _renamed(call: EventCall, place: Place, reading: Reading) -> Parsed:
    event = call.event
    if not event.new_channel_id:
        return Parsed(malformed=True, ignored="event.new_channel_id: missing", place=place)
    return _of_channel(call, place, reading, MessageKind.MOVED, event.old_channel_id, event.new_channel_id)


def _of_channel(
    call: EventCall, place: Place, reading: Reading, kind: MessageKind, channel: str, text: str = ""
) -> Parsed:
    event = call.event
    somebody = event.user or place.me
    if not channel or not somebody:
        return Parsed(ignored="without a channel or anybody who did it", place=place)
    stamp = event.event_ts
    message = IncomingMessage(
        keys=_keys(call, f"channel:{event.type}:{channel}:{stamp}"),
        conversation=conversation(place, channel, ""),
        sender=reading.sender(place.account, somebody),
        kind=kind,
        text=text,
        sent_at=time_of(stamp) if stamp else reading.now,
        sequence=sequence_of(stamp) if stamp else reading.arrival,
        collections=reading.collections,
        direct=False,
    )
    return Parsed(message=message, place=place, user=somebody)


def _home(call: EventCall, place: Place, reading: Reading) -> Parsed:
    event = call.event
    if not event.user:
        return Parsed(malformed=True, ignored="event.user: missing", place=place)
    return Parsed(
        place=place,
        user=event.user,
        home_opened=event.tab or "home",
        channel=event.channel,
        ignored="somebody looks at our page",
    )


def _uninstalled(call: EventCall, place: Place, reading: Reading) -> Parsed:
    return Parsed(place=place, uninstalled="app_uninstalled", ignored="our installation is gone")


def _revoked(call: EventCall, place: Place, reading: Reading) -> Parsed:
    if not (call.event.tokens or {}).get("bot"):
        return Parsed(place=place, ignored="tokens of people, of which we hold none")
    return Parsed(place=place, uninstalled="tokens_revoked", ignored="our token was revoked")


_READERS: dict[str, Callable[[EventCall, Place, Reading], Parsed]] = {
    "message": _message,
    "app_mention": _message,
    "agent_session_stopped": _stopped,
    "channel_left": _left,
    "group_left": _left,
    "channel_archive": _left,
    "group_archive": _left,
    "channel_deleted": _left,
    "channel_id_changed": _renamed,
    "app_home_opened": _home,
    "app_uninstalled": _uninstalled,
    "tokens_revoked": _revoked,
}


# -- Names --


def _message_key(place: Place, channel: str, ts: str) -> str:
    return f"msg:{place.account}:{channel}:{ts}"


def _keys(call: EventCall, own: str) -> tuple[str, ...]:
    return (f"event:{call.event_id}", own) if call.event_id else (own,)
