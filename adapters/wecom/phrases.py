"""What WeCom's channels themselves say to people. WeCom gives no hint of their language: without a reply to go by,
it is Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from adapters.rendering.phrases import (
    AGENT,
    BETWEEN_SOURCES,
    SOURCE,
    TICKET_STATE,
    UNNAMED_AGENT,
    WHAT_NEXT,
)
from bot.messages import Language

__all__ = [
    "AGENT",
    "BETWEEN_SOURCES",
    "CARD_SOURCE",
    "DEFAULT_LANGUAGE",
    "DUE",
    "FORWARDED",
    "OFFER",
    "OFFER_IN_WORDS",
    "OPEN_TICKET",
    "SOLVED",
    "SOURCE",
    "STATE",
    "TALK_TO_PERSON",
    "TICKET",
    "TICKET_STATE",
    "UNNAMED_AGENT",
    "WHAT_NEXT",
]

DEFAULT_LANGUAGE: Final[Language] = "zh"

# A button has room for ten characters.
SOLVED: Final[Mapping[Language, str]] = {"zh": "已解决", "en": "Solved"}
TALK_TO_PERSON: Final[Mapping[Language, str]] = {"zh": "转人工", "en": "Get human"}
OPEN_TICKET: Final[Mapping[Language, str]] = {"zh": "提交工单", "en": "Ticket"}

CARD_SOURCE: Final[Mapping[Language, str]] = {"zh": "智能客服", "en": "Customer service"}
TICKET: Final[Mapping[Language, str]] = {"zh": "工单", "en": "Ticket"}
STATE: Final[Mapping[Language, str]] = {"zh": "状态", "en": "State"}
DUE: Final[Mapping[Language, str]] = {"zh": "最晚答复", "en": "Due"}
OFFER: Final[Mapping[Language, str]] = {"zh": "还需要帮助吗？", "en": "Do you need more help?"}
OFFER_IN_WORDS: Final[Mapping[Language, str]] = {
    "zh": "需要人工时，回复“转人工”；要登记工单，回复“提交工单”。",
    "en": "To reach a person, reply “talk to a person”; to open a ticket, reply “open a ticket”.",
}
FORWARDED: Final[Mapping[Language, str]] = {"zh": "已收到", "en": "Received"}
