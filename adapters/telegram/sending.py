"""Showing an answer while it grows, and sending it for good."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from telegram.error import TelegramError

from adapters.telegram import failures
from adapters.telegram.api import Api
from adapters.telegram.pacing import Pacer
from adapters.telegram.replies import Forms, snapshot
from adapters.telegram.standing import Standing
from adapters.telegram.wire import Refused
from bot.errors import NotSent, SendError
from bot.messages import ConversationRef
from bot.telemetry import get_logger

DRAFT_INTERVAL = 0.4
"""Seconds between two drafts; Telegram animates from one to the next."""
EDIT_INTERVAL = 3.0
"""Seconds between two edits in a group: 20 a minute is the limit there."""
TYPING_INTERVAL = 4.0
"""Seconds; "typing…" lasts five."""

log = get_logger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A conversation as the Bot API addresses it."""

    chat: int | str
    thread: int | None
    group: bool

    @property
    def key(self) -> str:
        return str(self.chat)


PLACEHOLDER = Forms(text="…", plain="…")
"""Says that somebody is at work, and is what the answer is written into."""


def is_group(conversation: ConversationRef) -> bool:
    """Whether more people than one read there."""
    return _place(conversation).group


def _place(conversation: ConversationRef) -> _Place:
    channel = conversation.channel
    chat: int | str = int(channel) if channel.removeprefix("-").isdecimal() else channel
    thread = int(conversation.thread) if conversation.thread.isdecimal() else None
    # Groups have negative ids; an "@name", as operators may write it, is never a person.
    return _Place(chat=chat, thread=thread, group=isinstance(chat, str) or chat < 0)


