"""The few methods of the Bot API that we use. Every failure is one of `adapters.telegram.wire`'s three."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from telegram import (
    Bot,
    BotCommand,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LinkPreviewOptions,
    MenuButtonCommands,
    MessageEntity,
)
from telegram.constants import ChatAction
from telegram.error import TelegramError

from adapters.rendering.telegram import Entity
from adapters.telegram.addressing import Me
from adapters.telegram.phrases import COMMANDS
from adapters.telegram.replies import Keyboard
from adapters.telegram.timing import Timing
from adapters.telegram.updates import ALLOWED_UPDATES
from adapters.telegram.wire import NoAnswer, NotReached, PollTransport, Refused, Transport
from bot.messages import Language

_T = TypeVar("_T")

# What an answer quotes may be anybody's page; Telegram would fetch it and show it large.
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)

WEBHOOK_CONNECTIONS = 40
BATCH = 100
"""The most updates one getUpdates gives."""


class Api:
    """One bot's access to its Bot API server."""

    def __init__(self, token: str, api_url: str, timing: Timing) -> None:
        self._poll_seconds = timing.poll
        tls = api_url.startswith("https:")
        self._polls = PollTransport(tls=tls, limit=timing.poll + timing.patience)
        self._bot = Bot(
            token,
            base_url=f"{api_url}/bot",
            request=Transport(tls=tls, limit=timing.answer),
            get_updates_request=self._polls,
        )

    async def close(self) -> None:
        """Ends every connection. The next call would fail."""
        await self._polls.shutdown()
        await self._bot.request.shutdown()

    # -- Receiving --

    async def me(self) -> Me:
        """Who we are; also the cheapest proof that the token works."""
        user = await _call(self._bot.get_me())
        return Me(id=user.id, username=user.username or "")

    async def updates(self, offset: int | None) -> list[Any]:
        """The next batch, as it came. Asking with a higher offset confirms everything below it for good."""
        await _call(
            self._bot.get_updates(
                offset=offset,
                limit=BATCH,
                timeout=int(self._poll_seconds),
                allowed_updates=list(ALLOWED_UPDATES),
            )
        )
        return self._polls.take()

    async def remove_webhook(self) -> None:
        """Polls are refused while a webhook is set. Updates that wait are kept."""
        await _call(self._bot.delete_webhook(drop_pending_updates=False))

    async def set_webhook(self, url: str, secret: str) -> None:
        await _call(
            self._bot.set_webhook(
                url,
                secret_token=secret,
                allowed_updates=list(ALLOWED_UPDATES),
                max_connections=WEBHOOK_CONNECTIONS,
                drop_pending_updates=False,
            )
        )

    async def webhook_url(self) -> str:
        """Where Telegram believes that we are; "" for nowhere."""
        return (await _call(self._bot.get_webhook_info())).url

    async def introduce(self) -> None:
        """The command menu: English for everybody, Chinese for Chinese clients."""
        hints: dict[Language, str | None] = {"en": None, "zh": "zh"}
        for language, hint in hints.items():
            commands = [BotCommand(name, description) for name, description in COMMANDS[language]]
            await _call(self._bot.set_my_commands(commands, language_code=hint))
        await _call(self._bot.set_chat_menu_button(menu_button=MenuButtonCommands()))

    # -- Sending --

    async def send(
        self, chat: int | str, thread: int | None, text: str, entities: Sequence[Entity], keyboard: Keyboard
    ) -> int:
        """Sends a message and returns its id."""
        message = await _call(
            self._bot.send_message(
                chat,
                text,
                entities=_entities(entities),
                message_thread_id=thread,
                link_preview_options=_NO_PREVIEW,
                reply_markup=_markup(keyboard),
            )
        )
        return message.message_id

    async def send_rich(self, chat: int | str, thread: int | None, markdown: str, keyboard: Keyboard) -> int:
        """Sends a rich message (Bot API 10.1); Refused with code 404 where the server does not know them."""
        fields: dict[str, Any] = {
            "chat_id": chat,
            "rich_message": {"markdown": markdown},
            "message_thread_id": thread,
            "reply_markup": _markup(keyboard),
        }
        sent = await _call(self._bot.do_api_request("sendRichMessage", api_kwargs=fields))
        try:
            return int(sent["message_id"])
        except (KeyError, TypeError, ValueError):
            raise NoAnswer("an answer without a message") from None

    async def edit(
        self, chat: int | str, message: int, text: str, entities: Sequence[Entity], keyboard: Keyboard
    ) -> None:
        """Writes new words into a message of ours; without a keyboard the old one goes."""
        await _call(
            self._bot.edit_message_text(
                text,
                chat_id=chat,
                message_id=message,
                entities=_entities(entities),
                link_preview_options=_NO_PREVIEW,
                reply_markup=_markup(keyboard),
            )
        )

    async def draft(self, chat: int, thread: int | None, draft: int, text: str, entities: Sequence[Entity]) -> None:
        """Shows a text that vanishes by itself, with a Stop button; an empty one shows "Thinking…"."""
        await _call(
            self._bot.send_message_draft(
                chat,
                draft,
                text,
                entities=_entities(entities),
                message_thread_id=thread,
                api_kwargs={"can_stop": True},
            )
        )

    async def typing(self, chat: int | str, thread: int | None) -> None:
        await _call(self._bot.send_chat_action(chat, ChatAction.TYPING, message_thread_id=thread))

    async def answer_press(self, press: str, text: str) -> None:
        """Ends the spinning of a pressed button, with a few words or without."""
        await _call(self._bot.answer_callback_query(press, text=text or None))


async def _call(request: Awaitable[_T]) -> _T:
    try:
        return await request
    except (NotReached, NoAnswer, Refused):
        raise
    except TelegramError as error:
        # The library's own: a request that it could not even begin.
        raise NotReached(type(error).__name__) from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # An answer with status 200 that is no Message, User, …: what was asked for has probably happened.
        raise NoAnswer(f"an answer of another shape ({type(error).__name__})") from None


def _entities(entities: Sequence[Entity]) -> list[MessageEntity] | None:
    return [
        MessageEntity(
            entity.type,
            entity.offset,
            entity.length,
            url=entity.url or None,
            language=entity.language or None,
        )
        for entity in entities
    ] or None


def _markup(keyboard: Keyboard) -> InlineKeyboardMarkup | None:
    if not keyboard:
        return None
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(button.text, callback_data=button.data) for button in row] for row in keyboard]
    )
