"""The two dialogues: a ticket's details, and the ticket that is opened from a message. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, TypeAlias

from adapters.slack import wordings
from adapters.slack.texts import escape
from bot.messages import Language, Ticket

TICKET_FORM = "kefu_ticket_form"
TICKET_TEXT_BLOCK = "kefu_ticket_text"
TICKET_TEXT_INPUT = "kefu_ticket_words"

_SECTION_LIMIT = 3000
_INPUT_LIMIT = 3000
_TRANSCRIPT_SHOWN = 12
_CHANNEL = re.compile(r"[A-Z0-9]{2,40}")
_STAMP = re.compile(r"([0-9]{1,11}\.[0-9]{1,6})?")

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketAbout:
    """The message a ticket is opened from: where its thread is and, until the person has looked at them, its words."""

    channel: str
    thread: str
    words: str = ""

    @property
    def metadata(self) -> str:
        """What travels with the dialogue; the words stand in its field."""
        return json.dumps({"channel": self.channel, "thread": self.thread})

    @classmethod
    def from_metadata(cls, text: str) -> Self | None:
        """None where it is not as we wrote it."""
        try:
            read = json.loads(text)
        except (ValueError, RecursionError):
            return None
        channel, thread = (read.get("channel"), read.get("thread")) if isinstance(read, dict) else (None, None)
        if not isinstance(channel, str) or not isinstance(thread, str):
            return None
        if not _CHANNEL.fullmatch(channel) or not _STAMP.fullmatch(thread):
            return None
        return cls(channel=channel, thread=thread)


def ticket_form(about: TicketAbout, language: Language) -> Json:
    """Asks what the ticket is to say; the message's words are there to be changed."""
    field: Json = {
        "type": "plain_text_input",
        "action_id": TICKET_TEXT_INPUT,
        "multiline": True,
        "min_length": 1,
        "max_length": _INPUT_LIMIT,
    }
    if about.words:
        field["initial_value"] = about.words[:_INPUT_LIMIT]
    return {
        "type": "modal",
        "callback_id": TICKET_FORM,
        "private_metadata": about.metadata,
        "title": plain(wordings.FORM_TITLE[language]),
        "submit": plain(wordings.FORM_SUBMIT[language]),
        "close": plain(wordings.FORM_CANCEL[language]),
        "blocks": [
            {
                "type": "input",
                "block_id": TICKET_TEXT_BLOCK,
                "label": plain(wordings.FORM_LABEL[language]),
                "hint": plain(wordings.FORM_HINT[language]),
                "element": field,
            }
        ],
    }


def form_refused(language: Language) -> Json:
    """The answer to a form without words: it stays open and says why."""
    return {"response_action": "errors", "errors": {TICKET_TEXT_BLOCK: wordings.FORM_EMPTY[language]}}


def ticket_details(ticket: Ticket | None, language: Language) -> Json:
    """How a ticket stands, for its own requester; None is a ticket that is not theirs."""
    if ticket is None:
        blocks = [section(wordings.TICKET_GONE[language])]
    else:
        blocks = [
            section(f"*{escape(ticket.number)}*\n{escape(ticket.subject)}"),
            section(wordings.STATE[language][ticket.state]),
            context(times(ticket, language)),
        ]
        if ticket.transcript:
            lines = "\n".join(escape(line) for line in ticket.transcript[-_TRANSCRIPT_SHOWN:])
            blocks += [{"type": "divider"}, section(f"*{wordings.DIALOGUE[language]}*\n{lines}")]
    return {
        "type": "modal",
        "title": plain(wordings.TICKET[language]),
        "close": plain(wordings.CLOSE[language]),
        "blocks": blocks,
    }


# -- Blocks --


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text, "emoji": True}


def section(text: str) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _within(text), "verbatim": True}}


def context(text: str) -> Json:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": _within(text), "verbatim": True}]}


def times(ticket: Ticket, language: Language) -> str:
    """In the reader's own time zone, which only Slack knows."""
    opened = f"{wordings.OPENED[language]} {_date(ticket.created_at)}"
    if ticket.updated_at == ticket.created_at:
        return opened
    return f"{opened} · {wordings.UPDATED[language]} {_date(ticket.updated_at)}"


def _date(at: datetime) -> str:
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time}}|{at:%Y-%m-%d %H:%M} UTC>"


def _within(text: str) -> str:
    """At most what a section holds; an escaped sign is not cut in half."""
    if len(text) <= _SECTION_LIMIT:
        return text
    return re.sub(r"&[a-z]{0,3}$", "", text[: _SECTION_LIMIT - 1]) + "…"
