"""Replies as Slack messages: words, sources, the ticket's card and buttons."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from adapters.rendering import slack as dialects
from adapters.rendering.safe_text import clean
from adapters.slack import phrases
from bot.messages import Author, Outcome, Reply, ReplyAction, Source, Ticket, TicketState
from bot.ports import Part

Block: TypeAlias = dict[str, Any]

MESSAGE_LIMIT = 12_000
"""Of all blocks of a message together; Slack was seen to refuse 13,200."""
BODY_LIMIT = 9_500
"""Of the words; the rest is for what hangs on them, so that no part is refused for its buttons."""
TEXT_LIMIT = 3_900
"""Of the words for notifications; Slack refuses an edit with more than 4,000."""
POST_LIMIT = 39_000
"""Of the words of a post without blocks; Slack cuts off what is beyond 40,000, and says nothing."""
_SECTION_LIMIT = 2_900
_SOURCES_SHOWN = 3
_TITLE_CHARS = 150
_URL_CHARS = 500
_NAME_CHARS = 80
_CONTEXT_LIMIT = 2_000
_TORN = re.compile(r"&[a-z]{0,3}$")
"""An escaped sign of which the end was cut off."""

FEEDBACK = "kefu_feedback"
ACT = "kefu_act"
DETAILS = "kefu_ticket_details"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """One message. The lesser forms are made of it where they are needed: `sections_of`, `words_of`."""

    markdown: str
    """Standard Markdown: what a stream is filled with, and a `markdown` block holds."""
    extras: tuple[Block, ...] = ()
    """Sources, the ticket's card, buttons: below the words."""
    plain: str
    """For notifications and screen readers, escaped."""
    number: int = 0
    """Which message of the reply it is, from 0."""

    @property
    def digest(self) -> str:
        """Tells this message from another one that has the same number by accident (a database begun anew)."""
        return hashlib.sha256(self.markdown.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def render(reply: Reply) -> tuple[Part, ...]:
    """The reply as messages of at most 12,000 characters in all their blocks; what can be pressed hangs on the last."""
    pieces = [_agent(reply), reply.text.strip() or "…"]
    text = "\n\n".join(piece for piece in pieces if piece)
    bodies = dialects.markdown(text, limit=BODY_LIMIT) or ("…",)
    extras = _extras(reply)
    last = len(bodies) - 1
    parts = (_forms(body, number, extras if number == last else ()) for number, body in enumerate(bodies))
    return tuple(Part(text=forms.plain, payload=forms) for forms in parts)


def words_only(markdown: str) -> Forms:
    """Words that nothing hangs on, as one message: the beginning of them, should they be too many."""
    body = next(iter(dialects.markdown(markdown, limit=BODY_LIMIT)), "…")
    return _forms(body, 0, ())


def blocks_of(forms: Forms) -> list[Block]:
    return [{"type": "markdown", "text": forms.markdown}, *forms.extras]


def sections_of(forms: Forms) -> list[Block]:
    """mrkdwn, for a workspace that takes no `markdown` blocks, or not this one; nor then what is as new as they are.
    Empty where it does not fit into a message."""
    words = tuple(filter(None, map(dialects.mrkdwn, dialects.markdown(forms.markdown, limit=_SECTION_LIMIT // 2))))
    if sum(map(len, words)) > BODY_LIMIT or any(len(piece) > _SECTION_LIMIT for piece in words):
        return []
    known = [block for block in forms.extras if block["type"] != "context_actions"]
    return [*map(_section, words), *known]


def words_of(forms: Forms) -> str:
    """mrkdwn in one piece, for a message of mere text."""
    return dialects.mrkdwn(forms.markdown) or forms.plain


def _forms(body: str, number: int, extras: tuple[Block, ...]) -> Forms:
    return Forms(markdown=body, extras=extras, plain=_shortened(dialects.plain(body)) or "…", number=number)


def _shortened(text: str) -> str:
    if len(text) <= TEXT_LIMIT:
        return text
    return _TORN.sub("", text[: TEXT_LIMIT - 1]).rstrip() + "…"


def _agent(reply: Reply) -> str:
    if reply.author is not Author.AGENT:
        return ""
    name = " ".join(clean(reply.agent).split())[:_NAME_CHARS]
    words = phrases.AGENT[reply.language].format(name=_literal(name)) if name else phrases.UNNAMED_AGENT[reply.language]
    return f"👤 **{words}**"


def _literal(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return "".join(f"\\{char}" if char in r"\`*_~|[]<>#!&" else char for char in text)


# -- What hangs on it --


def _extras(reply: Reply) -> tuple[Block, ...]:
    if reply.author is Author.NOTICE:
        return ()
    blocks: list[Block] = []
    pressable: list[Block] = []
    if reply.ticket is not None:
        blocks.append(_card(reply.ticket, reply))
        pressable += _card_buttons(reply.ticket, reply)
    if sources := _sources(reply):
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": sources}]})
    pressable += [
        button for button in _asked_for(reply) if all(button["action_id"] != had["action_id"] for had in pressable)
    ]
    if pressable:
        blocks.append({"type": "actions", "elements": pressable})
    if ReplyAction.FEEDBACK in reply.actions and reply.turn_id:
        blocks.append(_feedback(reply))
    return tuple(blocks)


def _card(ticket: Ticket, reply: Reply) -> Block:
    line = f"🎫 `{dialects.escaped(ticket.number)}` · {phrases.TICKET_STATE[reply.language][ticket.state]}"
    if ticket.number in reply.text:
        return _section(line)  # the words above say what comes next
    return _section(f"{line}\n{phrases.WHAT_NEXT[reply.language][ticket.state]}")


def _card_buttons(ticket: Ticket, reply: Reply) -> list[Block]:
    language = reply.language
    buttons = [_button(phrases.DETAILS[language], DETAILS, ticket.number)]
    if ticket.state is not TicketState.CLOSED:
        buttons.append(_button(phrases.SOLVED[language], f"{ACT}:solved", ticket.number))
        # Who has just been handed over to a person would only open a second ticket.
        if reply.turn_id and reply.outcome is not Outcome.HANDOFF:
            buttons.append(_button(phrases.TALK_TO_PERSON[language], f"{ACT}:person", reply.turn_id))
    return buttons


def _asked_for(reply: Reply) -> list[Block]:
    if not reply.turn_id:
        return []
    asked = {ReplyAction.OPEN_TICKET: phrases.OPEN_TICKET, ReplyAction.TALK_TO_PERSON: phrases.TALK_TO_PERSON}
    return [
        _button(words[reply.language], f"{ACT}:{action.value}", reply.turn_id)
        for action, words in asked.items()
        if action in reply.actions
    ]


def _feedback(reply: Reply) -> Block:
    def button(words: str, rating: str) -> Block:
        return {"text": {"type": "plain_text", "text": words}, "value": f"{rating}|{reply.turn_id}"}

    buttons: Block = {
        "type": "feedback_buttons",
        "action_id": FEEDBACK,
        "positive_button": button(phrases.HELPFUL[reply.language], "up"),
        "negative_button": button(phrases.NOT_HELPFUL[reply.language], "down"),
    }
    return {"type": "context_actions", "elements": [buttons]}


def _sources(reply: Reply) -> str:
    shown: dict[tuple[str, str], str] = {}
    for source in reply.sources:
        if words := _source(source):
            shown.setdefault((source.title, source.url), words)
    few = list(shown.values())[:_SOURCES_SHOWN]
    while sum(map(len, few)) > _CONTEXT_LIMIT:  # escaped, a title can be five times as long
        few.pop()
    return phrases.SOURCE[reply.language] + phrases.BETWEEN_SOURCES[reply.language].join(few) if few else ""


def _source(source: Source) -> str:
    title = " ".join(clean(source.title).split())[:_TITLE_CHARS]
    if not _is_address(source.url):
        return dialects.escaped(title)
    return dialects.link(title or source.url[:_TITLE_CHARS], source.url)


def _is_address(url: str) -> bool:
    """Whether it can be followed, and is short enough to hang on a message."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc) and len(url) <= _URL_CHARS


def _section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _button(text: str, action: str, value: str) -> Block:
    label = {"type": "plain_text", "text": text, "emoji": True}
    return {"type": "button", "text": label, "action_id": action, "value": value}
