"""Numbers that belong to a person: phones, identity cards, bank cards.

A run of digits with spaces, hyphens and the like inside is taken apart into its groups, and neighbouring groups are
tried together, the longest first: so a number is found wherever it begins, and a piece of a longer one is not.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

import phonenumbers
from stdnum import luhn
from stdnum.cn import ric

Kind: TypeAlias = Literal["phone", "id_card", "bank_card", "email", "passport", "plate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Personal data in a text."""

    kind: Kind
    start: int
    end: int
    """`start` and `end` are code points of the text as it was given."""
    mask: str
    """What may be shown in its place."""


INVISIBLE = "\u200b"
"""What stands in normalised text for any character that is not seen."""

_SEPARATOR = rf"(?:[ {INVISIBLE}]{{1,2}}|[ {INVISIBLE}]?[-(][ {INVISIBLE}]?|[ {INVISIBLE}]?\)[ {INVISIBLE}-]?|\.)"
_RUN = re.compile(rf"[0-9]+(?:{_SEPARATOR}[0-9]+)*")
_GROUP = re.compile("[0-9]+")
_FEWEST_DIGITS, _MOST_DIGITS, _MOST_GROUPS = 7, 19, 6
_MOST_PHONE_DIGITS = 17  # of E.164's fifteen and the 00 before them
_FIRST_DIGITS = {
    9: "0",
    10: "023456789",
    11: "01",
    12: "0",
    13: "048",
    14: "03",
    15: "0123456789",
    16: "02345689",
    17: "0123456789",
    18: "0123456789",
    19: "045689",
}
"""How a phone number, an identity number or a card of so many digits can begin."""

_CONNECTED = (
    r"[ ]?(?:号码|号|编号|码|numbers?|nos?\.?|#|id)?[ ]{0,2}(?:is|was|are|at|on|to|是|为)?[ ]{0,2}"
    r"[:=#\[「“\"']{0,2}[ ]{0,2}[+(]{0,2}$"
)
_BETWEEN_WORD_AND_NUMBER = " .:=#[「“\"'(+"
_NOT_PERSONAL = re.compile(
    r"(?:订单|單號|单号|运单|快递|物流|流水|编[号码]|货号|型号|序列|工单|发票|合同|会议|票号|批次|条码|条形码|交易|版本|税号|信用代码"
    r"|order|tracking|invoice|ticket|ref(?:erence)?|transaction|trace|serial|batch|sku|version|build|parcel|shipment|case|meeting|imei|isbn)"
    rf"{_CONNECTED}",
    re.IGNORECASE,
)
_PHONE_WORD = re.compile(
    r"(?:手机|手機|电话|電話|座机|固话|联系方式|联系人|致电|拨打|传真|微信|whatsapp|wechat|\btel|telephone|phone|mobile|\bcell|\bcall"
    rf"|\btext|\bdial|\bfax|reach (?:me|him|her|us)|contact){_CONNECTED}",
    re.IGNORECASE,
)
_ID_WORD = re.compile(rf"(?:身份证|身份證|身份号|证件|\bid card|identity card|national id){_CONNECTED}", re.IGNORECASE)
_CARD_WORD = re.compile(
    rf"(?:银行卡|储蓄卡|信用卡|借记卡|(?:bank|credit|debit|payment) card|card (?:no|number)){_CONNECTED}", re.IGNORECASE
)
_CONTACT_LETTERS = re.compile(r"(?<![A-Za-z])(?:tel|phone|mobile|mob|cell|call|fax|wx|vx|t|m|p)[.-]?$", re.IGNORECASE)
_AMOUNT = re.compile(r"元|美元|人民币|件|个|%|kg|usd|cny|rmb", re.IGNORECASE)

_MOBILE = re.compile(r"((?:00)?86)?0?(1[3-9][0-9]{9})")
_MOBILE_SHAPES = {(11,), (3, 4, 4), (3, 8), (7, 4), (3, 3, 5), (4, 4, 3), (4, 7), (5, 6), (6, 5), (12,), (13,), (15,)}
_LANDLINE = re.compile(r"0(?:(10|2[0-57-9])([2-8][0-9]{7})|([3-9][0-9]{2})([2-8][0-9]{6,7}))")
_LOCAL_SHAPES = {(), (7,), (8,), (4, 4), (3, 4), (3, 5)}
_NORTH_AMERICAN = re.compile(r"1?[2-9][0-9]{2}[2-9][0-9]{6}")
_TRUNK_PREFIX = re.compile(r"0[1-9][0-9]{7,9}")
_FREE_CALL = re.compile(r"1?(?:400|800|833|844|855|866|877|888)[0-9]{7}")
_CARD_PREFIX = {
    13: "4",
    14: "30[0-5]|36|38|39",
    15: "34|37|2131|1800",
    16: "4|5|6|35|81|9[04-8]|22[2-9]|2[3-6]|27[01]|2720",
    17: "62",
    18: "62",
    19: "4|5|6|81|9[04-8]",
}
_CARD_SHAPE = re.compile(r"(?:4,)+[1-4]|4,6,[45]|6,1[0-3]|8,8|1[3-9]|(?:1,)+1")
_PROVINCES = {
    *range(11, 16),
    *range(21, 24),
    *range(31, 38),
    *range(41, 47),
    *range(50, 55),
    *range(61, 66),
    71,
    81,
    82,
    83,
}


