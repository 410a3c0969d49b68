"""Replies as messages to a customer on WeChat: words without markup, few messages, and a menu where it costs none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from adapters.rendering.cutting import cut, utf8_width
from adapters.rendering.layout import Dialect, lay_out
from adapters.rendering.safe_text import clean
from adapters.rendering.tree import Block, Heading, Span, parse, plain_text
from adapters.rendering.wecom import TEXT_LIMIT, byte_length, defused, shortened, split_bytes
from adapters.wecom import cards
from adapters.wecom import phrases as house
from adapters.wecom.kf import phrases
from adapters.wecom.kf.parsing import RATE
from bot.messages import Author, Language, Reply, ReplyAction
from bot.ports import Part

MOST_MESSAGES: Final = 3
"""Of one turn: two of the five that WeCom takes are left for a colleague's word and for what comes later."""
MOST_OF_AN_AGENT: Final = 5
"""A colleague's words are cut later: nobody else will say the rest."""
MENU_LIMIT = 1_024
"""Bytes of a menu's head. A longer message has no menu."""
_MENU_ID_BYTES = 128
_SOURCES_SHOWN = 3
_SOURCE_BYTES = 400
_NAME_BYTES = 90
_LEAST_ROOM = 512
"""Bytes of the words in the last message, should what stands under them be long."""
# WeChat's font is proportional: a table that is drawn with characters falls apart there.
_WORDS = Dialect(styled=False, table_width=0)
# After a link's words stands its address in brackets; WeChat takes what touches an address for a part of it.
_ADDRESS = re.compile(r"\A \((https?://\S+)\)\Z", re.IGNORECASE)
_BLANK_ENDS = re.compile(r"[ \t]+(?=\n|\Z)")
_LANGUAGE: Final[Language] = "zh"
"""WeCom does not say what a customer speaks, and one who enters has not spoken yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a menu: what tapping it sends back, and what stands there."""

    id: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One message."""

    text: str
    number: int = 0
    """Which message of the reply it is, from 0."""
    last: bool = True
    menu: tuple[Line, ...] = ()

    def body(self) -> Mapping[str, Any]:
        """As WeCom takes it."""
        if not self.menu:
            return {"msgtype": "text", "text": {"content": self.text}}
        lines = [{"type": "click", "click": {"id": line.id, "content": line.words}} for line in self.menu]
        return {"msgtype": "msgmenu", "msgmenu": {"head_content": self.text, "list": lines}}

    def without_menu(self) -> Words:
        return replace(self, menu=())


def render(reply: Reply) -> tuple[Part, ...]:
    """The reply as few messages of at most 2,048 bytes. What does not fit is left out, and the last one says so."""
    texts = _texts(reply)
    last = len(texts) - 1
    menu = _menu(reply) if byte_length(texts[-1]) <= MENU_LIMIT else ()
    return tuple(
        Part(
            text=text,
            payload=Words(text=text, number=number, last=number == last, menu=menu if number == last else ()),
        )
        for number, text in enumerate(texts)
    )


def welcome() -> Words:
    """The first words a customer sees, with the way to a person under them."""
    person = Line(id=f"{cards.KEY}:{ReplyAction.TALK_TO_PERSON.value}|", words=phrases.PERSON[_LANGUAGE])
    return Words(text=phrases.WELCOME[_LANGUAGE], menu=(person,))


def _texts(reply: Reply) -> tuple[str, ...]:
    body = _joined(_agent(reply), _plain(reply.text))
    below = _joined(_ticket(reply), _sources(reply))
    most = MOST_OF_AN_AGENT if reply.author is Author.AGENT else MOST_MESSAGES
    parts = split_bytes(_joined(body, below), TEXT_LIMIT)
    if len(parts) <= most:
        return parts or ("…",)
    notice = (phrases.SHORTENED_AGENT if reply.author is Author.AGENT else phrases.SHORTENED)[reply.language]
    return _shortened(body, _joined(notice, below), notice, most)


def _shortened(body: str, ending: str, notice: str, most: int) -> tuple[str, ...]:
    """As much of the body as goes before the ending."""
    room = TEXT_LIMIT - byte_length(ending) - 2
    if room < _LEAST_ROOM:
        ending = notice
        room = TEXT_LIMIT - byte_length(ending) - 2
    ranges = cut(body, TEXT_LIMIT, width=utf8_width)
    kept = [body[start:end] for start, end in ranges[: most - 1]]
    rest = body[ranges[most - 1][0] :] if len(ranges) >= most else ""
    final = next(iter(split_bytes(rest, room)), "")
    return (*kept, _joined(final, ending))


def _plain(markdown: str) -> str:
    """What it says without markup; a heading is told by its brackets, as Chinese text does it."""
    blocks = tuple(_titled(block) for block in parse(markdown))
    spans = [replace(span, text=_ADDRESS.sub(r" \1 ", span.text)) for span in lay_out(blocks, _WORDS)]
    return _BLANK_ENDS.sub("", defused(plain_text(spans))).strip()


def _titled(block: Block) -> Block:
    if not isinstance(block, Heading):
        return block
    return replace(block, spans=(Span(text="【"), *block.spans, Span(text="】")))


def _agent(reply: Reply) -> str:
    if reply.author is not Author.AGENT:
        return ""
    name = shortened(_line(reply.agent), _NAME_BYTES)
    return house.AGENT[reply.language].format(name=name) if name else house.UNNAMED_AGENT[reply.language]


def _ticket(reply: Reply) -> str:
    """Where the words name the ticket, as they mostly do, there is nothing to add: every byte is dear."""
    ticket = reply.ticket
    if ticket is None or ticket.number in reply.text or reply.author is Author.NOTICE:
        return ""
    state = house.TICKET_STATE[reply.language][ticket.state]
    return f"{house.TICKET[reply.language]} {ticket.number} · {state}\n{house.WHAT_NEXT[reply.language][ticket.state]}"


def _sources(reply: Reply) -> str:
    """A line each, the address at its end, where WeChat makes a link of it and of nothing else."""
    if reply.author is Author.NOTICE:
        return ""
    lines: dict[str, None] = {}
    for source in reply.sources:
        title = _line(source.title)
        url = "".join(clean(source.url).split())
        room = _SOURCE_BYTES - byte_length(url) - 1
        if url and room < 0:
            url, room = "", _SOURCE_BYTES
        if words := " ".join(part for part in (shortened(title, max(room, 3)) if title else "", url) if part):
            lines[words] = None
    shown = list(lines)[:_SOURCES_SHOWN]
    if not shown:
        return ""
    label = house.SOURCE[reply.language].rstrip()
    return f"{label} {shown[0]}".replace("： ", "：") if len(shown) == 1 else "\n".join((label, *shown))


def _menu(reply: Reply) -> tuple[Line, ...]:
    language, turn = reply.language, reply.turn_id
    if not turn:
        return ()
    lines: list[Line] = []
    if ReplyAction.FEEDBACK in reply.actions:
        lines.append(Line(id=f"{RATE}:up|{turn}", words=phrases.HELPFUL[language]))
        lines.append(Line(id=f"{RATE}:down|{turn}", words=phrases.NOT_HELPFUL[language]))
    offered = {ReplyAction.OPEN_TICKET: phrases.TICKET, ReplyAction.TALK_TO_PERSON: phrases.PERSON}
    for action, words in offered.items():
        if action in reply.actions:
            lines.append(Line(id=f"{cards.KEY}:{action.value}|", words=words[language]))
    # The turn's number is ours and short; should it ever not be, words without a menu are better than none.
    return tuple(lines) if all(len(line.id.encode()) <= _MENU_ID_BYTES for line in lines) else ()


def _line(text: str) -> str:
    return defused(" ".join(clean(text).split()))


def _joined(*pieces: str) -> str:
    return "\n\n".join(piece for piece in pieces if piece)
