"""What was said in a turn, sorted: words, a command, a pressed button, things that can not be read. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.dialogue.rules import command_of, is_reset
from bot.dialogue.text import bare, clean
from bot.messages import IncomingMessage, MessageKind, Turn

MAX_TEXTS = 5
"""Messages of one turn that are answered one by one; the first of a longer pile are read together."""

_SILENT = frozenset({MessageKind.FEEDBACK, MessageKind.GONE, MessageKind.MOVED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A turn, sorted. Of several commands or buttons the last one counts."""

    before_reset: tuple[IncomingMessage, ...] = ()
    reset: bool = False
    """The person starts over; everything below was said after that."""
    command: tuple[str, str] | None = None
    """(name, rest)"""
    action: tuple[str, str] | None = None
    """(name, value) of a pressed button."""
    texts: tuple[str, ...] = ()
    """The words, a message each, clean, none empty, none twice."""
    quote: str = ""
    """The words that the last message replies to."""
    attachments: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


def hear(turn: Turn) -> Heard:
    """Sorts a turn's messages."""
    messages = [message for message in turn.messages if message.kind not in _SILENT]
    resets = [at for at, message in enumerate(messages) if is_reset(message)]
    start = resets[-1] + 1 if resets else 0
    command = action = None
    texts: dict[str, str] = {}
    for message in messages[start:]:
        if message.kind is MessageKind.ACTION:
            action = (message.command, clean(message.text))
        elif named := command_of(message):
            command = (named[0], clean(named[1]))
        elif text := clean(message.text):
            texts.setdefault(bare(text) or text, text)
    return Heard(
        before_reset=tuple(messages[: resets[-1]]) if resets else (),
        reset=bool(resets),
        command=command,
        action=action,
        texts=_few(list(texts.values())),
        quote=clean(messages[-1].quote) if messages else "",
        attachments=tuple(kind for message in messages[start:] for kind in message.attachments),
    )


def _few(texts: Sequence[str]) -> tuple[str, ...]:
    surplus = len(texts) - MAX_TEXTS
    return tuple(texts) if surplus <= 0 else ("\n".join(texts[: surplus + 1]), *texts[surplus + 1 :])


def words_of(messages: Sequence[IncomingMessage]) -> str:
    """The messages as a person of the company should read them: words, and what came along in brackets."""
    lines = []
    for message in messages:
        if message.kind in _SILENT or message.kind in (MessageKind.ACTION, MessageKind.STOP):
            continue
        named = command_of(message)
        text = named[1] if named else message.text
        lines.append(" ".join([clean(text), *(f"[{kind}]" for kind in message.attachments)]).strip())
    return "\n".join(line for line in lines if line)