class _Candidate(NamedTuple):
    """Some neighbouring groups of digits, and what stands around them."""

    text: str
    start: int
    end: int
    digits: str
    shape: tuple[int, ...]
    """How many digits each group has."""
    joined: str
    """What stands between the groups, one sign each: a hyphen, a dot, a parenthesis or a space."""
    left: str
    right: str
    """What joins them to further digits on that side: a sign as in `joined`, or nothing where there are none."""

    def after(self, word: re.Pattern[str]) -> bool:
        """Whether `word` leads up to it; never, where other digits come before."""
        if self.left:
            return False
        before = self.text[max(0, self.start - 32) : self.start]
        # Few numbers have a word before them, and this is much cheaper to see than which.
        return before.rstrip(_BETWEEN_WORD_AND_NUMBER)[-1:].isalpha() and word.search(before) is not None


def numbers(text: str) -> Iterator[Finding]:
    for run in _RUN.finditer(text):
        if run.end() - run.start() < _FEWEST_DIGITS:
            continue
        groups = [found.span() for found in _GROUP.finditer(text, run.start(), run.end())]
        joints = _joints(text, groups)
        first = 0
        while first < len(groups):
            finding, count = _longest(text, groups, joints, first)
            if finding is not None:
                yield finding
            first += count


def _joints(text: str, groups: list[tuple[int, int]]) -> list[str]:
    """What stands before each group, as one sign; nothing before the first and after the last."""
    joints = [""]
    for (start, end), (following, last) in pairwise(groups):
        sign = next((sign for sign in "-.()" if sign in text[end:following]), " ")
        extension = last == groups[-1][1] and last - following <= 5 and end - start >= 7
        two_numbers = end - start == last - following == 11
        joints.append(" " if sign == "-" and (extension or two_numbers) else sign)
    return [*joints, ""]


def _longest(text: str, groups: list[tuple[int, int]], joints: list[str], first: int) -> tuple[Finding | None, int]:
    """The longest personal number that begins at the group `first`, and how many groups are done with."""
    alone = _single_digits(groups, first)
    if joints[first] in {"-", "."}:
        return None, max(1, alone)
    lengths = [end - start for start, end in groups[first : first + max(alone, _MOST_GROUPS)]]
    # Digit by digit ("1 3 8 0 ..."): only all of them together can be a number.
    counts = [alone] if alone > 1 else range(len(lengths), 0, -1)
    for count in counts:
        total = sum(lengths[:count])
        if first:
            # With other digits before it no word or plus sign tells what it is: only its own form can.
            if text[groups[first][0]] not in _FIRST_DIGITS.get(total, ""):
                continue
        elif not _FEWEST_DIGITS <= total <= _MOST_DIGITS:
            continue
        taken = groups[first : first + count]
        candidate = _Candidate(
            text=text,
            start=taken[0][0],
            end=taken[-1][1],
            digits="".join([text[start:end] for start, end in taken]),
            shape=tuple(lengths[:count]),
            joined="".join(joints[first + 1 : first + count]),
            left=joints[first],
            right=joints[first + count],
        )
        finding = _finding(candidate) if _stands_alone(candidate) else None
        if finding is not None:
            return finding, count
    return None, max(1, alone)


def _single_digits(groups: list[tuple[int, int]], first: int) -> int:
    """How many groups of one digit stand together from `first` on."""
    last = first
    while last < len(groups) and groups[last][1] - groups[last][0] == 1:
        last += 1
    return last - first


def _stands_alone(number: _Candidate) -> bool:
    """Whether it is a number of its own, and not a piece of an identifier, a fraction or an amount."""
    if number.right in {"-", "."}:
        return False
    following = number.text[number.end : number.end + 1]
    if following == "_" or (_is_letter(following) and not _ends_with_check_letter(number)):
        return False
    if not number.right and _AMOUNT.match(number.text, number.end) and not number.after(_PHONE_WORD):
        return False
    before = number.text[max(0, number.start - 8) : number.start]
    if number.left or not before:
        return True
    if before[-1] in "_¥￥$€£":
        return False
    identifier = _is_letter(before[-1]) or (before[-1] == "-" and before[-2:-1].isascii() and before[-2:-1].isalnum())
    return not identifier or _CONTACT_LETTERS.search(before) is not None


def _is_letter(char: str) -> bool:
    return char.isascii() and char.isalpha()


def _ends_with_check_letter(number: _Candidate) -> bool:
    """An identity number's last place can be an X."""
    letter, following = number.text[number.end], number.text[number.end + 1 : number.end + 2]
    return len(number.digits) == 17 and letter in "xX" and not (following.isascii() and following.isalnum())


