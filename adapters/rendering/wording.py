"""What stands around a reply's own words where a platform shows Markdown: who speaks, its ticket, its sources. Pure."""

from __future__ import annotations

import re

from adapters.rendering import phrases
from adapters.rendering.safe_text import clean
from bot.messages import Author, Reply, Source

_SOURCES_SHOWN = 3
_NAME_CHARS, _TITLE_CHARS, _URL_CHARS = 80, 150, 500
_SPECIAL = re.compile(r"[\\`*_~|\[\]<>#!&]")
_FENCE = re.compile(r"^[ ]{0,3}(?:```|~~~)", re.MULTILINE)


def whole(reply: Reply, *, ticket: str) -> str:
    """The reply as one Markdown text.

    :param ticket: what is said of its ticket, such as `ticket_line`; "" where that is shown otherwise.
    """
    text = reply.text.strip()
    if len(_FENCE.findall(text)) % 2:
        text += "\n```"  # what follows is not part of the code
    if reply.author is Author.NOTICE:
        return text
    pieces = [speaker(reply), text, ticket, sources(reply)]
    return "\n\n".join(piece for piece in pieces if piece)


def speaker(reply: Reply) -> str:
    """Who of the company speaks; "" where it is the bot."""
    if reply.author is not Author.AGENT:
        return ""
    name = " ".join(clean(reply.agent).split())[:_NAME_CHARS]
    words = phrases.AGENT[reply.language].format(name=literal(name)) if name else phrases.UNNAMED_AGENT[reply.language]
    return f"👤 **{words}**"


def ticket_line(reply: Reply) -> str:
    """How the reply's ticket stands, and what comes next where its own words do not say so; "" without a ticket."""
    if reply.ticket is None:
        return ""
    line = f"🎫 `{reply.ticket.number}` · {phrases.TICKET_STATE[reply.language][reply.ticket.state]}"
    if reply.ticket.number in reply.text:
        return line
    return f"{line}\n{phrases.WHAT_NEXT[reply.language][reply.ticket.state]}"


def sources(reply: Reply) -> str:
    """Where the answer is from, a few of them."""
    shown: dict[tuple[str, str], str] = {}
    for source in reply.sources:
        if words := _source(source):
            shown.setdefault((source.title, source.url), words)
    if not shown:
        return ""
    few = list(shown.values())[:_SOURCES_SHOWN]
    return phrases.SOURCE[reply.language] + phrases.BETWEEN_SOURCES[reply.language].join(few)


def literal(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def _source(source: Source) -> str:
    title = " ".join(clean(source.title).split())[:_TITLE_CHARS]
    if not source.url or len(source.url) > _URL_CHARS:
        return literal(title)
    address = re.sub(r"[<>\s\\]", lambda found: f"%{ord(found[0]):02X}", source.url)
    return f"[{literal(title or source.url)}](<{address}>)"
