"""Personal data in text: where it stands, and what may be shown in its place.

Our own recognisers, because the general ones miss Chinese documents and find no word boundary beside ideographs. What
is looked for: mobile, landline and foreign phone numbers, Chinese identity numbers (18 and 15 digits), bank cards,
e-mail addresses, passports and travel permits (where a word names them) and licence plates; also in full-width
characters, with spaces or hyphens inside, and directly beside Chinese characters. What is left alone: order, ticket and
tracking numbers, dates, prices, quantities, time stamps, versions, addresses of machines, and the free-call numbers of
companies.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

from bot.personal_numbers import INVISIBLE, Finding, numbers


def find(text: str) -> tuple[Finding, ...]:
    """The personal data in `text`, in order and apart from one another."""
    if not _WORTH_A_LOOK.search(text):
        return ()
    # One character for one character, so that places in it are places in the original.
    plain = text if text.isascii() else text.translate(_plain_characters())
    found: list[Finding] = []
    # In this order: an address may contain a number, and a passport's digits may look like one.
    for recognise in (_emails, _passports, _plates, numbers):
        found = _merged(found, recognise(plain))
    return tuple(found)


def _merged(old: list[Finding], new: Iterator[Finding]) -> list[Finding]:
    """Both in order, but nothing new that overlaps the old."""
    merged: list[Finding] = []
    passed = 0
    for finding in new:
        while passed < len(old) and old[passed].end <= finding.start:
            merged.append(old[passed])
            passed += 1
        if passed == len(old) or finding.end <= old[passed].start:
            merged.append(finding)
    return [*merged, *old[passed:]]


_WORTH_A_LOOK = re.compile(r"\d|[@＠]")


@cache
def _plain_characters() -> dict[int, str]:
    """Full-width and other forms of ASCII characters, dashes, spaces, foreign digits, invisible characters."""
    table: dict[int, str] = {}
    for low, high in ((0xA0, 0x2100), (0x2200, 0x2300), (0x3000, 0x3001), (0xA620, 0xABFA), (0xFE50, 0x10000)):
        table.update((code, plain) for code in range(low, high) if (plain := _plain_character(chr(code))))
    table.update((code, plain) for code in range(0x1D400, 0x1D800) if (plain := _plain_character(chr(code))))
    return table


def _plain_character(char: str) -> str | None:
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category == "Pd" or char == "\u2212":
        return "-"
    if category == "Zs":
        return " "
    if category == "Cf":
        return INVISIBLE
    # Not superscripts and circled digits: those stand for a unit or number a list.
    plain = unicodedata.normalize("NFKC", char) if category != "No" else ""
    return plain if len(plain) == 1 and plain.isascii() else None


# E-mail

_LOCAL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._%+-"
_DOMAIN = re.compile(r" ?((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,8}[A-Za-z]{2,24})(?![A-Za-z0-9])")


def _emails(text: str) -> Iterator[Finding]:
    sign = text.find("@")
    while sign >= 0:
        # "a @ b.com" is an address, "see @b.com" is not: a space on both sides or on none.
        spaced = text[sign - 1 : sign] == " " == text[sign + 1 : sign + 2]
        before = text[max(0, sign - 65) : sign - spaced]
        local = before[len(before.rstrip(_LOCAL)) :].lstrip(".%+-")
        domain = _DOMAIN.match(text, sign + 1)
        if local and domain and (spaced or not domain[0].startswith(" ")):
            start = sign - spaced - len(local)
            yield Finding(kind="email", start=start, end=domain.end(), mask=f"{local[0]}***@{domain[1]}")
        sign = text.find("@", sign + 1)


# Passports and plates

_PASSPORT = re.compile(r"(?<![0-9A-Za-z_-])(?:[A-Za-z]{1,2}[ -]?[0-9]{6,9}|[0-9]{8,9})(?![0-9A-Za-z_]|-[0-9A-Za-z])")
_PASSPORT_WORD = re.compile(r"护照|護照|通行证|通行證|回乡证|台胞证|passport|travel (?:permit|document)", re.IGNORECASE)
_BETWEEN = re.compile(r"[。！？!?;；\n]|订单|单号|order|ticket", re.IGNORECASE)
_PLATE = re.compile(
    r"([京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Za-hj-np-z])[ ·•.-]?"
    r"(?=[A-Za-z]{0,3}[0-9])([0-9A-HJ-NP-Za-hj-np-z]{4,5}[0-9A-HJ-NP-Za-hj-np-z学警港澳挂])(?![0-9A-Za-z_-])"
)


def _passports(text: str) -> Iterator[Finding]:
    if not _PASSPORT_WORD.search(text):
        return
    for found in _PASSPORT.finditer(text):
        before, after = text[max(0, found.start() - 24) : found.start()], text[found.end() : found.end() + 12]
        named_before = [word.end() for word in _PASSPORT_WORD.finditer(before)]
        named_after = _PASSPORT_WORD.search(after) if found[0][0].isalpha() else None
        if (named_before and not _BETWEEN.search(before[named_before[-1] :])) or (
            named_after and not _BETWEEN.search(after[: named_after.start()])
        ):
            yield Finding(kind="passport", start=found.start(), end=found.end(), mask="[passport]")


def _plates(text: str) -> Iterator[Finding]:
    for found in _PLATE.finditer(text):
        if sum(map(str.isdigit, found[2])) >= 2:
            yield Finding(kind="plate", start=found.start(), end=found.end(), mask=f"{found[1]}***{found[2][-2:]}")
