"""Replies as a terminal and as programs read them. Pure."""

from __future__ import annotations

import unicodedata
from typing import Any

from adapters.rendering import plain
from adapters.rendering.safe_text import clean
from bot.messages import Author, Reply

_LABELS = {
    "zh": {"sources": "来源", "ticket": "工单", "agent": "客服"},
    "en": {"sources": "Sources", "ticket": "Ticket", "agent": "Agent"},
}


def reply_json(reply: Reply, *, id: str | int, latency_ms: float) -> dict[str, Any]:  # noqa: A002 - the contract's word
    """The contract's object of `--once --json` and `--batch --json`."""
    return {
        "id": id,
        "response": reply.text,
        "confidence": round(reply.confidence, 4),
        "outcome": reply.outcome.value,
        "sources": [
            {"id": source.id, "title": source.title, "url": source.url, "score": round(source.score, 4)}
            for source in reply.sources
        ],
        "ticket": reply.ticket.number if reply.ticket else None,
        "latency_ms": round(latency_ms, 1),
    }


def words(markdown: str, *, width: int = 78) -> str:
    """Markdown as plain text; nothing in it can move the cursor or colour the screen."""
    return plain.render(markdown, width=width)


def whole(reply: Reply, *, width: int = 78) -> str:
    """Everything a reader is shown of a reply: the words, then where they come from and the ticket."""
    said = words(reply.text, width=width)
    if reply.author is Author.AGENT:
        said = f"[{clean(reply.agent) or _LABELS[reply.language]['agent']}] {said}"
    return "\n".join((said, *footer(reply)))


def footer(reply: Reply) -> tuple[str, ...]:
    """The lines under the words."""
    labels = _LABELS[reply.language]
    lines = []
    if reply.ticket is not None and reply.ticket.number not in reply.text:
        lines.append(f"{labels['ticket']}: {reply.ticket.number}")
    if reply.sources:
        lines.append(f"{labels['sources']}:")
        for number, source in enumerate(reply.sources, start=1):
            address = f"  {clean(source.url)}" if source.url else ""
            lines.append(f"  [{number}] {clean(source.title or source.id)}{address}")
    return tuple(lines)


def rows(text: str, columns: int) -> int:
    """How many rows `text` takes on a terminal of that many columns; Chinese characters are two wide."""
    return sum(max(1, -(-_width(line) // max(columns, 1))) for line in text.split("\n"))


def _width(line: str) -> int:
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in line
    )
