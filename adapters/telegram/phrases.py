"""What this channel itself says to customers."""

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
    "COMMANDS",
    "HELPFUL",
    "NOT_HELPFUL",
    "OPEN_TICKET",
    "SOURCE",
    "TALK_TO_PERSON",
    "THANKS",
    "TICKET_STATE",
    "UNNAMED_AGENT",
    "WHAT_NEXT",
    "language_of",
]

HELPFUL: Final[Mapping[Language, str]] = {"zh": "👍 有帮助", "en": "👍 Helpful"}
NOT_HELPFUL: Final[Mapping[Language, str]] = {"zh": "👎 没帮助", "en": "👎 Not helpful"}
THANKS: Final[Mapping[Language, str]] = {"zh": "谢谢您的反馈！", "en": "Thanks for letting us know!"}

WHAT_NEXT: Final[Mapping[Language, Mapping[TicketState, str]]] = {
    "zh": {
        TicketState.OPEN: "同事会直接在这里答复您；想看进度，把编号发给我就行。",
        TicketState.ASSIGNED: "同事会直接在这里答复您；想看进度，把编号发给我就行。",
        TicketState.ANSWERED: "还有疑问的话，直接在这里回复就行。",
        TicketState.CLOSED: "如果还有别的问题，随时告诉我。",
    },
    "en": {
        TicketState.OPEN: "A colleague will answer you right here. To see how it stands, just send me its number.",
        TicketState.ASSIGNED: "A colleague will answer you right here. To see how it stands, just send me its number.",
        TicketState.ANSWERED: "If anything is still open, just reply here.",
        TicketState.CLOSED: "If there is anything else, just ask.",
    },
}

COMMANDS: Final[Mapping[Language, tuple[tuple[str, str], ...]]] = {
    "zh": (
        ("start", "开始使用"),
        ("help", "我能帮您做什么"),
        ("ticket", "登记工单：/ticket 问题描述"),
        ("reset", "重新开始对话"),
        ("stop", "停止正在生成的回答"),
    ),
    "en": (
        ("start", "Say hello"),
        ("help", "What I can do for you"),
        ("ticket", "Open a ticket: /ticket what it is about"),
        ("reset", "Start the conversation over"),
        ("stop", "Stop the answer being written"),
    ),
}
"""The menu beside the message field: (command, description)."""
