"""What the receiving half of this channel says itself: App Home, dialogues, the answer to a bare command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bot.messages import Language, TicketState

HOME_TITLE: Final[Mapping[Language, str]] = {"zh": "我能帮您做什么", "en": "What I can do for you"}
HOME_INTRO: Final[Mapping[Language, str]] = {
    "zh": "我是自动助手，根据公司的知识库回答问题；答不上来的，可以替您登记工单，请同事处理。",
    "en": "I'm the automated assistant. I answer from the company's own knowledge. Where I can't, I offer to open a "
    "ticket, so that a colleague can help you.",
}
HOME_WAYS: Final[Mapping[Language, tuple[str, ...]]] = {
    "zh": (
        "在“消息”里直接问我。每个新问题各有一个消息列；要接着问，就在那个消息列里回复。",
        "在频道里提到我，之后在同一消息列里接着问，不用再提到我。",
        "在任何频道输入 `/ask 您的问题`。",
        "在一条消息的“更多操作”里选“Open a ticket 登记工单”。",
        "想找真人，写“转人工”就行。",
    ),
    "en": (
        "Ask me under *Messages*. Every new question gets a thread of its own; to go on with one, reply in its thread.",
        "Mention me in a channel, then go on in the thread without mentioning me again.",
        "Type `/ask your question` in any channel.",
        "Choose *Open a ticket 登记工单* from a message's “More actions”.",
        "To reach a person, just write “agent”.",
    ),
}
MY_TICKETS: Final[Mapping[Language, str]] = {"zh": "我的工单", "en": "My tickets"}
NO_TICKETS: Final[Mapping[Language, str]] = {"zh": "您还没有工单。", "en": "You have no tickets yet."}
TICKETS_UNKNOWN: Final[Mapping[Language, str]] = {
    "zh": "暂时读不到您的工单，请过几分钟再打开这一页。",
    "en": "I can't show your tickets right now. Please open this page again in a few minutes.",
}
DETAILS: Final[Mapping[Language, str]] = {"zh": "详情", "en": "Details"}

STATE: Final[Mapping[Language, Mapping[TicketState, str]]] = {
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
OPENED: Final[Mapping[Language, str]] = {"zh": "登记于", "en": "Opened"}
UPDATED: Final[Mapping[Language, str]] = {"zh": "更新于", "en": "Updated"}

TICKET: Final[Mapping[Language, str]] = {"zh": "工单", "en": "Ticket"}
TICKET_GONE: Final[Mapping[Language, str]] = {
    "zh": "没有找到这张工单，或者它不在您名下。",
    "en": "I can't find that ticket, or it isn't yours.",
}
DIALOGUE: Final[Mapping[Language, str]] = {"zh": "对话记录", "en": "Conversation"}
CLOSE: Final[Mapping[Language, str]] = {"zh": "关闭", "en": "Close"}

FORM_TITLE: Final[Mapping[Language, str]] = {"zh": "登记工单", "en": "Open a ticket"}
FORM_LABEL: Final[Mapping[Language, str]] = {"zh": "需要我们解决什么问题？", "en": "What do you need help with?"}
FORM_HINT: Final[Mapping[Language, str]] = {
    "zh": "工单登记在您名下。同事的答复会发到这条消息的消息列里；我进不去那个频道的话，就私信发给您。",
    "en": "The ticket is opened in your name. The answer comes to that message's thread, or to you in a direct "
    "message where I can't write in that channel.",
}
FORM_SUBMIT: Final[Mapping[Language, str]] = {"zh": "登记", "en": "Open ticket"}
FORM_CANCEL: Final[Mapping[Language, str]] = {"zh": "取消", "en": "Cancel"}
FORM_EMPTY: Final[Mapping[Language, str]] = {"zh": "请写几个字。", "en": "Please write a few words."}

USAGE: Final[Mapping[Language, str]] = {
    "zh": "请在命令后面写上问题，例如：`/ask 年假有几天？`",
    "en": "Write your question after the command, e.g. `/ask How many days of leave do I have?`",
}
ASKS: Final[Mapping[Language, str]] = {"zh": "{who} 想问：{words}", "en": "{who} asks: {words}"}
WANTS_TICKET: Final[Mapping[Language, str]] = {"zh": "{who} 要登记工单：{words}", "en": "{who} opens a ticket: {words}"}
ASKED_IN_PRIVATE: Final[Mapping[Language, str]] = {"zh": "您的问题：{words}", "en": "You asked: {words}"}
ANSWERED_IN_PRIVATE: Final[Mapping[Language, str]] = {
    "zh": "这个频道里我没法回答，我在私信里答复您。",
    "en": "I can't answer in this channel, so I'm answering you in a direct message.",
}
OVERHEARD: Final[Mapping[Language, str]] = {
    "zh": "这个频道里有其他公司的人，我不方便在这里回答。请私信问我。",
    "en": "People from another company can read this channel, so I don't answer here. Please send me a direct message.",
}
OF_TICKET: Final[Mapping[Language, str]] = {"zh": "您登记的工单：{words}", "en": "Your ticket: {words}"}

PROMPTS: Final[Mapping[Language, tuple[tuple[str, str], ...]]] = {
    "zh": (("你能做什么？", "你能做什么？"), ("转人工", "转人工"), ("我的工单怎么样了？", "我的工单怎么样了？")),
    "en": (
        ("What can you do?", "What can you do?"),
        ("Talk to a person", "I want to talk to a person"),
        ("Where is my ticket?", "Where is my ticket?"),
    ),
}
"""(title, what is sent) of the suggestions above an empty conversation. No slash: Slack may take it for a command; and
nothing that opens a ticket about nothing."""


def language_of(locale: str) -> Language:
    """The language for somebody of whom only Slack's locale is known, such as "zh-CN"."""
    return "zh" if locale.lower().startswith("zh") else "en"
