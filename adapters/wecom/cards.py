"""Template cards: a ticket that can be pressed, an offer that can be taken up. Pure values, as WeCom reads them.

Apps and AI bots take the same cards. What a pressed one shows is its channel's matter: apps rename the button, AI bots
send another card.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from adapters.rendering.safe_text import clean
from adapters.wecom import phrases
from bot.messages import Language, Outcome, Reply, ReplyAction, Ticket, TicketState

Card: TypeAlias = Mapping[str, Any]
Action: TypeAlias = Literal["solved", "person", "ticket"]

KEY = "kefu_act"
_ACTIONS: frozenset[Action] = frozenset({"solved", "person", "ticket"})
_WITH_VALUE = frozenset({"solved"})
_KEY = re.compile(rf"{KEY}:([a-z]{{1,16}})\|([!-~]{{0,200}})", re.ASCII)
_TASK = re.compile(r"[A-Za-z0-9_@-]{1,128}", re.ASCII)
_TITLE_CHARS, _VALUE_CHARS, _SUBJECT_CHARS = 26, 26, 112
_BLUE, _GREY = 1, 2


def task_id(*names: object) -> str:
    """A card's name, for good: of the same things always the same, of others another. 128 of few characters is all
    that WeCom takes, so it is a digest."""
    return "kefu-" + hashlib.sha256("\0".join(map(str, names)).encode()).hexdigest()[:40]


def card_for(reply: Reply, *, task_id: str) -> Card | None:
    """What can be pressed under this reply: its ticket's card, or an offer of what it offers; None for nothing."""
    return ticket_card(reply, task_id=task_id) or offer_card(reply, task_id=task_id)


def ticket_card(reply: Reply, *, task_id: str) -> Card | None:
    """The ticket of this reply, with what its owner can do about it; None where there is none, or nothing to do."""
    ticket = reply.ticket
    if ticket is None or ticket.state is TicketState.CLOSED:
        return None
    language = reply.language
    buttons = [_button(phrases.SOLVED[language], "solved", ticket.number, style=_BLUE)]
    # Who has just been handed over to a person would only open a second ticket.
    if reply.turn_id and reply.outcome is not Outcome.HANDOFF:
        buttons.append(_button(phrases.TALK_TO_PERSON[language], "person", reply.turn_id, style=_GREY))
    return _interaction(_about(ticket, language), buttons, task_id, language)


def offer_card(reply: Reply, *, task_id: str) -> Card | None:
    """The person and the ticket that this reply offers, as buttons; None where it offers neither."""
    words = {ReplyAction.TALK_TO_PERSON: phrases.TALK_TO_PERSON, ReplyAction.OPEN_TICKET: phrases.OPEN_TICKET}
    offered = [action for action in words if action in reply.actions]
    if not reply.turn_id or not offered or reply.ticket is not None:
        return None
    language = reply.language
    buttons = [
        _button(words[action][language], action.value, reply.turn_id, style=_BLUE if action is offered[0] else _GREY)
        for action in offered
    ]
    return _interaction({"main_title": {"title": phrases.OFFER[language]}}, buttons, task_id, language)


def pressed(key: str) -> tuple[Action, str] | None:
    """What a button of ours means: its action and the action's words; None for anybody else's.

    Only "solved" has words, the ticket's number: those of the others would be taken for what the ticket is about.
    """
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    for action in _ACTIONS:
        if action == found[1]:
            return action, found[2] if action in _WITH_VALUE else ""
    return None


def is_task_id(text: str) -> bool:
    """Whether WeCom takes it."""
    return _TASK.fullmatch(text) is not None


def _interaction(about: Mapping[str, Any], buttons: list[Card], task_id: str, language: Language) -> Card:
    assert is_task_id(task_id), "WeCom would refuse the whole message"
    return {
        "card_type": "button_interaction",
        "source": {"desc": phrases.CARD_SOURCE[language]},
        **about,
        "task_id": task_id,
        "button_list": buttons,
    }


def _about(ticket: Ticket, language: Language) -> Mapping[str, Any]:
    rows = [(phrases.STATE[language], phrases.TICKET_STATE[language][ticket.state])]
    if ticket.state in (TicketState.OPEN, TicketState.ASSIGNED):
        rows.append((phrases.DUE[language], f"{ticket.due_at:%Y-%m-%d %H:%M} UTC"))
    about: dict[str, Any] = {
        "main_title": {"title": _cut(f"{phrases.TICKET[language]} {ticket.number}", _TITLE_CHARS)},
        "horizontal_content_list": [{"keyname": name, "value": _cut(value, _VALUE_CHARS)} for name, value in rows],
    }
    if subject := _cut(ticket.subject, _SUBJECT_CHARS):
        about["sub_title_text"] = subject
    return about


def _button(text: str, action: str, value: str, *, style: int) -> Card:
    return {"text": text, "style": style, "key": f"{KEY}:{action}|{value}"}


def _cut(text: str, chars: int) -> str:
    """On one line, and no tag of WeCom's."""
    line = " ".join(clean(text).split()).replace("<", "＜")
    return line if len(line) <= chars else line[: chars - 1] + "…"
