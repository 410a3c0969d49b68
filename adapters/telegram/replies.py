"""Replies as Telegram messages: words, sources, the ticket's card and buttons."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from adapters.rendering import markdown as rich_markdown
from adapters.rendering import telegram as entity_text
from adapters.rendering.safe_text import clean
from adapters.rendering.tree import Heading, Table, parse
from adapters.telegram import phrases
from bot.messages import Author, Reply, ReplyAction, Source, Ticket
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
    source = _whole(reply)
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


def _whole(reply: Reply) -> str:
    """The reply as one Markdown text."""
    text = reply.text.strip()
    if len(_FENCE.findall(text)) % 2:
        text += "\n```"  # what follows is not part of the code
    if reply.author is Author.NOTICE:
        return text
    pieces = [_agent(reply), text, _card(reply.ticket, reply), _sources(reply)]
    return "\n\n".join(piece for piece in pieces if piece)


def _agent(reply: Reply) -> str:
    if reply.author is not Author.AGENT:
        return ""
    name = " ".join(clean(reply.agent).split())
    words = phrases.AGENT[reply.language].format(name=_literal(name)) if name else phrases.UNNAMED_AGENT[reply.language]
    return f"👤 **{words}**"


def _card(ticket: Ticket | None, reply: Reply) -> str:
    if ticket is None:
        return ""
    line = f"🎫 `{ticket.number}` · {phrases.TICKET_STATE[reply.language][ticket.state]}"
    if ticket.number in reply.text:
        return line  # the words above say what comes next
    return f"{line}\n{phrases.WHAT_NEXT[reply.language][ticket.state]}"


def _sources(reply: Reply) -> str:
    shown: dict[tuple[str, str], str] = {}
    for source in reply.sources:
        if words := _source(source):
            shown.setdefault((source.title, source.url), words)
    if not shown:
        return ""
    few = list(shown.values())[:_SOURCES_SHOWN]
    return phrases.SOURCE[reply.language] + phrases.BETWEEN_SOURCES[reply.language].join(few)


def _source(source: Source) -> str:
    title = " ".join(clean(source.title).split())
    if not source.url:
        return _literal(title)
    address = re.sub(r"[<>\s\\]", lambda found: f"%{ord(found[0]):02X}", source.url)
    return f"[{_literal(title or source.url)}](<{address}>)"


def _literal(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return _SPECIAL.sub(r"\\\g<0>", text)


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
