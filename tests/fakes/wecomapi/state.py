"""What the fake WeCom knows: secrets, colleagues, customers, what was said, and every call that was made."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.platform import Changes, MovableClock

Json = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Call:
    """One request of the bot, in the order of arrival. Neither tokens nor secrets are kept."""

    number: int
    at: float
    """The fake's clock, seconds."""
    method: str
    """The path behind /cgi-bin/."""
    params: Json
    secret: str = ""
    """The name of the secret whose token it had."""
    token: str = ""
    """The end of the token, to tell two from each other."""
    status: int = 0
    """HTTP status of the answer; 0 while it runs or when the connection was broken."""
    errcode: int = 0
    applied: bool = False
    """It had its effect, whatever the caller was told."""
    fault: str = ""
    """The kind of the fault that hit it."""
    msgid: str = ""
    """The message it made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A rule of WeCom that the bot broke, whether WeCom says so or not. A test wants none."""

    rule: str
    """One word for it: truncated, unknown_field, rate, …"""
    detail: str
    call: int = -1


@dataclass(slots=True, kw_only=True)
class Message:
    """Something the bot said, as it stands before its reader now."""

    channel: str
    """app, appchat, kf, bot or webhook."""
    place: str
    """The user's id, the customer's, the chat's; "" for the webhook."""
    msgid: str
    msgtype: str
    text: str
    """What is to be read: the words, or the title, text and buttons of a card."""
    body: Json
    at: float
    kf: str = ""
    """The 客服 account it was said by."""
    key: str = ""
    """The webhook's key, the stream's id."""
    on_event: bool = False
    """Sent with a code of an event: a welcome, a farewell."""
    recalled: bool = False
    updated: list[Json] = field(default_factory=list)
    """What its card was changed to, each time."""


@dataclass(slots=True, kw_only=True)
class Secret:
    """What gives access tokens."""

    name: str
    value: str
    agent_id: int
    scopes: set[str] = field(default_factory=set)
    refused: int = 0
    """The code that gettoken answers with; 0 while the secret works."""
    token: str = ""
    expires_at: float = 0.0


class State(Changes):
    """Everything that survives a restart of the bot."""

    def __init__(self, clock: MovableClock, *, corp_id: str) -> None:
        super().__init__()
        self.clock = clock
        self.corp_id = corp_id
        self.secrets: dict[str, Secret] = {}
        self.members: dict[str, str] = {}
        """Lower-case user id → as the corporation writes it."""
        self.messages: list[Message] = []
        self.calls: list[Call] = []
        self.violations: list[Violation] = []
        self._counter = 0

    def new_id(self, prefix: str = "") -> str:
        """Never the same twice, in the alphabet of WeCom's ids."""
        self._counter += 1
        return f"{prefix}{self._counter:05d}{secrets.token_hex(8)}"

    def breaks(self, rule: str, detail: str, call: Call | None = None) -> None:
        """Writes down that the bot broke a rule."""
        self.violations.append(Violation(rule=rule, detail=detail, call=call.number if call else -1))
        self.touch()

    def say(self, message: Message) -> Message:
        self.messages.append(message)
        self.touch()
        return message

    def begin(self, method: str, params: Json) -> Call:
        call = Call(number=len(self.calls), at=self.clock.now(), method=method, params=params)
        self.calls.append(call)
        return call

    def member(self, user: str) -> str:
        """A colleague who may use the app, known from the first mention on."""
        return self.members.setdefault(user.lower(), user)
