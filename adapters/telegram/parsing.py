"""Updates of the Bot API as the core's messages. Pure: the time of arrival is handed in, nothing is remembered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import pydantic

from adapters.telegram.addressing import Address, Me, address, replied
from adapters.telegram.updates import (
    CallbackQuery,
    Chat,
    ChatMemberUpdated,
    Message,
    MessageGenerationStopped,
    Update,
    User,
)
from bot.messages import ConversationRef, Feedback, IncomingMessage, MessageKind, ReplyAction, Sender

PLATFORM = "telegram"

_ACTIONS = frozenset({ReplyAction.OPEN_TICKET.value, ReplyAction.TALK_TO_PERSON.value})
# What a person's row takes (bot.history.tables): a name of a chat may be longer than any person's.
_NAME_LIMIT = 128
_LANGUAGE_LIMIT = 35


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A pressed button. It spins at the presser's until it is answered, whatever else becomes of it."""

    id: str
    language: str
    """The presser's hint."""
    judged: bool = False
    """It was a thumb, and we took it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What one update comes to."""

    update_id: int | None = None
    """None where not even that can be read."""
    message: IncomingMessage | None = None
    ignored: str = ""
    """Why there is no message."""
    malformed: bool = False
    """It is not what the Bot API promises; `ignored` says where."""
    press: Press | None = None
    album: str = ""
    """The key of the album this is a part of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What an update is read with."""

    me: Me
    collections: tuple[str, ...]
    now: datetime
    """The time of arrival, for what comes without a time of its own."""


def parse_update(data: object, reading: Reading) -> Parsed:
    """Never raises: an update that can not be read is said to be malformed."""
    try:
        update = Update.model_validate(data)
    except pydantic.ValidationError as refused:
        first = refused.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        return Parsed(update_id=_update_id(data), malformed=True, ignored=f"{where}: {first['type']}")
    if update.message is not None:
        return _message(update.update_id, update.message, reading)
    if update.edited_message is not None:
        return _edit(update.update_id, update.edited_message, reading)
    if update.callback_query is not None:
        return _press(update.update_id, update.callback_query, reading)
    if update.my_chat_member is not None:
        return _membership(update.update_id, update.my_chat_member, reading)
    if update.stopped_message_generation is not None:
        return _stop(update.update_id, update.stopped_message_generation, reading)
    return Parsed(update_id=update.update_id, ignored="a kind of update that says nothing to us")


def _update_id(data: object) -> int | None:
    found = data.get("update_id") if isinstance(data, dict) else None
    return found if type(found) is int and abs(found) < 2**62 else None


# -- Messages --


def _message(update_id: int, message: Message, reading: Reading) -> Parsed:
    if message.migrate_to_chat_id is not None:
        return Parsed(update_id=update_id, message=_moved(update_id, message, message.migrate_to_chat_id, reading))
    said = address(message, reading.me)
    if reason := _not_for_us(message, said):
        return Parsed(update_id=update_id, ignored=reason)
    keys = [f"update:{update_id}", _message_key(message)]
    album = f"album:{message.chat.id}:{message.media_group_id}" if message.media_group_id else ""
    if album and not message.words:
        keys.append(album)  # the photos of an album without words are one message
    kind, command, text, quote = _meaning(message, said)
    return Parsed(
        update_id=update_id,
        album=album,
        message=IncomingMessage(
            keys=tuple(keys),
            conversation=_conversation(message.chat, message.thread, reading),
            sender=_sender(message),
            kind=kind,
            text=text,
            sent_at=datetime.fromtimestamp(message.date, UTC),
            sequence=message.message_id,
            message_id=str(message.message_id),
            command=command,
            quote=quote,
            attachments=message.attachments,
            collections=reading.collections,
            direct=message.chat.private,
        ),
    )


def _not_for_us(message: Message, said: Address) -> str:
    """Why nobody expects an answer from us; "" where somebody does."""
    if message.chat.type == "channel":
        return "a channel's post"
    if message.is_automatic_forward:
        return "a channel's post, forwarded into its discussion group"
    if message.sender is None and message.sender_chat is None:
        return "without a sender"
    if message.sender is not None and message.sender.is_bot and message.sender_chat is None:
        return "from a bot"
    if not message.words and not message.attachments:
        return "a service message"
    if said.to_another:
        return "a command for another bot"
    if message.chat.private:
        return ""
    if message.via_bot is not None:
        return "written by another bot"
    if not said.to_us:
        return "from an anonymous sender" if message.sender_chat is not None else "not addressed to us"
    return ""


def _meaning(message: Message, said: Address) -> tuple[MessageKind, str, str, str]:
    """(kind, command, text, quote)."""
    answered = replied(message)
    quote = message.quote.text if message.quote is not None else answered.words if answered is not None else ""
    if said.command:
        return MessageKind.COMMAND, said.command, said.text, quote
    if said.text or message.attachments:
        return MessageKind.TEXT, "", said.text, quote
    if quote:
        # Our name alone, under somebody's words: those are the question.
        return MessageKind.TEXT, "", quote, ""
    return MessageKind.COMMAND, "start", "", ""


