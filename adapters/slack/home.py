"""App Home: what the bot can do, and the tickets of whoever looks at it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.slack import wordings
from adapters.slack.modals import Json, context, plain, section, times
from adapters.slack.texts import escape
from bot.messages import Language, Ticket

TICKETS_SHOWN = 10
DETAILS_ACTION = "kefu_ticket_details"

_SUBJECT_SHOWN = 300


def home_view(tickets: Sequence[Ticket] | None, language: Language) -> Json:
    """The page of one person. `tickets` is None where they can not be read now."""
    blocks: list[Json] = [
        {"type": "header", "text": plain(wordings.HOME_TITLE[language])},
        section(wordings.HOME_INTRO[language]),
        section("\n".join(f"• {way}" for way in wordings.HOME_WAYS[language])),
        {"type": "divider"},
        {"type": "header", "text": plain(wordings.MY_TICKETS[language])},
    ]
    if tickets is None:
        blocks.append(section(wordings.TICKETS_UNKNOWN[language]))
    elif not tickets:
        blocks.append(section(wordings.NO_TICKETS[language]))
    for ticket in (tickets or ())[:TICKETS_SHOWN]:
        blocks += _ticket(ticket, language)
    return {"type": "home", "blocks": blocks}


def _ticket(ticket: Ticket, language: Language) -> list[Json]:
    subject = ticket.subject if len(ticket.subject) <= _SUBJECT_SHOWN else ticket.subject[:_SUBJECT_SHOWN] + "…"
    state = wordings.STATE[language][ticket.state]
    line = section(f"*{escape(ticket.number)}* · {state}\n{escape(subject)}")
    line["accessory"] = {
        "type": "button",
        "action_id": DETAILS_ACTION,
        "text": plain(wordings.DETAILS[language]),
        "value": ticket.number,
    }
    return [line, context(times(ticket, language))]


def suggestions(language: Language) -> list[Json]:
    """What an empty conversation offers to say."""
    return [{"title": title, "message": message} for title, message in wordings.PROMPTS[language]]
