"""What the web channel itself says to a customer, when there is no reply of the core to pass on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from bot.messages import Language

WITH_AGENT: Final[Mapping[Language, str]] = {
    "zh": "您的消息已经转给客服同事，回复会显示在这里。",
    "en": "Your message has been passed on to our support team. Their answer will appear here.",
}
STILL_WORKING: Final[Mapping[Language, str]] = {
    "zh": "这条消息还在处理中，比平时久一些。您不用重发，回复会显示在这里。",
    "en": "This is taking longer than usual. There is no need to send it again: the answer will appear here.",
}
TAKEN: Final[Mapping[Language, str]] = {
    "zh": "收到。",
    "en": "Noted.",
}

_LATIN = re.compile(r"[A-Za-z]{2}")
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")


def language_of(text: str, hint: str) -> Language:
    """The language to speak: the words decide, then the browser."""
    if _HAN.search(text):
        return "zh"
    return "zh" if hint.lower().startswith("zh") and not _LATIN.search(text) else "en"
