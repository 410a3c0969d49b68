"""Text objects and block elements: lengths, types and what must be there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.fakes.slackapi.state import Json

Complaint = Callable[[str, str], None]
"""(where, words)"""

_KNOWN = frozenset(
    [
        "button", "checkboxes", "datepicker", "datetimepicker", "email_text_input", "feedback_buttons", "icon_button",
        "image", "multi_static_select", "number_input", "overflow", "plain_text_input", "radio_buttons",
        "static_select", "timepicker", "url_text_input", "users_select", "conversations_select",
    ]
)  # fmt: skip


def at_most(value: Any, limit: int, where: str, complain: Complaint) -> None:
    """A string that may be absent."""
    if value is None:
        return
    if not isinstance(value, str):
        complain(where, "must be a string")
    elif len(value) > limit:
        complain(where, f"must be less than {limit + 1} characters")


def some_text(value: Any, limit: int, where: str, complain: Complaint) -> None:
    """A string with something in it."""
    if not isinstance(value, str) or not value:
        complain(where, "must be more than 0 characters")
    else:
        at_most(value, limit, where, complain)


def text_object(value: Any, limit: int, where: str, complain: Complaint, *, plain: bool = False) -> None:
    """`{"type": "mrkdwn" | "plain_text", "text": …}`."""
    if not isinstance(value, dict):
        complain(where, "missing required field: text")
        return
    allowed = {"plain_text"} if plain else {"plain_text", "mrkdwn"}
    if value.get("type") not in allowed:
        complain(f"{where}/type", f"must be one of {sorted(allowed)}")
    if value.get("type") == "mrkdwn" and "emoji" in value:
        complain(f"{where}/emoji", "additional property")
    some_text(value.get("text"), limit, f"{where}/text", complain)


def check_all(found: list[Any], where: str, complain: Complaint) -> None:
    """The elements of one block: each by itself, and no action_id twice."""
    seen: set[str] = set()
    for number, one in enumerate(found):
        check(one, f"{where}/{number}", complain)
        name = one.get("action_id") if isinstance(one, dict) else None
        if name and name in seen:
            complain(f"{where}/{number}/action_id", f"action_id `{name}` already exists")
        seen.add(str(name))


def check(element: Any, where: str, complain: Complaint) -> None:
    """One element."""
    kind = element.get("type") if isinstance(element, dict) else None
    if kind not in _KNOWN:
        complain(where, f"unsupported type: {kind}")
        return
    at_most(element.get("action_id"), 255, f"{where}/action_id", complain)
    if kind == "button":
        _button(element, where, complain)
        if element.get("style") not in {None, "primary", "danger"}:
            complain(f"{where}/style", "must be one of ['danger', 'primary']")
        at_most(element.get("url"), 3_000, f"{where}/url", complain)
    elif kind == "feedback_buttons":
        for name in ("positive_button", "negative_button"):
            _button(element.get(name), f"{where}/{name}", complain)
    elif kind == "image":
        image(element, where, complain)
    elif kind in {"static_select", "multi_static_select", "radio_buttons", "checkboxes", "overflow"}:
        _options(element, where, complain)
    elif kind == "plain_text_input":
        at_most(element.get("initial_value"), 3_000, f"{where}/initial_value", complain)


def image(element: Json, where: str, complain: Complaint) -> None:
    """An image block or element."""
    if "image_url" not in element and "slack_file" not in element:
        complain(where, "missing required field: image_url")
    at_most(element.get("image_url"), 3_000, f"{where}/image_url", complain)
    some_text(element.get("alt_text"), 2_000, f"{where}/alt_text", complain)


def _button(element: Any, where: str, complain: Complaint) -> None:
    if not isinstance(element, dict):
        complain(where, "missing required field")
        return
    text_object(element.get("text"), 75, f"{where}/text", complain, plain=True)
    at_most(element.get("value"), 2_000, f"{where}/value", complain)
    at_most(element.get("accessibility_label"), 75, f"{where}/accessibility_label", complain)


def _options(element: Json, where: str, complain: Complaint) -> None:
    options = element.get("options", [])
    if not isinstance(options, list) or (not options and "option_groups" not in element):
        complain(f"{where}/options", "must have at least 1 item")
        return
    if len(options) > 100:
        complain(f"{where}/options", "no more than 100 items allowed")
    for number, option in enumerate(options):
        text_object(option.get("text"), 75, f"{where}/options/{number}/text", complain)
        some_text(option.get("value"), 150, f"{where}/options/{number}/value", complain)
