"""What the fake Slack knows: workspaces, people, channels, messages, tokens, and every call that was made."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.platform import Changes, MovableClock

Json = dict[str, Any]

APP = "A0KEFU"
TEAM = "T0KEFU"
BOT_SCOPES = (
    "app_mentions:read,assistant:write,channels:history,channels:read,chat:write,commands,files:read,groups:history,"
    "groups:read,im:history,im:read,im:write,mpim:history,mpim:read,reactions:write,team:read,users:read"
)


@dataclass(slots=True, kw_only=True)
class Call:
    """One request of the bot, in the order of arrival."""

    number: int
    at: float
    """The fake's clock, seconds."""
    method: str
    params: Json
    team: str = ""
    """The workspace of the token."""
    channel: str = ""
    thread: str = ""
    status: int = 0
    """HTTP status of the answer; 0 while it runs or when the connection was broken."""
    applied: bool = False
    """It had its effect, whatever the caller was told."""
    error: str = ""
    """Slack's code when it was refused."""
    fault: str = ""
    """The kind of the fault that hit it."""
    ts: str = ""
    """The message it made or changed."""


@dataclass(slots=True, kw_only=True)
class Team:
    """A workspace with the app's bot in it."""

    id: str
    name: str
    bot_user: str
    bot: str
    """The bot's `bot_id`."""
    enterprise: str = ""
    org_wide: bool = False
    """The app was installed for the whole enterprise: events name no team in `authorizations`."""


@dataclass(slots=True, kw_only=True)
class Token:
    """What may be written behind "Bearer "."""

    value: str
    kind: str
    """bot, app or user."""
    team: str
    scopes: set[str] = field(default_factory=set)
    error: str = ""
    """What every call with it is answered: token_revoked, account_inactive, …; "" while it works."""
    expires_at: float | None = None
    refresh: str = ""


@dataclass(slots=True, kw_only=True)
class Person:
    id: str
    name: str
    team: str
    locale: str = "zh-CN"
    is_bot: bool = False
    is_stranger: bool = False
    """From another workspace (Slack Connect)."""
    about: Json = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Stream:
    """What a streaming message is beside a message."""

    started_at: float
    mode: str = ""
    """chunks or markdown_text, once the first payload has decided."""
    parts: list[str] = field(default_factory=list)
    blocks: list[Json] = field(default_factory=list)
    tasks: dict[str, Json] = field(default_factory=dict)
    plan: str = ""
    ended: str = ""
    """"" while it runs; then stopped, expired or user (somebody pressed Stop)."""
    recipient: str = ""


@dataclass(slots=True, kw_only=True)
class Message:
    """A message as it stands now."""

    ts: str
    user: str
    text: str = ""
    thread: str = ""
    """The root's ts for replies; "" for top-level messages."""
    bot: str = ""
    """`bot_id` of the author."""
    team: str = ""
    subtype: str = ""
    blocks: list[Json] = field(default_factory=list)
    metadata: Json | None = None
    files: list[Json] = field(default_factory=list)
    edited: Json | None = None
    stream: Stream | None = None
    reactions: list[Json] = field(default_factory=list)
    seen_by: str = ""
    """An ephemeral message's only reader."""
    deleted: bool = False
    arguments: Json = field(default_factory=dict)
    """The arguments it was last written with, for tests that look at more than the words."""

    @property
    def root(self) -> str:
        return self.thread or self.ts


@dataclass(slots=True, kw_only=True)
class Channel:
    """A conversation: C… public, G… private or group, D… direct."""

    id: str
    kind: str
    """channel, group, mpim or im."""
    team: str
    name: str = ""
    user: str = ""
    """The person of a direct message."""
    members: set[str] = field(default_factory=set)
    archived: bool = False
    shared_with: set[str] = field(default_factory=set)
    """Other workspaces that see it (Slack Connect)."""
    messages: dict[str, Message] = field(default_factory=dict)
    ephemeral: list[Message] = field(default_factory=list)
    statuses: dict[str, Json] = field(default_factory=dict)
    """Thread → what `assistant.threads.setStatus` shows there now."""
    sessions: dict[str, Json] = field(default_factory=dict)
    """Thread → the agent session: status and title."""
    prompts: Json = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Trigger:
    """A `trigger_id`: three seconds, once."""

    user: str
    team: str
    expires_at: float
    used: bool = False


