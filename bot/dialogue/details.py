"""What a ticket needs to know and the words already hold: contact, order number, urgency, a subject. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from bot.dialogue.text import excerpt, fold, sentences

SUBJECT_CHARS = 60

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}")
# A Chinese mobile number, or an international one that says so with a plus sign. An unmarked run of digits stays what
# it is: it may be an order.
_PHONE = re.compile(
    r"(?<![0-9A-Za-z])"
    r"(?:(?:\+?86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}|\+[1-9]\d{0,2}(?:[ -]?\(?\d{1,4}\)?){2,5})"
    r"(?![0-9A-Za-z])"
)
_ORDER = re.compile(
    r"(?:订单(?:编?号)?|单号|order(?:\s*(?:number|no\.?|id))?)\s*(?:是|为|is)?\s*[:#]?\s*#?((?=[A-Z0-9-]*\d)[A-Z0-9][A-Z0-9-]{4,31})",
    re.IGNORECASE,
)
_URGENT = re.compile(
    r"紧急|加急处理|十万火急|火烧眉毛|急急急|很急|特别急|非常急|马上处理|立刻处理|\burgent(?:ly)?\b|\basap\b|\bemergency\b"
)


def contact_in(text: str) -> str:
    """The first telephone number or mail address, as written; "" for none."""
    plain = unicodedata.normalize("NFKC", text)
    found = [match for match in (_EMAIL.search(plain), _PHONE.search(plain)) if match]
    return min(found, key=lambda match: match.start())[0].strip() if found else ""


def order_in(text: str) -> str:
    """The order number, if one is named as such; "" for none."""
    match = _ORDER.search(unicodedata.normalize("NFKC", text))
    return match[1] if match else ""


def urgency_in(text: str) -> Literal["normal", "high"]:
    return "high" if _URGENT.search(fold(text)) else "normal"


def subject_of(issue: str) -> str:
    """One short line about the issue: its first sentence."""
    first = next(iter(sentences(issue)), issue)
    return excerpt(first.rstrip("。.！!，,"), SUBJECT_CHARS)
