"""What the AI bot's channel itself says to people. WeCom gives no hint of their language: their own words decide."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from bot.messages import Language

WORKING: Final[Mapping[Language, str]] = {"zh": "正在查询，请稍候…", "en": "One moment, please…"}
LATE: Final[Mapping[Language, str]] = {
    "zh": "这个问题还需要一点时间，有结果后会另发一条消息给您。",
    "en": "This takes longer than one message may wait. The answer will come in a message of its own.",
}
ANSWERED_ABOVE: Final[Mapping[Language, str]] = {
    "zh": "已和上一条一起答复，请看上面的回答 ↑",
    "en": "Answered together with your message before this one: please see above ↑",
}
WITH_PERSON: Final[Mapping[Language, str]] = {
    "zh": "已转给负责的同事，答复会发在这里。",
    "en": "This has gone to the colleague in charge. Their answer will appear here.",
}
TOO_MUCH: Final[Mapping[Language, str]] = {
    "zh": "消息有点多，这一条没能处理，请稍后再发。",
    "en": "That was too much at once, and this message was left out. Please send it again later.",
}
CONTINUED: Final[Mapping[Language, str]] = {
    "zh": "回答见下一条消息 ↓",
    "en": "Please see the next message for the answer ↓",
}
GONE: Final[Mapping[Language, str]] = {
    "zh": "这条消息的回答已经结束。",
    "en": "The answer to this message has ended.",
}
WELCOME: Final[Mapping[Language, str]] = {
    "zh": "您好！我是智能客服，可以用中文或英文直接提问。\n"
    "想找同事帮忙，发“转人工”；想登记问题，发“/ticket 问题描述”。",
    "en": "Hello! I am the service bot: just ask, in Chinese or English.\n"
    "To reach a colleague, write “agent”; to register a problem, “/ticket what it is about”.",
}

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_LATIN = re.compile(r"[A-Za-z]{2}")


def language_of(text: str) -> Language:
    """The language to speak to somebody who wrote this."""
    return "en" if _LATIN.search(text) and not _HAN.search(text) else "zh"