class State(Changes):
    """Everything that survives a restart of the bot."""

    def __init__(self, clock: MovableClock) -> None:
        super().__init__()
        self.clock = clock
        self.teams: dict[str, Team] = {}
        self.tokens: dict[str, Token] = {}
        self.people: dict[str, Person] = {}
        self.channels: dict[str, Channel] = {}
        self.files: dict[str, Json] = {}
        self.contents: dict[str, bytes] = {}
        self.views: dict[str, Json] = {}
        self.homes: dict[tuple[str, str], Json] = {}
        self.triggers: dict[str, Trigger] = {}
        self.calls: list[Call] = []
        self.subscribed: set[str] | None = None
        """Event types the app asked for ("message.im", "app_mention", …); None for all of them."""
        self._last_ts = 0
        self._counter = 0

    # -- Names --

    def new_ts(self) -> str:
        """A message's ts: the time, and never the same twice."""
        self._last_ts = max(self._last_ts + 1, int(self.clock.now() * 1_000_000))
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def new_id(self, prefix: str) -> str:
        self._counter += 1
        return f"{prefix}{self._counter:04d}{secrets.token_hex(4).upper()}"

    # -- Who and where --

    def team(self, team_id: str = TEAM, *, name: str = "", enterprise: str = "", org_wide: bool = False) -> Team:
        """The workspace, made on first mention, with a bot user of its own."""
        if team_id not in self.teams:
            tail = team_id.removeprefix("T")
            self.teams[team_id] = Team(
                id=team_id, name=name or f"Workspace {tail}", bot_user=f"UB{tail}", bot=f"B{tail}",
                enterprise=enterprise, org_wide=org_wide,
            )  # fmt: skip
            self.person(f"UB{tail}", name="kefu", team=team_id, is_bot=True)
        return self.teams[team_id]

    def person(self, user: str, *, name: str = "", team: str = TEAM, **about: Any) -> Person:
        """A person, made on first mention. `about` sets fields (locale, is_bot, is_stranger, about)."""
        if user not in self.people:
            self.people[user] = Person(id=user, name=name or user.lower(), team=team)
        for field_name, value in about.items():
            setattr(self.people[user], field_name, value)
        return self.people[user]

    def channel(self, channel_id: str, *, team: str = TEAM, user: str = "", member: bool = True) -> Channel:
        """The channel, made on first mention with the bot in it (not for `member=False`)."""
        if channel_id not in self.channels:
            kind = {"D": "im", "G": "group"}.get(channel_id[:1], "channel")
            bot = self.team(team).bot_user
            self.channels[channel_id] = Channel(
                id=channel_id, kind=kind, team=team, name=channel_id.lower() if kind != "im" else "",
                user=(user or f"U{channel_id[1:]}") if kind == "im" else "",
                members={bot} if member else set(),
            )  # fmt: skip
            if kind == "im":
                self.person(self.channels[channel_id].user, team=team)
        return self.channels[channel_id]

    def direct(self, user: str, team: str = TEAM) -> Channel:
        """The direct messages between this person and the bot."""
        found = next((one for one in self.channels.values() if one.kind == "im" and one.user == user), None)
        return found or self.channel(f"D{user[1:]}", team=team, user=user)

    def trigger(self, user: str, team: str) -> str:
        """A new trigger_id; it lives three seconds."""
        name = self.new_id("trigger.")
        self.triggers[name] = Trigger(user=user, team=team, expires_at=self.clock.now() + 3.0)
        return name

    # -- Messages --

    def file(self, channel: Channel, message: Message) -> Message:
        channel.messages[message.ts] = message
        self.touch()
        return message

    def find(self, channel: Channel, ts: str) -> Message | None:
        """The message, unless it was deleted."""
        message = channel.messages.get(ts)
        return None if message is None or message.deleted else message

    # -- Calls --

    def begin(self, method: str, params: Json) -> Call:
        channel = params.get("channel") or params.get("channel_id") or ""
        call = Call(
            number=len(self.calls), at=self.clock.now(), method=method, params=params, channel=str(channel),
            thread=str(params.get("thread_ts") or ""), ts=str(params.get("ts") or ""),
        )  # fmt: skip
        self.calls.append(call)
        return call
