"""What the receiving half of this channel says itself: App Home, dialogues, the answer to a bare command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bot.messages import Language, TicketState

HOME_TITLE: Final[Mapping[Language, str]] = {"zh": "我能帮您做什么", "en": "What I can do for you"}
HOME_INTRO: Final[Mapping[Language, str]] = {
    "zh": "我是自动助手，根据公司的知识库回答问题；回答不了的，我会为您登记工单，由同事处理。",
    "en": "I am an automatic assistant. I answer from the company's own knowledge; what I cannot answer becomes a "
    "ticket that a colleague works on.",
}
HOME_WAYS: Final[Mapping[Language, tuple[str, ...]]] = {
    "zh": (
        "在“消息”里直接问我，每个问题各有自己的消息列。",
        "在频道里提到我，之后在同一消息列里接着问，不用再提到我。",
        "在任何频道输入 `/ask 您的问题`。",
        "在一条消息的“更多操作”里选“登记工单”。",
        "想找真人，写“转人工”就行。",
    ),
    "en": (
        "Ask me under *Messages*; every question gets a thread of its own.",
        "Mention me in a channel; then go on in the thread, without mentioning me again.",
        "Type `/ask your question` in any channel.",
        "Choose *Open a ticket* from a message's menu of actions.",
        "To reach a person, just write “talk to a person”.",
    ),
}
MY_TICKETS: Final[Mapping[Language, str]] = {"zh": "我的工单", "en": "My tickets"}
NO_TICKETS: Final[Mapping[Language, str]] = {"zh": "您还没有工单。", "en": "You have no tickets."}
TICKETS_UNKNOWN: Final[Mapping[Language, str]] = {
    "zh": "现在看不到您的工单，请稍后再打开这一页。",
    "en": "Your tickets can not be shown right now; please open this page again in a while.",
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
    "zh": "没有找到这张工单，或者它不是您的。",
    "en": "There is no such ticket, or it is not yours.",
}
DIALOGUE: Final[Mapping[Language, str]] = {"zh": "对话记录", "en": "Conversation"}
CLOSE: Final[Mapping[Language, str]] = {"zh": "关闭", "en": "Close"}

FORM_TITLE: Final[Mapping[Language, str]] = {"zh": "登记工单", "en": "Open a ticket"}
FORM_LABEL: Final[Mapping[Language, str]] = {"zh": "需要解决什么问题？", "en": "What is to be solved?"}
FORM_HINT: Final[Mapping[Language, str]] = {
    "zh": "工单会以您的名义登记，同事的答复会发到这条消息的消息列里。",
    "en": "The ticket is opened in your name; the answer comes to the thread of that message.",
}
FORM_SUBMIT: Final[Mapping[Language, str]] = {"zh": "登记", "en": "Open"}
FORM_CANCEL: Final[Mapping[Language, str]] = {"zh": "取消", "en": "Cancel"}
FORM_EMPTY: Final[Mapping[Language, str]] = {"zh": "请写几个字。", "en": "Please write a few words."}

USAGE: Final[Mapping[Language, str]] = {
    "zh": "请在命令后面写上问题，例如：`/ask 年假有几天？`",
    "en": "Write your question after the command, e.g. `/ask How many days of leave do I have?`",
}
ASKS: Final[Mapping[Language, str]] = {"zh": "{who} 想问：{words}", "en": "{who} asks: {words}"}
ASKED_IN_PRIVATE: Final[Mapping[Language, str]] = {"zh": "您的问题：{words}", "en": "You asked: {words}"}
ANSWERED_IN_PRIVATE: Final[Mapping[Language, str]] = {
    "zh": "我不在这个频道里，会在我们的私信里答复您。",
    "en": "I am not a member of this channel, so I answer you in our direct messages.",
}
OVERHEARD: Final[Mapping[Language, str]] = {
    "zh": "这个频道有其他公司的人，我不在这里回答内部问题。请在我们的私信里问我。",
    "en": "People of another company read along here, so I do not answer. Please ask me in a direct message.",
}
OF_TICKET: Final[Mapping[Language, str]] = {"zh": "您要登记的工单：{words}", "en": "The ticket you open: {words}"}

PROMPTS: Final[Mapping[Language, tuple[tuple[str, str], ...]]] = {
    "zh": (("你能做什么？", "/help"), ("我要找真人客服", "转人工"), ("登记一张工单", "帮我建个工单")),
    "en": (
        ("What can you do?", "/help"),
        ("I want to talk to a person", "I want to talk to a person"),
        ("Open a ticket", "Please open a ticket"),
    ),
}
"""(title, what is sent) of the suggestions above an empty conversation."""


def language_of(locale: str) -> Language:
    """The language for somebody of whom only Slack's locale is known, such as "zh-CN"."""
    return "zh" if locale.lower().startswith("zh") else "en"