class Sender:
    """Everything that goes out. Raises what `bot.errors` sorts and nothing else."""

    def __init__(self, api: Api, pacer: Pacer, standing: Standing) -> None:
        self._api = api
        self._pacer = pacer
        self._standing = standing
        # A server of before the method answers 404, and stays that old: asking once in a process's life is enough.
        self._knows_rich = True
        self._knows_drafts = True

    # -- Showing --

    def show_interval(self, conversation: ConversationRef) -> float:
        if _place(conversation).group:
            return EDIT_INTERVAL
        return DRAFT_INTERVAL if self._knows_drafts else TYPING_INTERVAL

    async def show(self, conversation: ConversationRef, text: str, *, shown: str | None, turn_id: str) -> str | None:
        """As `bot.ports.Channel.show`. A snapshot that would have to wait is left out: the next one says more."""
        self._standing.require()
        place = _place(conversation)
        forms = snapshot(text)
        if isinstance(place.chat, int) and not place.group and self._knows_drafts:
            await self._draft(place.chat, place, forms, turn_id)
            return None
        if forms is None and place.group and shown is None:
            forms = PLACEHOLDER
        if forms is None or not place.group:
            if self._pacer.take_spare(place.key, group=place.group, counts=False):
                await self._tried(place, self._api.typing(place.chat, place.thread))
            return shown
        if not self._pacer.take_spare(place.key, group=True, counts=True):
            return shown
        if shown is None:
            first = self._api.send(place.chat, place.thread, forms.text, forms.entities, ())
            return str(await self._tried(place, first))
        try:
            await self._api.edit(place.chat, int(shown), forms.text, forms.entities, ())
        except TelegramError as error:
            if not (isinstance(error, Refused) and failures.is_unchanged(error)):
                raise self._as_send_error(place, error) from None
        return shown

    async def _draft(self, chat: int, place: _Place, forms: Forms | None, turn_id: str) -> None:
        if not self._pacer.take_spare(place.key, group=False, counts=False):
            return
        text, entities = (forms.text, forms.entities) if forms is not None else ("", ())
        try:
            await self._api.draft(chat, place.thread, draft_id(turn_id), text, entities)
        except TelegramError as error:
            if isinstance(error, Refused) and failures.is_unknown_method(error):
                self._knows_drafts = False
                log.info("telegram.drafts_unknown_to_server")
                raise NotSent("this Bot API server has no drafts") from None
            raise self._as_send_error(place, error) from None

    async def _tried(self, place: _Place, request: Awaitable[_T]) -> _T:
        try:
            return await request
        except TelegramError as error:
            raise self._as_send_error(place, error) from None

    # -- Sending --

    def take_slot(self, conversation: ConversationRef) -> bool:
        """As `bot.ports.Channel.take_slot`."""
        place = _place(conversation)
        return self._pacer.take_slot(place.key, group=place.group)

    async def wait_for_slot(self, conversation: ConversationRef) -> None:
        """As `bot.ports.Channel.wait_for_slot`."""
        self._standing.require()
        place = _place(conversation)
        await self._pacer.wait_for_slot(place.key, group=place.group)

    async def send(self, conversation: ConversationRef, forms: Forms, *, replaces: str | None) -> str:
        """As `bot.ports.Channel.send`: the form that shows most, and a lesser one where Telegram refuses it."""
        self._standing.require()
        place = _place(conversation)
        try:
            if replaces is not None and replaces.isdecimal() and await self._edited(place, forms, int(replaces)):
                return replaces
            try:
                return str(await self._sent(place, forms))
            except Refused as refused:
                if place.thread is None or not failures.is_thread_gone(refused):
                    raise
                # The topic was closed or deleted while we worked: better in the open than not at all.
                return str(await self._sent(_Place(chat=place.chat, thread=None, group=place.group), forms))
        except TelegramError as error:
            raise self._as_send_error(place, error) from None

    async def _edited(self, place: _Place, forms: Forms, message: int) -> bool:
        """Whether the words now stand in that message; False where it is gone."""
        for form in _ladder(forms):
            try:
                await self._api.edit(place.chat, message, form.text, form.entities, form.keyboard)
            except Refused as refused:
                if failures.is_unchanged(refused):
                    return True
                if failures.is_message_gone(refused):
                    return False
                _step_down(refused, form)
            else:
                return True
        raise AssertionError("the last rung of the ladder raises")

    async def _sent(self, place: _Place, forms: Forms) -> int:
        if forms.rich and self._knows_rich:
            try:
                return await self._api.send_rich(place.chat, place.thread, forms.rich, forms.keyboard)
            except Refused as refused:
                if failures.is_unknown_method(refused):
                    self._knows_rich = False
                    log.info("telegram.rich_messages_unknown_to_server")
                else:
                    _step_down(refused, None)
        for form in _ladder(forms):
            try:
                return await self._api.send(place.chat, place.thread, form.text, form.entities, form.keyboard)
            except Refused as refused:
                _step_down(refused, form)
        raise AssertionError("the last rung of the ladder raises")

    def _as_send_error(self, place: _Place, error: TelegramError) -> SendError:
        if isinstance(error, Refused):
            if error.code == 429:
                self._pacer.park(place.key, group=place.group, seconds=error.retry_after or 1.0)
            if error.code in (401, 404):
                self._standing.refuse()
        return failures.as_send_error(error)


def draft_id(turn_id: str) -> int:
    """A turn's drafts have one number, so that each grows out of the one before. Not zero, and 31 bits at most."""
    return zlib.crc32(turn_id.encode()) % (2**31 - 1) + 1


def _ladder(forms: Forms) -> Iterator[Forms]:
    """With entities, as plain words, and without the buttons too: each only where it differs from the one before."""
    yield forms
    if forms.entities:
        yield Forms(text=forms.plain, plain=forms.plain, keyboard=forms.keyboard)
    if forms.keyboard:
        yield Forms(text=forms.plain, plain=forms.plain)


def _step_down(refused: Refused, form: Forms | None) -> None:
    """Returns where a lesser form may pass.

    :raises Refused: it would fare no better, or there is none.
    """
    last = form is not None and not form.entities and not form.keyboard
    if last or not failures.is_about_content(refused):
        raise refused
    log.warning("telegram.form_refused", reason=refused.description)
