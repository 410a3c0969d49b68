"""What stands around the receiving half of the Slack channel in its tests, and samples of what Slack sends."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from adapters.slack.dispatch import Dispatcher
from adapters.slack.errands import Errands
from adapters.slack.pages import Pages
from adapters.slack.people import Calls, People
from adapters.slack.places import Places
from adapters.slack.reading import Place, Reading
from adapters.slack.receiving import Receiver
from adapters.slack.timing import Timing
from adapters.slack.wire import NotReached, Transport
from bot.clock import SystemClock
from bot.errors import StoreUnavailable
from bot.messages import ConversationRef, Ticket, TicketState
from tests.fakes import intake as memory

Json = dict[str, Any]

TEAM, ME, SOMEBODY = "T0KEFU001", "UBOT00001", "U5"
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
STAMP = "1790000000.000100"
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
READING = Reading(many=False, collections=("default",), now=NOW)
MANY = Reading(many=True, collections=("default",), now=NOW)
FAST = Timing(
    connect=1.0, answer=2.0, refused_pause=0.2, ping=0.2, silent=0.6, hello=1.0, first_pause=0.01, longest_pause=0.05
)


class MemoryIntake(memory.MemoryIntake):
    """Knows its conversations as well."""

    async def engaged(self, conversation: ConversationRef) -> bool:
        """As the core's database: there is a conversation."""
        return any(message.conversation == conversation for message in self.messages)


class SomeTickets:
    """One person has one ticket."""

    ticket = Ticket(
        number="TICKET-7K2M9Q4D",
        subject="退款 <!channel> & more",
        state=TicketState.OPEN,
        requester=f"slack:{SOMEBODY}",
        conversation=ConversationRef(platform="slack", account="", channel="C1", thread=STAMP),
        transcript=("客户：我要退款", "Bot: <@U9> registered"),
        created_at=NOW,
        updated_at=NOW,
        due_at=NOW,
    )

    def __init__(self) -> None:
        self.failures = 0

    async def find(self, number: str, *, requester: str) -> Ticket | None:
        return self.ticket if (number, requester) == (self.ticket.number, self.ticket.requester) else None

    async def recent(self, *, requester: str, limit: int) -> tuple[Ticket, ...]:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the database is locked")
        return (self.ticket,) if requester == self.ticket.requester else ()


class NobodyAnswers:
    """A Slack that can not be reached."""

    async def call(self, account: str, method: str, **arguments: Any) -> Json:
        raise NotReached(f"{method}: ConnectionRefusedError")


class TokenCalls:
    """The Web API with one token."""

    def __init__(self, url: str, token: str, timing: Timing = FAST) -> None:
        self.transport = Transport(url=url, timing=timing)
        self._token = token

    async def call(self, account: str, method: str, **arguments: Any) -> Any:
        return await self.transport.call(self._token, method, arguments)

    async def close(self) -> None:
        await self.transport.close()


@dataclass
class House:
    """The receiving half, put together as `build` does, around an intake in memory."""

    intake: MemoryIntake
    api: Calls
    many: bool = False
    guests: bool = False
    shared_channels: bool = False
    clock: Any = field(default_factory=SystemClock)
    tickets: SomeTickets = field(default_factory=SomeTickets)
    stopped: list[tuple[str, str, str]] = field(default_factory=list)
    gone: list[tuple[Place, str, datetime]] = field(default_factory=list)
    askers: list[tuple[ConversationRef, dict[str, Any]]] = field(default_factory=list)
    errands: Errands = field(default_factory=Errands)

    def __post_init__(self) -> None:
        self.people = People(api=self.api, clock=self.clock)
        self.receiver = Receiver(
            many=self.many,
            collections=("default",),
            guests=self.guests,
            shared_channels=self.shared_channels,
            me=lambda account: "",
            people=self.people,
            places=Places(api=self.api, shared=self.shared_channels),
            engaged=self.intake,
            uninstalled=self._uninstalled,
            stopped=lambda *where: self.stopped.append(where),
            asked=lambda conversation, **who: self.askers.append((conversation, who)),
            clock=self.clock,
            store_limit=1.0,
        )
        pages = Pages(api=self.api, tickets=self.tickets, people=self.people)
        self.dispatcher = Dispatcher(receiver=self.receiver, pages=pages, errands=self.errands)

    async def _uninstalled(self, place: Place, reason: str, at: datetime) -> None:
        self.gone.append((place, reason, at))