def _finding(number: _Candidate) -> Finding | None:
    digits, end = number.digits, number.end
    if len(digits) == 17 and _is_letter(number.text[end : end + 1]):
        digits, end = digits + "X", end + 1
    if _is_id_card(digits, number):
        return Finding(kind="id_card", start=number.start, end=end, mask="[id card]")
    if digits.endswith("X") or number.after(_NOT_PERSONAL):
        return None
    if _is_bank_card(digits, number):
        return Finding(kind="bank_card", start=number.start, end=end, mask=f"[card ****{digits[-4:]}]")
    if len(digits) > _MOST_PHONE_DIGITS:
        return None
    shown = _international(digits, number) or _mobile(digits, number) or _national(digits, number)
    return _phone(number, shown) if shown else None


def _is_id_card(digits: str, number: _Candidate) -> bool:
    if "." in number.joined or len(digits) not in {15, 18}:
        return False
    if number.after(_ID_WORD):
        return True
    if int(digits[:2]) not in _PROVINCES:
        return False
    if len(digits) == 15:
        single = len(number.shape) == 1
        return single and _is_date(f"19{digits[6:12]}") and not number.after(_NOT_PERSONAL)
    return _is_date(digits[6:14]) and ric.calc_check_digit(digits) == digits[-1]


def _is_date(digits: str) -> bool:
    try:
        return 1900 <= date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])).year < 2100
    except ValueError:
        return False


def _is_bank_card(digits: str, number: _Candidate) -> bool:
    if not set(number.joined) <= {" ", "-"} or not 13 <= len(digits) <= 19:
        return False
    if number.after(_CARD_WORD) and len(digits) >= 15:
        return True
    known = re.match(_CARD_PREFIX[len(digits)], digits) is not None
    shaped = _CARD_SHAPE.fullmatch(",".join(map(str, number.shape))) is not None
    return known and shaped and luhn.checksum(digits) == 0


def _phone(number: _Candidate, shown: str) -> Finding:
    start = number.start
    if shown[0] == "+" and number.text[start - 1 : start] == "+":
        start -= 1
    if ")" in number.joined and number.text[start - 1 : start] == "(":
        start -= 1
    return Finding(kind="phone", start=start, end=number.end, mask=shown)


def _international(digits: str, number: _Candidate) -> str:
    """The mask of a number with its country's code, or nothing."""
    plus = not number.left and number.text[number.start - 1 : number.start] == "+"
    code = digits if plus else digits.removeprefix("00")
    if not (plus or (digits.startswith("00") and "." not in number.joined)):
        return ""
    if not 8 <= len(code) <= 15 or code.startswith("0"):
        return ""
    if code.startswith("1"):
        # Two dozen countries share this code, and asking for the right one is slow.
        return f"+1****{code[-4:]}" if _NORTH_AMERICAN.fullmatch(code) else ""
    try:
        parsed = phonenumbers.parse(f"+{code}")
    except phonenumbers.NumberParseException:
        return ""
    # A number that no plan knows is taken whole or not at all: what follows it could be a quantity.
    if not phonenumbers.is_valid_number(parsed) and (number.right or not phonenumbers.is_possible_number(parsed)):
        return ""
    mobile = _MOBILE.fullmatch(code) if parsed.country_code == 86 else None
    return _masked_mobile(mobile) if mobile else f"+{parsed.country_code}****{code[-4:]}"


def _mobile(digits: str, number: _Candidate) -> str:
    found = _MOBILE.fullmatch(digits)
    if found is None:
        return ""
    shape = number.shape
    known = shape in _MOBILE_SHAPES or (len(shape) > 1 and shape[1:] in _MOBILE_SHAPES) or set(shape) == {1}
    if not known or ("." in number.joined and shape != (3, 4, 4)):
        return ""
    return _masked_mobile(found)


def _masked_mobile(found: re.Match[str]) -> str:
    return f"{'+86 ' if found[1] else ''}{found[2][:3]}****{found[2][-4:]}"


def _national(digits: str, number: _Candidate) -> str:
    """The mask of a landline or of a number as it is written within a country, or nothing."""
    shape, signs = number.shape, set(number.joined)
    if _FREE_CALL.fullmatch(digits):
        return ""
    landline = _LANDLINE.fullmatch(digits)
    if landline is not None and "." not in signs:
        area = landline[1] or landline[3]
        if len(shape) == 1 or (shape[0] == len(area) + 1 and shape[1:] in _LOCAL_SHAPES):
            return f"0{area}-****{digits[-4:]}"
    # Without a word for it, only signs between the groups tell a phone number from a row of quantities.
    if signs & {"-", "(", ")", "."}:
        if shape[-3:] == (3, 3, 4) and _NORTH_AMERICAN.fullmatch(digits):
            return f"{digits[-10:-7]}****{digits[-4:]}"
        if "." not in signs and 2 <= len(shape) <= 4 and shape[-1] >= 3 and _TRUNK_PREFIX.fullmatch(digits):
            return f"{digits[:2]}****{digits[-3:]}"
    if number.after(_PHONE_WORD) and len(digits) <= 15 and shape[-1] > 1 and "." not in signs:
        return f"****{digits[-3:]}"
    return ""
