"""What this channel itself says to people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from adapters.rendering.phrases import (
    AGENT,
    BETWEEN_SOURCES,
    OPEN_TICKET,
    SOURCE,
    TALK_TO_PERSON,
    TICKET_STATE,
    UNNAMED_AGENT,
    language_of,
)
from bot.messages import Language, TicketState

__all__ = [
    "AGENT",
    "BETWEEN_SOURCES",
    "DETAILS",
    "HELPFUL",
    "NOT_HELPFUL",
    "OPEN_TICKET",
    "SOLVED",
    "SOURCE",
    "TALK_TO_PERSON",
    "THINKING",
    "TICKET_STATE",
    "UNNAMED_AGENT",
    "WHAT_NEXT",
    "language_of",
]

HELPFUL: Final[Mapping[Language, str]] = {"zh": "有帮助", "en": "Helpful"}
NOT_HELPFUL: Final[Mapping[Language, str]] = {"zh": "没帮助", "en": "Not helpful"}
DETAILS: Final[Mapping[Language, str]] = {"zh": "查看详情", "en": "Details"}
SOLVED: Final[Mapping[Language, str]] = {"zh": "✅ 已解决", "en": "✅ It is solved"}

THINKING: Final[Mapping[Language | None, str]] = {
    "zh": "正在查找答案…",
    "en": "is looking for the answer…",
    None: "is looking for the answer… 正在查找答案…",
}
"""The status beside the bot's name; None: nobody knows the reader's language."""

WHAT_NEXT: Final[Mapping[Language, Mapping[TicketState, str]]] = {
    "zh": {
        TicketState.OPEN: "同事会直接在这个会话里答复您；想看进度，点“查看详情”就行。",
        TicketState.ASSIGNED: "同事会直接在这个会话里答复您；想看进度，点“查看详情”就行。",
        TicketState.ANSWERED: "还有疑问的话，直接在这里回复就行。",
        TicketState.CLOSED: "如果还有别的问题，随时告诉我。",
    },
    "en": {
        TicketState.OPEN: "A colleague will answer you right in this thread. To see how it stands, press Details.",
        TicketState.ASSIGNED: "A colleague will answer you right in this thread. To see how it stands, press Details.",
        TicketState.ANSWERED: "If anything is still open, just reply here.",
        TicketState.CLOSED: "If there is anything else, just ask.",
    },
}
