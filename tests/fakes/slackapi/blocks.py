"""Block Kit: what Slack refuses, with its words, and what a reader sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.fakes.slackapi import elements
from tests.fakes.slackapi.elements import Complaint, at_most, some_text, text_object
from tests.fakes.slackapi.errors import Refused
from tests.fakes.slackapi.state import Json

MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
MARKDOWN_LIMIT = 12_000
SUM_LIMIT = 13_200
"""Not documented: `msg_blocks_too_long` was seen at about this many characters in all blocks together."""
_ONLY_IN_MESSAGES = frozenset({"markdown", "context_actions", "task_card", "plan", "table"})


def check_message(blocks: Any, *, limit: int = MESSAGE_BLOCKS) -> list[Json]:
    """The blocks of a message.

    :raises Refused: invalid_blocks (with Slack's words and pointers), msg_blocks_too_long.
    """
    found = _checked(blocks, limit=limit, surface="message", pointer="/blocks", error="invalid_blocks")
    check_sum(found)
    return found


def check_view(blocks: Any, surface: str) -> list[Json]:
    """The blocks of a modal or of the App Home.

    :raises Refused: invalid_arguments, as views.* say it.
    """
    return _checked(blocks, limit=VIEW_BLOCKS, surface=surface, pointer="/view/blocks", error="invalid_arguments")


def check_sum(blocks: list[Json]) -> None:
    """:raises Refused: msg_blocks_too_long, for all of a message's blocks together."""
    markdown = sum(len(str(block.get("text", ""))) for block in blocks if block.get("type") == "markdown")
    if markdown > MARKDOWN_LIMIT or size(blocks) > SUM_LIMIT:
        raise Refused("msg_blocks_too_long")


def flatten(blocks: Sequence[Json]) -> str:
    """What a reader sees, a line a block; buttons as [label]."""
    return "\n".join(line for line in map(_words, blocks) if line)


def actions_of(blocks: Sequence[Json]) -> list[Json]:
    """Every element that can be pressed, with its `block_id`, in order."""
    found = []
    for block in blocks:
        inside = [*block.get("elements", ()), *([block["accessory"]] if "accessory" in block else [])]
        if block.get("type") in {"actions", "context_actions", "section"}:
            found += [{**one, "block_id": block.get("block_id", "")} for one in inside if "action_id" in one]
    return found


def _checked(blocks: Any, *, limit: int, surface: str, pointer: str, error: str) -> list[Json]:
    complaints: list[str] = []

    def complain(where: str, words: str) -> None:
        complaints.append(f"{words} [json-pointer:{pointer}{where}]")

    if not isinstance(blocks, list):
        raise Refused("invalid_blocks_format" if error == "invalid_blocks" else error)
    if len(blocks) > limit:
        complain("", f"no more than {limit} items allowed")
    seen: set[str] = set()
    for number, block in enumerate(blocks):
        _check_block(block, f"/{number}", surface, complain)
        name = block.get("block_id") if isinstance(block, dict) else None
        if name and name in seen:
            complain(f"/{number}/block_id", "block_id already exists")
        seen.add(str(name))
    if complaints:
        raise Refused(error, messages=tuple(f"[ERROR] {one}" for one in complaints), errors=complaints)
    for number, block in enumerate(blocks):
        block.setdefault("block_id", f"auto{number}")
    return list(blocks)


def _check_block(block: Any, where: str, surface: str, complain: Complaint) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    check = _BLOCKS.get(str(kind))
    misplaced = kind == "input" if surface == "message" else kind in _ONLY_IN_MESSAGES
    if check is None or misplaced:
        complain(where, f"unsupported type: {kind}")
    else:
        at_most(block.get("block_id"), 255, f"{where}/block_id", complain)
        check(block, where, complain)


def _section(block: Json, where: str, complain: Complaint) -> None:
    if "text" not in block and "fields" not in block:
        complain(where, "missing required field: text")
    if "text" in block:
        text_object(block["text"], 3_000, f"{where}/text", complain)
    fields = block.get("fields", [])
    if len(fields) > 10:
        complain(f"{where}/fields", "no more than 10 items allowed")
    for number, one in enumerate(fields):
        text_object(one, 2_000, f"{where}/fields/{number}", complain)
    if "accessory" in block:
        elements.check(block["accessory"], f"{where}/accessory", complain)


def _header(block: Json, where: str, complain: Complaint) -> None:
    text_object(block.get("text"), 150, f"{where}/text", complain, plain=True)


def _markdown(block: Json, where: str, complain: Complaint) -> None:
    some_text(block.get("text"), MARKDOWN_LIMIT, f"{where}/text", complain)


def _context(block: Json, where: str, complain: Complaint) -> None:
    inside = _elements(block, 10, where, complain)
    for number, one in enumerate(inside):
        if isinstance(one, dict) and one.get("type") == "image":
            elements.image(one, f"{where}/elements/{number}", complain)
        else:
            text_object(one, 3_000, f"{where}/elements/{number}", complain)


def _actions(block: Json, where: str, complain: Complaint) -> None:
    elements.check_all(_elements(block, 25, where, complain), f"{where}/elements", complain)


def _context_actions(block: Json, where: str, complain: Complaint) -> None:
    inside = _elements(block, 5, where, complain)
    for number, one in enumerate(inside):
        if not isinstance(one, dict) or one.get("type") not in {"feedback_buttons", "icon_button"}:
            complain(f"{where}/elements/{number}", "unsupported type")
            return
    elements.check_all(inside, f"{where}/elements", complain)


def _input(block: Json, where: str, complain: Complaint) -> None:
    text_object(block.get("label"), 2_000, f"{where}/label", complain, plain=True)
    if "hint" in block:
        text_object(block["hint"], 2_000, f"{where}/hint", complain, plain=True)
    if not isinstance(block.get("element"), dict):
        complain(f"{where}/element", "missing required field: element")
    else:
        elements.check(block["element"], f"{where}/element", complain)


def _nested(block: Json, where: str, complain: Complaint) -> None:
    if not isinstance(block.get("elements"), list):
        complain(f"{where}/elements", "missing required field: elements")


def _anything(block: Json, where: str, complain: Complaint) -> None:
    """Blocks whose inside is taken as it is."""


def _elements(block: Json, limit: int, where: str, complain: Complaint) -> list[Any]:
    inside = block.get("elements")
    if not isinstance(inside, list) or not inside:
        complain(f"{where}/elements", "must have at least 1 item")
        return []
    if len(inside) > limit:
        complain(f"{where}/elements", f"no more than {limit} items allowed")
    return inside


_BLOCKS: dict[str, Callable[[Json, str, Complaint], None]] = {
    "section": _section,
    "header": _header,
    "markdown": _markdown,
    "context": _context,
    "actions": _actions,
    "context_actions": _context_actions,
    "input": _input,
    "image": elements.image,
    "rich_text": _nested,
    "divider": _anything,
    "table": _anything,
    "task_card": _anything,
    "plan": _anything,
}


def size(part: Any) -> int:
    """Characters of everything in it that is shown."""
    if isinstance(part, dict):
        own = part.get("text")
        return (len(own) if isinstance(own, str) else 0) + sum(
            size(value) for value in part.values() if isinstance(value, (dict, list))
        )
    return sum(map(size, part)) if isinstance(part, (list, tuple)) else 0


def _words(part: Any) -> str:
    """The words of a block or of what is in it."""
    match part:
        case {"type": "plain_text" | "mrkdwn" | "markdown" | "text", "text": str(text)}:
            return text
        case {"type": "header" | "section"}:
            inner = [part.get("text"), *part.get("fields", ()), part.get("accessory")]
            return "\n".join(filter(None, map(_words, inner)))
        case {"type": "context", "elements": list(inside)}:
            return " ".join(map(_words, inside))
        case {"type": "actions" | "context_actions", "elements": list(inside)}:
            return " ".join(map(_words, inside))
        case {"type": "feedback_buttons", "positive_button": good, "negative_button": bad}:
            return f"[{_words(good.get('text'))}] [{_words(bad.get('text'))}]"
        case {"type": "button", "text": label}:
            return f"[{_words(label)}]"
        case {"type": "rich_text", "elements": list(inside)}:
            return "\n".join(map(_words, inside))
        case {"type": "link", "url": str(url)}:
            return str(part.get("text") or url)
        case {"type": "input", "label": label}:
            return f"{_words(label)}: {_words(part.get('element'))}".strip()
        case {"type": "image", "alt_text": str(text)}:
            return text
        case {"elements": list(inside)}:
            return "".join(map(_words, inside))
        case {"text": {"text": str(text)}}:
            return text
        case {"initial_value": str(text)} | {"title": str(text)}:
            return text
    return ""
