"""The names of our messages: WeCom takes no two of one name, so a message that is sent again arrives once."""

from __future__ import annotations

import hashlib
import re

_NAME = re.compile(r"k([0-9a-z]{1,13})-([0-9]{1,2})-[0-9a-f]{14}", re.ASCII)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_MOST_PARTS = 100
LONGEST = 32
"""Characters that WeCom takes in a name, of 0-9 a-z A-Z _ -."""


def name_of(*, salt: str, delivery_id: int, number: int, text: str) -> str:
    """The name of one message of a delivery, the same at every attempt.

    Deliveries are counted anew in a new database, and WeCom remembers the old names: the salt of the customer's row
    makes others of them. The words are in it too, should a later version cut them otherwise.
    """
    assert 0 <= number < _MOST_PARTS
    what = "\0".join((salt, str(delivery_id), str(number), text))
    digest = hashlib.sha256(what.encode("utf-8", "surrogatepass")).hexdigest()[:14]
    return f"k{_base36(delivery_id)}-{number}-{digest}"


def delivery_of(name: str) -> int | None:
    """The delivery that a message of this name belongs to; None where the name is none of ours."""
    found = _NAME.fullmatch(name)
    return int(found[1], 36) if found is not None else None


def _base36(number: int) -> str:
    digits = ""
    while number or not digits:
        number, last = divmod(number, 36)
        digits = _DIGITS[last] + digits
    return digits
