"""Template cards: what WeCom demands of them, and what of them is to be read."""

from __future__ import annotations

import re
from typing import Any

from tests.fakes.wecomapi.errors import Refused
from tests.fakes.wecomapi.params import size
from tests.fakes.wecomapi.state import Json

CLICKABLE = frozenset(["button_interaction", "vote_interaction", "multiple_interaction"])
KINDS = CLICKABLE | {"text_notice", "news_notice"}
_TASK = re.compile(r"[0-9A-Za-z_\-@]{1,128}")
_KNOWN = frozenset(
    [
        "card_type", "source", "action_menu", "task_id", "main_title", "quote_area", "sub_title_text",
        "emphasis_content", "horizontal_content_list", "jump_list", "card_action", "button_selection",
        "button_list", "checkbox",
        "select_list", "submit_button", "image_text_area", "card_image", "vertical_content_list", "feedback",
        "replace_text",
    ]
)  # fmt: skip


def judge(card: Any, *, fresh: bool = True) -> Json:
    """The card, if WeCom takes it.

    :raises Refused: 40058 with the place that is wrong. `fresh`: it is no update, so a clickable one needs a task_id.
    """
    if not isinstance(card, dict) or card.get("card_type") not in KINDS:
        raise Refused(40058, "template_card.card_type invalid")
    kind = card["card_type"]
    unknown = sorted(card.keys() - _KNOWN)
    if unknown:
        raise Refused(40058, f"template_card.{unknown[0]} unknown")
    title = card.get("main_title") or {}
    if not (title.get("title") or card.get("sub_title_text")):
        raise Refused(40058, "template_card.main_title missing")
    _lengths(card)
    if kind in CLICKABLE or "action_menu" in card:
        _task(card, needed=fresh)
    if kind == "button_interaction":
        _buttons(card.get("button_list"))
    if kind in {"text_notice", "news_notice"} and not isinstance(card.get("card_action"), dict):
        raise Refused(40058, "template_card.card_action missing")
    if kind == "multiple_interaction":
        _selects(card.get("select_list"))
    if kind in {"vote_interaction", "multiple_interaction"} and not _filled(card.get("submit_button"), "text", "key"):
        raise Refused(40058, "template_card.submit_button missing")
    for jump in card.get("jump_list") or []:
        if jump.get("type") == 1 and not str(jump.get("url", "")).startswith(("https://", "http://")):
            raise Refused(40058, "template_card.jump_list.url invalid")
    return dict(card)


def _task(card: Json, *, needed: bool) -> None:
    task = card.get("task_id")
    if task is None and not needed:
        return
    if not isinstance(task, str) or not _TASK.fullmatch(task):
        raise Refused(40058, "template_card.task_id invalid")


def _lengths(card: Json) -> None:
    if len(card.get("horizontal_content_list") or []) > 6:
        raise Refused(40058, "template_card.horizontal_content_list exceeds 6")
    if len(card.get("jump_list") or []) > 3:
        raise Refused(40058, "template_card.jump_list exceeds 3")
    for row in card.get("horizontal_content_list") or []:
        if not row.get("keyname"):
            raise Refused(40058, "template_card.horizontal_content_list.keyname missing")


def _buttons(buttons: Any) -> None:
    if not isinstance(buttons, list) or not 1 <= len(buttons) <= 6:
        raise Refused(40058, "template_card.button_list must have 1 to 6 buttons")
    for button in buttons:
        if not isinstance(button, dict) or not button.get("text"):
            raise Refused(40058, "template_card.button_list.text missing")
        if button.get("type", 0) == 0 and not 1 <= size(str(button.get("key", ""))) <= 1024:
            raise Refused(40058, "template_card.button_list.key invalid")
        if button.get("style", 1) not in {1, 2, 3, 4}:
            raise Refused(40058, "template_card.button_list.style invalid")


def _selects(selects: Any) -> None:
    if not isinstance(selects, list) or not 1 <= len(selects) <= 3:
        raise Refused(40058, "template_card.select_list must have 1 to 3 selectors")
    for one in selects:
        options = one.get("option_list") or []
        if not one.get("question_key") or not 1 <= len(options) <= 10:
            raise Refused(40058, "template_card.select_list invalid")


def _filled(part: Any, *names: str) -> bool:
    return isinstance(part, dict) and all(part.get(name) for name in names)


def words(card: Json) -> str:
    """What a reader sees: title, description, text, rows, buttons."""
    title = card.get("main_title") or {}
    lines = [title.get("title"), title.get("desc"), card.get("sub_title_text")]
    lines += [(card.get("quote_area") or {}).get("quote_text")]
    lines += [f"{row.get('keyname')} {row.get('value', '')}" for row in card.get("horizontal_content_list") or []]
    lines += [(card.get("emphasis_content") or {}).get("title")]
    lines += [f"[{button['text']}]" for button in card.get("button_list") or []]
    return "\n".join(str(line) for line in lines if line)


def keys(card: Json) -> list[str]:
    """The keys of its buttons."""
    return [str(button.get("key", "")) for button in card.get("button_list") or []]
