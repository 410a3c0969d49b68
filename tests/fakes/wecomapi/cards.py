"""Template cards: what WeCom demands of them, the same everywhere, and what of them is to be read."""

from __future__ import annotations

from typing import Any

from tests.fakes.aibot import cards
from tests.fakes.aibot.errors import Refused as Judged
from tests.fakes.wecomapi.errors import Refused
from tests.fakes.wecomapi.state import Json

CLICKABLE = frozenset(["button_interaction", "vote_interaction", "multiple_interaction"])


def judge(card: Any, *, fresh: bool = True) -> Json:
    """The card, if WeCom takes it. Not `fresh`: what another card is changed to, which may have a grey `replace_text`.

    :raises Refused: 40058 with the place that is wrong; 42045 for the card_action.
    """
    whole = isinstance(card, dict) and not fresh
    try:
        cards.judged({name: value for name, value in card.items() if name != "replace_text"} if whole else card)
    except Judged as refusal:
        # The one code of the many that somebody reported: a notice that leads nowhere.
        raise Refused(42045 if "card_action" in refusal.why else 40058, f"template_card: {refusal.why}") from refusal
    return dict(card)


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
    """The keys of its buttons, from the first to the last."""
    return [str(button["key"]) for button in card.get("button_list") or []]
