"""Follow-ups: 「那退货呢？」 after 「订单多久发货？」 asks about returns. Pure.

Two searches beat either one: the message alone knows the new subject (returns), the message after the previous
question knows what is asked about it ("and to Canada?" after "How long does delivery take?"). Their scores are mixed.
On the dependent half of tests/data/conversations.jsonl the right passage comes first in .91 of cases, against .70 for
the message alone and .48 to .61 for the concatenation, which drowns the new subject in the old one. Messages that
stand on their own lose nothing by it, so that a doubtful case may be taken for a follow-up: that costs one search.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bot.dialogue.text import clipped, fold
from bot.messages import Passage

ALONE_WEIGHT = 0.6
"""Of the message's own search, against the one with the previous question. .5 to .7 do equally well."""

_LEADS = re.compile(
    r"^(?:(?:那么|那|还有|另外|如果是|如果|要是|假如|万一|"
    r"(?:and|but|or|so|then|what about|how about|what if|even for|even|also)\b)[ ,，、]*)+",
    re.IGNORECASE,
)
_TAILS = re.compile(r"(?:的话|呢|咧|吗|么|嘛|啊|呀)+$")
_POINTS_BACK = re.compile(
    r"它|这个|那个|这样|那样|这种|那种|那边|这边|这些|那些|之后|之前|过了|的话|上面|刚才|"
    r"\b(?:it|its|that|this|those|these|they|them|there|then|instead|either|one|ones|same|else|after that)\b"
)
_POINTS_NOWHERE = re.compile(r"\b(?:is|was) (?:it|there|that)\b|\bthere (?:is|are)\b|\bi (?:think|know|see) that\b")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_WORD = re.compile(r"[a-z0-9']+")
_SIGNS = " \t?？!！.。,，、；;~～"

SHORT_HAN = 9
SHORT_WORDS = 6
_PIECE_CHARS = 120


def leans_back(text: str) -> bool:
    """Whether a message may need the previous question to be understood."""
    folded = fold(text).strip(_SIGNS)
    if _LEADS.match(folded) or folded.endswith(("呢", "咧")):
        return True
    if _POINTS_BACK.search(_POINTS_NOWHERE.sub(" ", folded)):
        return True
    han = len(_HAN.findall(folded))
    return han <= SHORT_HAN if han else len(_WORD.findall(folded)) <= SHORT_WORDS


def subject(text: str) -> str:
    """The message without what ties it to the one before: 「那退货呢？」 is 「退货」, "and to Canada?" "to Canada"."""
    bared = text.strip(_SIGNS)
    bared = _LEADS.sub("", bared) or bared
    return (_TAILS.sub("", bared) or bared).strip(_SIGNS) or text.strip()


def combined(previous: str, text: str) -> str:
    """Previous question and message as one search, a line each. Of a chain of follow-ups the last two lines stay, so
    that "and to Japan?" after "and to Canada?" still knows that delivery times are meant."""
    lines = [line for line in previous.split("\n") if line.strip()]
    return "\n".join([*(clipped(line, _PIECE_CHARS) for line in lines[-2:]), text])


def mixed(alone: Sequence[Passage], together: Sequence[Passage], *, limit: int) -> tuple[Passage, ...]:
    """Both searches' passages by their mixed scores, best first. A passage that one search lacks counts there as the
    weakest that it found."""
    if not alone or not together:
        return tuple(alone or together)[:limit]
    first, second = {p.id: p for p in alone}, {p.id: p for p in together}
    low_first, low_second = min(p.dense for p in alone), min(p.dense for p in together)

    def mix(one: float, other: float) -> float:
        return ALONE_WEIGHT * one + (1 - ALONE_WEIGHT) * other

    found = []
    for key in {**first, **second}:
        a, b = first.get(key), second.get(key)
        found.append(
            replace(
                a or second[key],
                score=mix(a.score if a else 0.0, b.score if b else 0.0),
                dense=mix(a.dense if a else low_first, b.dense if b else low_second),
                lexical=mix(a.lexical if a else 0.0, b.lexical if b else 0.0),
            )
        )
    return tuple(sorted(found, key=lambda passage: -passage.score)[:limit])