# -- What Slack sends --


def call(event: Json, *, event_id: str = "Ev1", **about: Any) -> Json:
    """The envelope of the Events API."""
    return {
        "token": "x",
        "type": "event_callback",
        "team_id": TEAM,
        "api_app_id": "A1",
        "event_id": event_id,
        "event_time": 1_790_000_000,
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": TEAM,
                "user_id": ME,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
        "event": event,
        **about,
    }


def said(text: str = "hello", *, channel: str = "C1", ts: str = STAMP, **fields: Any) -> Json:
    """A `message` event."""
    kind = {"D": "im", "G": "group"}.get(channel[0], "channel")
    return {
        "type": "message",
        "user": SOMEBODY,
        "text": text,
        "ts": ts,
        "event_ts": ts,
        "channel": channel,
        "channel_type": kind,
        "team": TEAM,
        "client_msg_id": "7e6f",
        "blocks": [{"type": "rich_text", "elements": []}],
        **fields,
    }


def mentioned(text: str = "hello", **fields: Any) -> Json:
    """The twin, `app_mention`; it has no channel_type."""
    made = said(f"<@{ME}> {text}", **fields) | {"type": "app_mention"}
    del made["channel_type"]
    return made


def edited(text: str, before: str = "hello", *, channel: str = "C1", **fields: Any) -> Json:
    """A person's own edit."""
    message = {
        "type": "message",
        "user": SOMEBODY,
        "text": text,
        "ts": STAMP,
        "team": TEAM,
        "edited": {"user": SOMEBODY, "ts": "1790000050.000000"},
        **fields,
    }
    return {
        "type": "message",
        "subtype": "message_changed",
        "hidden": True,
        "channel": channel,
        "channel_type": "im" if channel[0] == "D" else "channel",
        "ts": "1790000050.000200",
        "event_ts": "1790000050.000200",
        "message": message,
        "previous_message": message | {"text": before},
    }


def pressed(action_id: str, value: str = "", *, channel: str = "C1", **fields: Any) -> Json:
    """A button under one of our messages in a thread."""
    return {
        "type": "block_actions",
        "team": {"id": TEAM, "domain": "kefu"},
        "enterprise": None,
        "user": {"id": SOMEBODY, "username": "li.na", "name": "li.na", "team_id": TEAM},
        "trigger_id": "1.2.abc",
        "container": {
            "type": "message",
            "message_ts": "1790000010.000100",
            "thread_ts": STAMP,
            "channel_id": channel,
            "is_ephemeral": False,
        },
        "channel": {"id": channel, "name": "help"},
        "message": {"type": "message", "bot_id": "B1", "ts": "1790000010.000100", "thread_ts": STAMP, "text": "…"},
        "actions": [{"action_id": action_id, "block_id": "b", "value": value, "action_ts": "1790000020.000300"}],
        **fields,
    }


def command(text: str = "年假有几天？", *, name: str = "/ask", channel: str = "C1", **fields: Any) -> Json:
    return {
        "token": "x",
        "team_id": TEAM,
        "channel_id": channel,
        "channel_name": "help",
        "user_id": SOMEBODY,
        "user_name": "li.na",
        "command": name,
        "text": text,
        "api_app_id": "A1",
        "is_enterprise_install": "false",
        "response_url": "https://hooks.example/x",
        "trigger_id": "9.8.cmd",
        **fields,
    }
