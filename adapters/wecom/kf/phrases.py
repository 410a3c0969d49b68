"""What 微信客服 itself says to customers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bot.messages import Language

WELCOME: Final[Mapping[Language, str]] = {
    "zh": "您好，我是智能客服，很高兴为您服务。直接把问题发给我就行；想找人工，随时发「转人工」。",
    "en": "Hello, I am the automatic assistant. Just send me your question; say “agent” if you would rather talk to a "
    "person.",
}
PERSON: Final[Mapping[Language, str]] = {"zh": "转人工", "en": "Talk to a person"}
TICKET: Final[Mapping[Language, str]] = {"zh": "提交工单", "en": "Open a ticket"}
HELPFUL: Final[Mapping[Language, str]] = {"zh": "有帮助", "en": "Helpful"}
NOT_HELPFUL: Final[Mapping[Language, str]] = {"zh": "没帮助", "en": "Not helpful"}

SHORTENED: Final[Mapping[Language, str]] = {
    "zh": "（内容较长，先发到这里。想了解其余部分，请直接告诉我您关心哪一点；需要人工，请发「转人工」。）",
    "en": "(This is long, so it ends here for now. Tell me which point you would like to know more about, or say "
    "“agent” to talk to a person.)",
}
SHORTENED_AGENT: Final[Mapping[Language, str]] = {
    "zh": "（内容较长，先发到这里；其余部分请回复我们索取。）",
    "en": "(This is long, so it ends here for now; please write back for the rest.)",
}
