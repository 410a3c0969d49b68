"""Follow-ups: 「那退货呢？」 after 「订单多久发货？」 asks about returns. Pure.

Two searches beat either one: the message alone knows the new subject (returns), the message after the previous
question knows what is asked about it ("and to Canada?" after "How long does delivery take?"). Their scores are mixed.
For the follow-ups of tests/data/conversations.jsonl that nothing was tuned on, the right passage then comes first in
.77 of cases, against .66 for the message alone and .62 for the concatenation, which drowns the new subject in the old.
What an engine makes of the message is a third search where there is one (`bot.dialogue.rewriting`; docs/performance.md
has the table).

Only messages that are tied to what went before are searched so. Leaning on the previous question whenever a message is
short, or found little, was tried: it answers 8 % more of the short follow-ups, and takes a fifth of the questions that
the knowledge does not hold for ones about the previous subject.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bot.dialogue.text import clipped, fold, terms
from bot.messages import Passage

ALONE_WEIGHT = 0.6
"""Of the message's own search, against the one with the previous question. .5 to .7 do equally well."""

REWRITTEN_WEIGHT = 1.5
"""Of the search with the follow-up as an engine rewrote it, against the two others together. From 1.5 to 3 does equally
well on the tuning half, whether two small models or a person rewrote; 1 and less do worse."""

_LEADS = re.compile(
    r"^(?:(?:那么|那|还有|另外|如果是|如果|要是|假如|万一|但是|可是|不过|所以|因为|"
    r"(?:and|but|or|so|then|what about|how about|what if|even for|even|also)\b)[ ,，、]*)+",
    re.IGNORECASE,
)
# What is meant follows: 「不是优惠券，是礼品卡」, "no, I meant the warranty", "not coupons, gift cards".
_MEANT = r"我(?:想?[说问指]的是|是[说问指])|i mean(?:t)?\b|i was asking (?:about|for)\b"
_NOT_SO = (
    r"不[是对]?[,，、 ]+|[打说搞弄]错了[,，、 ]*|不是[^,，。？?]{1,12}[,，](?=是)|no[,.] ?|sorry[,.]? (?=i mean)|"
    r"not [^,.?]{1,20}, (?=[^,?]{1,25}$)(?!what|how|who|where|when|why)"
)
_CORRECTS = re.compile(rf"^(?:(?:{_NOT_SO})(?:{_MEANT}|是(?=[^否不]))?|{_MEANT})[,，、: ]*", re.IGNORECASE)
_TAILS = re.compile(r"(?:的话|呢|咧|吗|么|嘛|啊|呀)+$")
_POINTS_BACK = re.compile(
    r"它|这个|那个|这样|那样|这种|那种|那边|这边|这些|那些|之后|之前|过了|的话|上面|刚才|"
    r"\b(?:it|its|those|these|they|them|there|then|instead|either|same|else|(?:the|this|that|which) one)\b|"
    r"\b(?:for|about|with|of|on|after|to|like|do|does|mean) (?:that|this)\b|^(?:that|this)\b|"
    r"\b(?:that|this)(?: (?:back|over|again|too))?$"
)
_POINTS_NOWHERE = re.compile(
    r"\b(?:is|was|be) it (?:possible|ok|okay|true|allowed|safe|too late|normal)\b|"
    r"\b(?:is|are|was) there\b|\bthere (?:is|are)\b"
)
_SIGNS = " \t?？!！.。,，、；;~～"

# What is left of 「多久能到？」 or "how long does it take?" without these is nothing: the subject was named before.
_NO_SUBJECT = re.compile(
    r"几(?:天|点|个|次|件)|多少钱|钱|元|块|费用|时间|时候|[能会用有要收给算放来行啊到天长久大少多贵]|"
    r"\b(?:long|much|many|cost|costs|take|takes|days?|hours?|time|price|fee|far|often|soon|work|works|about|happen|happens)\b"
)
_PIECE_CHARS = 120


def leans_back(text: str) -> bool:
    """Whether a message is tied to the previous question: it begins like a continuation, points at something named
    before, or names no subject of its own."""
    folded = fold(text).strip(_SIGNS)
    if _LEADS.match(folded) or _corrected(folded) != folded or folded.endswith(("呢", "咧")):
        return True
    if _POINTS_BACK.search(_POINTS_NOWHERE.sub(" ", folded)):
        return True
    return not _names_subject(folded)


def _names_subject(text: str) -> bool:
    return bool(terms(_NO_SUBJECT.sub(" ", fold(text))))


def subject(text: str) -> str:
    """The message without what ties it to the one before: 「那退货呢？」 is 「退货」, "and to Canada?" "to Canada"."""
    bared = _corrected(text.strip(_SIGNS))
    bared = _LEADS.sub("", bared) or bared
    return (_TAILS.sub("", bared) or bared).strip(_SIGNS) or text.strip()


def _corrected(text: str) -> str:
    """What a correction says is meant; any other text as it is."""
    return _CORRECTS.sub("", text, count=1) or text


def combined(previous: str, text: str) -> str:
    """Previous question and message as one search, a line each. Of a chain of follow-ups the last two lines stay, so
    that "and to Japan?" after "and to Canada?" still knows that delivery times are meant."""
    lines = [line for line in previous.split("\n") if line.strip()]
    return "\n".join([*(clipped(line, _PIECE_CHARS) for line in lines[-2:]), text])


def followed(previous: str, text: str) -> str:
    """The form in which a message is searched for, and in which the next one finds it as its `previous`."""
    return combined(previous, text) if previous and leans_back(text) else text


def asked(question: str) -> str:
    """What a combined question asks: its last line, if that names a subject. Any other question as it is."""
    earlier, _, last = question.rpartition("\n")
    return subject(last) if earlier and _names_subject(last) else question


def mixed(*searches: tuple[float, Sequence[Passage]], limit: int) -> tuple[Passage, ...]:
    """Several searches' passages by their mixed scores, best first; a weight for each search. A passage that one of
    them lacks counts there as the weakest that it found. A search that found nothing is left out."""
    some = [(weight, {passage.id: passage for passage in found}) for weight, found in searches if found]
    if not some:
        return ()
    whole = sum(weight for weight, _ in some)
    lowest = [min(passage.dense for passage in found.values()) for _, found in some]

    def mix(key: str) -> Passage:
        score = dense = lexical = 0.0
        for (weight, found), low in zip(some, lowest, strict=True):
            share, passage = weight / whole, found.get(key)
            score += share * (passage.score if passage else 0.0)
            dense += share * (passage.dense if passage else low)
            lexical += share * (passage.lexical if passage else 0.0)
        one = next(found[key] for _, found in some if key in found)
        return replace(one, score=score, dense=dense, lexical=lexical)

    keys = dict.fromkeys(key for _, found in some for key in found)
    return tuple(sorted(map(mix, keys), key=lambda passage: -passage.score)[:limit])
