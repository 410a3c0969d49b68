"""What every chat platform says around a reply: sources, who speaks, how a ticket stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bot.messages import Language, TicketState

SOURCE: Final[Mapping[Language, str]] = {"zh": "来源：", "en": "Source: "}
BETWEEN_SOURCES: Final[Mapping[Language, str]] = {"zh": "、", "en": ", "}

OPEN_TICKET: Final[Mapping[Language, str]] = {"zh": "📝 提交工单", "en": "📝 Open a ticket"}
TALK_TO_PERSON: Final[Mapping[Language, str]] = {"zh": "👤 转人工", "en": "👤 Talk to a person"}

AGENT: Final[Mapping[Language, str]] = {"zh": "客服 {name}：", "en": "{name} from our support team:"}
UNNAMED_AGENT: Final[Mapping[Language, str]] = {"zh": "人工客服：", "en": "Our support team:"}

TICKET_STATE: Final[Mapping[Language, Mapping[TicketState, str]]] = {
    "zh": {
        TicketState.OPEN: "已登记，等待同事处理",
        TicketState.ASSIGNED: "同事正在处理",
        TicketState.ANSWERED: "已答复",
        TicketState.CLOSED: "已完成",
    },
    "en": {
        TicketState.OPEN: "registered, waiting for a colleague",
        TicketState.ASSIGNED: "a colleague is working on it",
        TicketState.ANSWERED: "answered",
        TicketState.CLOSED: "done",
    },
}

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


def language_of(hint: str) -> Language:
    """The language for somebody of whom only a tag is known ("zh-hans", "en-US")."""
    return "zh" if hint.lower().startswith("zh") else "en"