def _edit(update_id: int, message: Message, reading: Reading) -> Parsed:
    said = address(message, reading.me)
    if reason := _not_for_us(message, said):
        return Parsed(update_id=update_id, ignored=reason)
    text = f"/{said.command} {said.text}".strip() if said.command else said.text
    if not text:
        return Parsed(update_id=update_id, ignored="an edit of something without words")
    return Parsed(
        update_id=update_id,
        message=IncomingMessage(
            keys=(f"update:{update_id}", _message_key(message)),
            conversation=_conversation(message.chat, message.thread, reading),
            sender=_sender(message),
            kind=MessageKind.EDIT,
            text=text,
            sent_at=datetime.fromtimestamp(message.date, UTC),
            sequence=message.message_id,
            message_id=str(message.message_id),
            attachments=message.attachments,
            collections=reading.collections,
            direct=message.chat.private,
        ),
    )


def _moved(update_id: int, message: Message, new_id: int, reading: Reading) -> IncomingMessage:
    return IncomingMessage(
        keys=(f"update:{update_id}", _message_key(message)),
        conversation=_conversation(message.chat, "", reading),
        sender=_sender(message),
        kind=MessageKind.MOVED,
        text=str(new_id),
        sent_at=datetime.fromtimestamp(message.date, UTC),
        collections=reading.collections,
        direct=False,
    )


def _message_key(message: Message) -> str:
    return f"message:{message.chat.id}:{message.message_id}:{message.edit_date or 0}"


# -- Everything else --


def _press(update_id: int, query: CallbackQuery, reading: Reading) -> Parsed:
    press = Press(id=query.id, language=query.sender.language_code)
    if query.message is None:
        return Parsed(update_id=update_id, press=press, ignored="a button under a message of no chat")
    namespace, _, rest = query.data.partition(":")
    name, _, turn = rest.partition(":")
    kind: Literal[MessageKind.FEEDBACK, MessageKind.ACTION]
    judgement: Feedback | None = None
    if namespace == "fb" and name in ("up", "down") and turn:
        kind = MessageKind.FEEDBACK
        judgement = Feedback(turn_id=turn, rating="up" if name == "up" else "down")
    elif namespace == "act" and name in _ACTIONS:
        kind = MessageKind.ACTION
    else:
        return Parsed(update_id=update_id, press=press, ignored="a button that is not ours")
    judged = judgement is not None
    return Parsed(
        update_id=update_id,
        press=Press(id=query.id, language=query.sender.language_code, judged=judged),
        message=IncomingMessage(
            keys=(f"update:{update_id}", f"press:{query.id}"),
            conversation=_conversation(query.message.chat, query.message.thread, reading),
            sender=_person(query.sender),
            kind=kind,
            # No text: an action's text is what the ticket is to be about, and a button knows nothing of that.
            command="" if judged else name,
            feedback=judgement,
            # A press has no time and no number. It comes after everything that stands above the button.
            sent_at=reading.now,
            sequence=query.message.message_id,
            collections=reading.collections,
            direct=query.message.chat.private,
        ),
    )


def _membership(update_id: int, change: ChatMemberUpdated, reading: Reading) -> Parsed:
    member = change.new_chat_member
    gone = member.status in ("kicked", "left") or (member.status == "restricted" and not member.is_member)
    if not gone:
        return Parsed(update_id=update_id, ignored="a change of our membership")
    return Parsed(
        update_id=update_id,
        message=IncomingMessage(
            keys=(f"update:{update_id}", f"member:{change.chat.id}:{change.date}:{member.status}"),
            conversation=_conversation(change.chat, "", reading),
            sender=_person(change.sender),
            kind=MessageKind.GONE,
            sent_at=datetime.fromtimestamp(change.date, UTC),
            collections=reading.collections,
            direct=change.chat.private,
        ),
    )


def _stop(update_id: int, stopped: MessageGenerationStopped, reading: Reading) -> Parsed:
    if not stopped.chat.private:
        return Parsed(update_id=update_id, ignored="drafts are shown in private chats only")
    thread = str(stopped.message_thread_id) if stopped.message_thread_id is not None else ""
    return Parsed(
        update_id=update_id,
        message=IncomingMessage(
            keys=(f"update:{update_id}", f"stop:{stopped.chat.id}:{stopped.draft_id}"),
            conversation=_conversation(stopped.chat, thread, reading),
            # Nobody is named; a private chat has the number of its person.
            sender=Sender(id=f"{PLATFORM}:{stopped.chat.id}"),
            kind=MessageKind.STOP,
            sent_at=reading.now,
            collections=reading.collections,
        ),
    )


def _conversation(chat: Chat, thread: str, reading: Reading) -> ConversationRef:
    return ConversationRef(platform=PLATFORM, account=str(reading.me.id), channel=str(chat.id), thread=thread)


def _sender(message: Message) -> Sender:
    if message.sender_chat is not None:
        # An anonymous administrator or a channel: the person behind it is nobody's business.
        name = message.author_signature or message.sender_chat.title
        return Sender(id=f"{PLATFORM}:{message.sender_chat.id}", name=name[:_NAME_LIMIT])
    if message.sender is None:
        return Sender(id=f"{PLATFORM}:{message.chat.id}", name=message.chat.title[:_NAME_LIMIT])
    return _person(message.sender)


def _person(user: User) -> Sender:
    name = f"{user.first_name} {user.last_name}".strip() or user.username
    return Sender(id=f"{PLATFORM}:{user.id}", name=name[:_NAME_LIMIT], language=user.language_code[:_LANGUAGE_LIMIT])
