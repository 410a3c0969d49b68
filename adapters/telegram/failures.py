"""What Telegram's refusals mean. Its words are matched in lower case and in parts: they change between versions."""

from __future__ import annotations

from telegram.error import TelegramError

from adapters.telegram.wire import NoAnswer, NotReached, Refused
from bot.errors import (
    ChannelMoved,
    CredentialsRefused,
    DestinationGone,
    NotSent,
    PerhapsSent,
    SendError,
    Undeliverable,
)

_NOT_MODIFIED = ("message is not modified",)
_NO_SUCH_MESSAGE = ("message to edit not found", "message can't be edited", "message_id_invalid", "message identifier")
_NO_SUCH_THREAD = (
    "thread not found",
    "topic_closed",
    "topic_deleted",
    "topic_id_invalid",
    "topic is closed",
    "topic not found",
)
_NOBODY_THERE = (
    "chat not found",
    "peer_id_invalid",
    "user_deactivated",
    "user is deactivated",
    "group chat was deactivated",
    "chat was deleted",
    "not enough rights",
    "have no rights",
    "chat_write_forbidden",
    "chat_restricted",
    "user_is_blocked",
    "bot_blocked",
    "need administrator rights",
)


def is_unchanged(refused: Refused) -> bool:
    """The message already reads so."""
    return refused.code == 400 and _says(refused, _NOT_MODIFIED)


def is_message_gone(refused: Refused) -> bool:
    """There is no message to write into."""
    return refused.code == 400 and _says(refused, _NO_SUCH_MESSAGE)


def is_thread_gone(refused: Refused) -> bool:
    """The forum topic was closed or deleted; the chat itself may be open."""
    return refused.code == 400 and _says(refused, _NO_SUCH_THREAD)


def is_unknown_method(refused: Refused) -> bool:
    """A server of before the method. The same 404 answers a malformed token, but that never gets this far."""
    return refused.code == 404


def is_about_content(refused: Refused) -> bool:
    """The same words may pass in another form."""
    return (
        refused.code in (400, 413)
        and refused.moved_to is None
        and not _says(refused, _NOBODY_THERE)
        and not is_thread_gone(refused)
    )


def as_send_error(error: TelegramError) -> SendError:
    """The core's word for it."""
    if isinstance(error, NotReached):
        return NotSent(f"Telegram can not be reached ({error.message})")
    if not isinstance(error, Refused):
        return PerhapsSent("Telegram did not answer" if isinstance(error, NoAnswer) else "Telegram's answer is unclear")
    if error.moved_to is not None:
        return ChannelMoved(str(error.moved_to))
    if error.code == 429:
        return NotSent("Telegram asks for patience", retry_after=error.retry_after)
    if error.code in (401, 404):
        return CredentialsRefused("Telegram refuses the token")
    if error.code == 403 or (error.code == 400 and _says(error, _NOBODY_THERE)):
        return DestinationGone(error.description)
    if error.code >= 500 or error.code == 408:
        # Without a body it comes from something in between, and what became of the request behind that, nobody knows.
        return NotSent(f"Telegram fails ({error.code})") if error.description else PerhapsSent(f"HTTP {error.code}")
    if error.code in (400, 413):
        return Undeliverable(error.description)
    return NotSent(f"HTTP {error.code}")


def _says(refused: Refused, words: tuple[str, ...]) -> bool:
    return any(word in refused.description for word in words)
