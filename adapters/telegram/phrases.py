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
    WHAT_NEXT,
    language_of,
)
from bot.messages import Language

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
