"""Reading a call's arguments as WeCom does, and measuring them in bytes of UTF-8."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.fakes.wecomapi.errors import Refused
from tests.fakes.wecomapi.state import Call, Json, Secret, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call with its arguments and with whoever makes it."""

    state: State
    call: Call
    query: dict[str, str]
    body: Json
    secret: Secret | None = None

    def breaks(self, rule: str, detail: str) -> None:
        self.state.breaks(rule, f"{self.call.method}: {detail}", self.call)

    def text(self, name: str) -> str:
        """:raises Refused: absent, empty or no string."""
        value = self.body.get(name)
        if not isinstance(value, str) or not value:
            raise Refused(40035, f"{name} missing")
        return value

    def part(self, name: str) -> Json:
        """:raises Refused: no object."""
        value = self.body.get(name)
        if not isinstance(value, dict):
            raise Refused(40035, f"{name} missing")
        return value

    def names(self, name: str, most: int) -> list[str]:
        """:raises Refused: no list of strings, or too many."""
        value = self.body.get(name)
        if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
            raise Refused(40035, f"{name} missing")
        if len(value) > most:
            raise Refused(40035, f"{name} exceeds {most}")
        return value

    def only(self, known: Iterable[str]) -> None:
        """Writes down the arguments that WeCom does not know: it would ignore them in silence."""
        for name in sorted(self.body.keys() - set(known)):
            self.breaks("unknown_field", name)


@dataclass(frozen=True, slots=True)
class Method:
    """A method of qyapi: how it is called, what its token must be good for ("": it takes none), and what it does."""

    verb: str
    scope: str
    work: Callable[[Asked], Any | Awaitable[Any]]


def content_of(part: Json, *, name: str = "content") -> str:
    """:raises Refused: 44004, there are no words."""
    value = part.get(name)
    if not isinstance(value, str):
        raise Refused(40035, f"{name} is no string")
    if not value.strip():
        raise Refused(44004)
    return value


def size(text: str) -> int:
    return len(text.encode())


def shorten(text: str, limit: int) -> str:
    """What is left of it in so many bytes, on whole characters."""
    return text.encode()[:limit].decode(errors="ignore")
