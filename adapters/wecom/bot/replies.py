"""Replies as an AI bot's messages: Markdown of 20,480 bytes at most, and a card below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.rendering.wecom import AI_LIMIT, ai_markdown
from adapters.rendering.wording import whole
from adapters.wecom import cards, phrases
from adapters.wecom.bot import phrases as own
from bot.messages import Author, ConversationRef, Language, Reply, Ticket
from bot.ports import Part

BODY_LIMIT = AI_LIMIT - 900
"""Bytes of the words; the rest is for whom they are for, and for what we say ourselves below them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """One message."""

    markdown: str = ""
    """"" for a card alone."""
    card: bool = False
    """Whether the reply's card hangs on it."""
    number: int = 0
    """Which message of the reply it is, from 0."""


def render(reply: Reply, *, card_apart: bool) -> tuple[Part, ...]:
    """The reply as messages.

    :param card_apart: the card is a message of its own (long connection); else it hangs on the last one with words.
    """
    bodies = ai_markdown(whole(reply, ticket=_ticket(reply.ticket, reply)), limit=BODY_LIMIT) or ("…",)
    card = _shows_card(reply)
    last = len(bodies) - 1
    parts = [
        Part(
            text=body,
            payload=Forms(markdown=body, card=card is not None and not card_apart and number == last, number=number),
        )
        for number, body in enumerate(bodies)
    ]
    if card is not None and card_apart:
        parts.append(Part(text=_title(card), payload=Forms(card=True, number=len(bodies))))
    return tuple(parts)


def snapshot(text: str) -> str:
    """The beginning of an unfinished answer, as much of it as a message holds; "" for nothing."""
    return next(iter(ai_markdown(text, limit=BODY_LIMIT)), "")


def addressed(conversation: ConversationRef, markdown: str) -> str:
    """With the name of whom it is for, where others read along. Only we write such a name: what stands in the words
    themselves notifies nobody."""
    return f"<@{conversation.thread}> {markdown}" if conversation.thread and markdown else markdown


def ending(shown: str, words: str) -> str:
    """What has been shown of an answer that goes no further, and why."""
    return f"{shown}\n\n{words}" if shown else words


def card_of(reply: Reply, delivery_id: int) -> Mapping[str, Any] | None:
    """The reply's card, under a name that is its own for good: numbers of deliveries begin anew with a database."""
    return cards.card_for(reply, task_id=_task(reply, delivery_id))


def card_done(task_id: str, number: str, language: Language = phrases.DEFAULT_LANGUAGE) -> Mapping[str, Any]:
    """A card after it was pressed: heard, and there is nothing to press any more that anybody would hear."""
    title = f"{phrases.TICKET[language]} {number}".strip() if number else phrases.FORWARDED[language]
    return {
        "card_type": "button_interaction",
        "source": {"desc": phrases.CARD_SOURCE[language]},
        "main_title": {"title": title},
        "task_id": task_id,
        "button_list": [{"text": phrases.FORWARDED[language], "style": 2, "key": "kefu_done"}],
    }


def _task(reply: Reply, delivery_id: int) -> str:
    ticket = reply.ticket.number if reply.ticket is not None else ""
    return cards.task_id("bot", reply.turn_id, ticket, delivery_id)


def _shows_card(reply: Reply) -> Mapping[str, Any] | None:
    return None if reply.author is Author.NOTICE else cards.card_for(reply, task_id="kefu")


def _title(card: Mapping[str, Any]) -> str:
    return str(card["main_title"]["title"])


def _ticket(ticket: Ticket | None, reply: Reply) -> str:
    """What the card below says is left to it; what comes next is said where the words do not."""
    if ticket is None:
        return ""
    line = "" if _shows_card(reply) is not None else f"🎫 `{ticket.number}` · {_state(ticket, reply)}"
    after = "" if ticket.number in reply.text else phrases.WHAT_NEXT[reply.language][ticket.state]
    return "\n".join(piece for piece in (line, after) if piece)


def _state(ticket: Ticket, reply: Reply) -> str:
    return phrases.TICKET_STATE[reply.language][ticket.state]


WELCOME = own.WELCOME["zh"] + "\n\n" + own.WELCOME["en"]
"""Nobody has said anything yet, so nobody knows in which language."""
