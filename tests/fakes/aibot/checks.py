"""What the fields of a frame must look like."""

from __future__ import annotations

from typing import Any

from tests.fakes.aibot.errors import BAD_PARAMETER, TOO_LONG, Refused
from tests.fakes.aibot.state import Json

CONTENT_BYTES = 20_480
ID_BYTES = 256


def mapping(value: Any, name: str) -> Json:
    """A JSON object that has something in it."""
    if not isinstance(value, dict) or not value:
        raise Refused(BAD_PARAMETER, f"{name} is missing or no object")
    return value


def words(value: Any, name: str, *, most: int, empty: bool = False, code: int = BAD_PARAMETER) -> str:
    """A string of at most so many bytes of UTF-8."""
    if not isinstance(value, str) or not (value or empty):
        raise Refused(BAD_PARAMETER, f"{name} is missing or no text")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise Refused(BAD_PARAMETER, f"{name} is no UTF-8") from error
    if size > most:
        raise Refused(code, f"{name} has {size} bytes, more than {most}")
    return value


def content(value: Any, name: str, *, empty: bool = False) -> str:
    """What people read."""
    return words(value, name, most=CONTENT_BYTES, empty=empty, code=TOO_LONG)


def feedback(body: Json) -> str:
    """The id in an optional `feedback`; "" without one."""
    if "feedback" not in body:
        return ""
    return words(mapping(body["feedback"], "feedback").get("id"), "feedback.id", most=ID_BYTES)
