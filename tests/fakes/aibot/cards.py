"""What a template card must look like."""

from __future__ import annotations

import re
from typing import Any

from tests.fakes.aibot.checks import ID_BYTES, mapping, words
from tests.fakes.aibot.errors import BAD_PARAMETER, Refused
from tests.fakes.aibot.state import Json

TASK_ID_BYTES = 128
KEY_BYTES = 1024
MOST_BUTTONS = 6
_TASK_ID = re.compile(r"[A-Za-z0-9_\-@]+")
_INTERACTIVE = {"button_interaction", "vote_interaction", "multiple_interaction"}
_TYPES = {"text_notice", "news_notice"} | _INTERACTIVE
_FIELDS = {
    "card_type", "source", "action_menu", "main_title", "emphasis_content", "quote_area", "sub_title_text",
    "horizontal_content_list", "jump_list", "card_action", "task_id", "button_selection", "button_list", "checkbox",
    "submit_button", "select_list", "card_image", "image_text_area", "vertical_content_list", "feedback",
}  # fmt: skip
_LONGEST_LISTS = {"horizontal_content_list": 6, "jump_list": 3, "vertical_content_list": 4, "select_list": 3}


def judged(value: Any) -> Json:
    """The card, if WeCom would take it.

    :raises Refused: it would not.
    """
    card = mapping(value, "template_card")
    kind = card.get("card_type")
    if kind not in _TYPES:
        raise Refused(BAD_PARAMETER, f"card_type {kind!r} does not exist")
    if unknown := set(card) - _FIELDS:
        raise Refused(BAD_PARAMETER, f"no card has {', '.join(sorted(unknown))}")
    for name, most in _LONGEST_LISTS.items():
        if name in card and not (isinstance(card[name], list) and len(card[name]) <= most):
            raise Refused(BAD_PARAMETER, f"{name} is no list of at most {most}")
    if "task_id" in card or kind in _INTERACTIVE:
        task_id = words(card.get("task_id"), "task_id", most=TASK_ID_BYTES)
        if not _TASK_ID.fullmatch(task_id):
            raise Refused(BAD_PARAMETER, "task_id has characters that it may not have")
    _heads(card)
    _parts(card, str(kind))
    return card


def _heads(card: Json) -> None:
    title = card.get("main_title", {} if card["card_type"] == "text_notice" else None)
    if not isinstance(title, dict):
        raise Refused(BAD_PARAMETER, "main_title is missing or no object")
    if not (title.get("title") or card.get("sub_title_text")):
        raise Refused(BAD_PARAMETER, "neither main_title.title nor sub_title_text")
    for row in card.get("horizontal_content_list", []):
        words(mapping(row, "horizontal_content_list").get("keyname"), "keyname", most=ID_BYTES)


def _parts(card: Json, kind: str) -> None:
    match kind:
        case "text_notice" | "news_notice":
            _action(mapping(card.get("card_action"), "card_action"), {1, 2} if kind == "text_notice" else {0, 1, 2})
            if kind == "news_notice" and not (card.get("card_image") or card.get("image_text_area")):
                raise Refused(BAD_PARAMETER, "neither card_image nor image_text_area")
        case "button_interaction":
            _buttons(card.get("button_list"))
        case "vote_interaction":
            mapping(card.get("checkbox"), "checkbox")
            _button(mapping(card.get("submit_button"), "submit_button"))
        case "multiple_interaction":
            if not card.get("select_list"):
                raise Refused(BAD_PARAMETER, "select_list is missing")
            _button(mapping(card.get("submit_button"), "submit_button"))


def _action(action: Json, types: set[int]) -> None:
    """A notice must lead somewhere: that its `type` may be 0 holds for other cards only."""
    if action.get("type") not in types:
        raise Refused(BAD_PARAMETER, f"card_action.type is not one of {sorted(types)}")
    if action["type"] == 1:
        words(action.get("url"), "card_action.url", most=KEY_BYTES)


def _buttons(value: Any) -> None:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_BUTTONS:
        raise Refused(BAD_PARAMETER, f"button_list is no list of 1 to {MOST_BUTTONS}")
    for one in value:
        _button(mapping(one, "button"))
        if one.get("style", 1) not in {1, 2, 3, 4}:
            raise Refused(BAD_PARAMETER, "a button's style is not one of 1 to 4")
    if len({one["key"] for one in value}) < len(value):
        raise Refused(BAD_PARAMETER, "two buttons have the same key")


def _button(button: Json) -> None:
    words(button.get("text"), "button.text", most=ID_BYTES)
    words(button.get("key"), "button.key", most=KEY_BYTES)


def keys(card: Json) -> set[str]:
    """The keys of what can be pressed on it."""
    buttons = [*card.get("button_list", []), *([card["submit_button"]] if "submit_button" in card else [])]
    return {str(one["key"]) for one in buttons}
