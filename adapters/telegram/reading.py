"""Batches of updates, with the little that has to be remembered between them.

Memory only saves needless answers: after a restart an album cut in two may get one polite word too many, and an
"edit" that changed no word (a reaction, a link preview) reaches the core, for which it is an edit to the same words.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from adapters.telegram.addressing import Me
from adapters.telegram.parsing import Parsed, Press, Reading, parse_update
from bot.messages import IncomingMessage, MessageKind
from bot.telemetry import get_logger

_REMEMBERED = 4096

_K = TypeVar("_K")
_V = TypeVar("_V")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a number of updates come to."""

    messages: tuple[IncomingMessage, ...]
    presses: tuple[Press, ...] = ()
    last_update_id: int | None = None
    """The highest seen; None where none could be read."""
    albums: tuple[str, ...] = ()
    """Albums whose words are among `messages`."""


class Reader:
    """Reads updates for one bot. `me` is set as soon as Telegram has said who we are."""

    def __init__(self, *, collections: tuple[str, ...], now: Callable[[], datetime]) -> None:
        self.me: Me | None = None
        self._collections = collections
        self._now = now
        self._albums: OrderedDict[str, None] = OrderedDict()
        self._words: OrderedDict[tuple[str, str], int] = OrderedDict()

    def read(self, updates: Sequence[object]) -> Batch:
        """Leaves out what needs no answer, and what can not be read with one line in the log."""
        assert self.me is not None, "who we are decides what is addressed to us"
        reading = Reading(me=self.me, collections=self._collections, now=self._now())
        parsed = [parse_update(update, reading) for update in updates]
        for one in parsed:
            if one.malformed:
                log.warning("telegram.update_malformed", update=one.update_id, where=one.ignored)
            elif one.ignored:
                log.debug("telegram.update_ignored", update=one.update_id, reason=one.ignored)
        ids = [one.update_id for one in parsed if one.update_id is not None]
        captioned = {one.album for one in parsed if one.album and one.message is not None and one.message.text}
        return Batch(
            messages=self._kept(parsed, captioned),
            presses=tuple(one.press for one in parsed if one.press is not None),
            last_update_id=max(ids, default=None),
            albums=tuple(captioned),
        )

    def remember(self, batch: Batch) -> None:
        """To be called when the batch is stored, and not before: a batch that was not stored comes again."""
        for album in batch.albums:
            _put(self._albums, album, None)
        for message in batch.messages:
            if message.kind in (MessageKind.TEXT, MessageKind.EDIT):
                _put(self._words, (message.conversation.channel, message.message_id), hash(message.text))

    def _kept(self, parsed: Sequence[Parsed], captioned: set[str]) -> tuple[IncomingMessage, ...]:
        kept: list[IncomingMessage] = []
        wordless: set[str] = set()
        for one in parsed:
            message = one.message
            if message is None or (message.kind is MessageKind.EDIT and self._unchanged(message)):
                continue
            if one.album and not message.text:
                # An album comes as several messages; the one with words stands for all, else the first does.
                if one.album in captioned or one.album in self._albums or one.album in wordless:
                    continue
                wordless.add(one.album)
            kept.append(message)
        return tuple(kept)

    def _unchanged(self, message: IncomingMessage) -> bool:
        known = self._words.get((message.conversation.channel, message.message_id))
        return known == hash(message.text)


def _put(memory: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
