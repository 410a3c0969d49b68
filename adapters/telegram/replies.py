"""Replies as Telegram messages: words, sources, the ticket's card and buttons."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from adapters.rendering import markdown as rich_markdown
from adapters.rendering import telegram as entity_text
from adapters.rendering.tree import Heading, Table, parse
from adapters.rendering.wording import ticket_line, whole
from adapters.telegram import phrases
from bot.messages import Reply, ReplyAction
from bot.ports import Part

CALLBACK_LIMIT = 64
"""Bytes of a button's data."""
_SOURCES_SHOWN = 3

_SPECIAL = re.compile(r"[\\`*_~|\[\]<>#!&]")
_FENCE = re.compile(r"^[ ]{0,3}(?:```|~~~)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """An inline button. `data` comes back with the press."""

    text: str
    data: str


Keyboard: TypeAlias = tuple[tuple[Button, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """One message in every form we can send it in, best first."""

    rich: str = ""
    """Markdown for a rich message; "" where entities say all there is to say."""
    text: str
    entities: tuple[entity_text.Entity, ...] = ()
    plain: str
    """With the links' addresses written out."""
    keyboard: Keyboard = ()


def render(reply: Reply) -> tuple[Part, ...]:
    """The reply as messages of at most 4,096 UTF-16 units; buttons hang on the last."""
    source = whole(reply, ticket=ticket_line(reply))
    messages = entity_text.render(source) or (entity_text.Part(text="…", entities=(), plain="…"),)
    last = len(messages) - 1
    # A rich message shows tables and headings as such, but clients of before 2026 may not know it: only where needed,
    # and only where the fallback is one message as well, so that a part stays one message in every form.
    rich = rich_markdown.render(source) if last == 0 and _needs_rich(source) else ()
    keyboard = _keyboard(reply)
    return tuple(
        Part(
            text=message.plain,
            payload=Forms(
                rich=rich[0] if len(rich) == 1 else "",
                text=message.text,
                entities=message.entities,
                plain=message.plain,
                keyboard=keyboard if number == last else (),
            ),
        )
        for number, message in enumerate(messages)
    )


def snapshot(text: str) -> Forms | None:
    """The end of an unfinished answer, as much of it as one message holds; None where there is nothing to show."""
    messages = entity_text.render(text)
    if not messages:
        return None
    return Forms(text=messages[-1].text, entities=messages[-1].entities, plain=messages[-1].plain)


def _needs_rich(source: str) -> bool:
    return any(isinstance(block, Table | Heading) for block in parse(source))


def _keyboard(reply: Reply) -> Keyboard:
    language, turn = reply.language, reply.turn_id
    rows: list[tuple[Button, ...]] = []
    if ReplyAction.FEEDBACK in reply.actions and turn:
        up = Button(text=phrases.HELPFUL[language], data=f"fb:up:{turn}")
        down = Button(text=phrases.NOT_HELPFUL[language], data=f"fb:down:{turn}")
        rows.append((up, down))
    asked = {ReplyAction.OPEN_TICKET: phrases.OPEN_TICKET, ReplyAction.TALK_TO_PERSON: phrases.TALK_TO_PERSON}
    row = [
        Button(text=words[language], data=f"act:{action.value}:{turn}")
        for action, words in asked.items()
        if action in reply.actions
    ]
    if row:
        rows.append(tuple(row))
    # The turn's number is ours and short; should it ever not be, an answer without buttons is better than none.
    fits = all(len(button.data.encode()) <= CALLBACK_LIMIT for made in rows for button in made)
    return tuple(rows) if fits else ()
