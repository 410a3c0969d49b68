"""Replies as messages of an app: words in one or several, and a card that can be pressed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from adapters.rendering import wecom as dialects
from adapters.rendering.wording import ticket_line, whole
from adapters.wecom import phrases
from adapters.wecom.cards import card_for
from bot.messages import Author, Reply
from bot.ports import Part

Kind: TypeAlias = Literal["text", "markdown", "card"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """One message."""

    kind: Kind
    content: str = ""
    """Of text and markdown, at most 2,048 bytes. A card is made when it is sent: it needs a name of its own."""
    plain: str
    """The same in mere words: what to send where WeCom takes no card, or not this Markdown."""


def render(reply: Reply) -> tuple[Part, ...]:
    """The words, in Markdown where that shows more than text does (WeChat's plug-in shows text only), then the card."""
    card = _has_card(reply)
    source = whole(reply, ticket="" if card else ticket_line(reply)) or "…"
    if dialects.is_plain(source):
        forms = [Forms(kind="text", content=words, plain=words) for words in dialects.plain(source)]
    else:
        forms = [Forms(kind="markdown", content=words, plain=_plain(words)) for words in dialects.app_markdown(source)]
    if not forms:
        forms = [Forms(kind="text", content="…", plain="…")]
    if card:
        forms.append(Forms(kind="card", plain=_card_in_words(reply)))
    return tuple(Part(text=form.plain, payload=form) for form in forms)


def words_only(text: str) -> Forms:
    """Words that nothing hangs on, as one message: the beginning of them, should they be too many."""
    content = dialects.shortened(dialects.defused(text), dialects.TEXT_LIMIT).strip() or "…"
    return Forms(kind="text", content=content, plain=content)


def _has_card(reply: Reply) -> bool:
    return reply.author is not Author.NOTICE and card_for(reply, task_id="kefu") is not None


def _plain(words: str) -> str:
    return dialects.shortened("\n\n".join(dialects.plain(words)), dialects.TEXT_LIMIT) or "…"


def _card_in_words(reply: Reply) -> str:
    words = ticket_line(reply) or phrases.OFFER_IN_WORDS[reply.language]
    return _plain(words)
