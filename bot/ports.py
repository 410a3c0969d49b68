"""What the core needs from the world. A docstring here is a contract; implementations add nothing to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from aiohttp import web
from sqlalchemy import Connection

from bot.messages import (
    ConversationRef,
    EngineOutput,
    FollowUp,
    HistoryEntry,
    IncomingMessage,
    Passage,
    Prompt,
    Receipt,
    Reply,
    Rewritten,
    Ticket,
)
from bot.telemetry import Metrics

T = TypeVar("T")

Vector: TypeAlias = npt.NDArray[np.float32]


class Clock(Protocol):
    """Two clocks. Deadlines, leases and rates use the monotonic one: the wall clock may jump."""

    def now(self) -> datetime:
        """The time of day, aware, UTC."""

    def monotonic(self) -> float:
        """Seconds that only grow."""


class Knowledge(Protocol):
    """The company's knowledge, searchable."""

    async def search(self, question: str, *, collections: Sequence[str], limit: int) -> tuple[Passage, ...]:
        """The passages nearest to the question in these collections, best first, at most `limit`.

        :raises KnowledgeUnavailable: the index can not be read now.
        """

    def expect(self, question: str, *, collections: Sequence[str], limit: int) -> None:
        """The same search will be asked for in a moment and may begin now. Costs the caller nothing, fails silently,
        and is ignored while others are searching."""

    async def embed(self, text: str) -> Vector:
        """The question's vector, normalised; the same one `search` uses, so asking twice costs once."""

    async def embed_many(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """One row a text, as questions. For start-up; a turn uses `embed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineHealth:
    """Whether the engine answers now, in words an operator can use."""

    ready: bool
    detail: str = ""


class Engine(Protocol):
    """Something that answers a prompt from its passages."""

    @property
    def name(self) -> str:
        """As in `model.backend`."""

    async def start(self) -> None:
        """Begins to load what has to be loaded. Called once; until `health` says that it is ready, `generate` raises
        EngineUnavailable."""

    async def wait_loaded(self) -> None:
        """Returns once the first attempt to load it has ended, well or badly; `health` says which."""

    async def close(self) -> None:
        """Frees everything. Running generations end with EngineUnavailable."""

    def generate(self, prompt: Prompt) -> AsyncIterator[EngineOutput]:
        """Any number of Delta, then exactly one Answered or FunctionCall.

        Closing the iterator early (the customer pressed Stop, the deadline passed) frees everything it held.

        :raises EngineUnavailable: down, loading or full.
        :raises EngineTimeout: no output in time.
        :raises BadOutput: the output can not be used.
        """

    async def rewrite(self, followup: FollowUp, *, seconds: float) -> Rewritten | None:
        """The follow-up as a question that can be searched for alone.

        None where that can not be had within `seconds`: there is no model, it is down, loading or busy, or says
        something else. Raises none of that: a turn goes on without. Cancelling it frees everything it held.
        """

    def health(self) -> EngineHealth:
        """Costs nothing; asked on every /readyz."""


class Tickets(Protocol):
    """What the dialogue may know of tickets."""

    def new_number(self) -> str:
        """A fresh number, e.g. "TICKET-7K2M9Q4D"; not stored yet."""

    async def find(self, number: str, *, requester: str) -> Ticket | None:
        """The ticket if it exists and is this requester's; None in every other case."""

    async def recent(self, *, requester: str, limit: int) -> tuple[Ticket, ...]:
        """This requester's tickets, newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """What is known of a function call that was begun."""

    result: Mapping[str, Any] | None
    """As `CallLog.finish` was given it; None where nobody knows what became of the call."""


class CallLog(Protocol):
    """Remembers calls of functions that change something outside, so that none is made twice."""

    async def find(self, key: str) -> CallRecord | None:
        """What is known of the call of this name; None when it was never begun.

        :raises StoreUnavailable: it can not be read now.
        """

    async def begin(self, key: str, *, function: str, turn_id: str, requester: str) -> CallRecord | None:
        """Writes down, for good, that a call is about to be made. None: it may be made now. A record: it was begun
        before, and must not be made again.

        :raises StoreUnavailable: nothing was written.
        """

    async def finish(self, key: str, result: Mapping[str, Any]) -> None:
        """Writes down what became of a call that was begun. `result` is JSON.

        :raises StoreUnavailable: nothing was written.
        """


# -- Channels --

SnapshotSink: TypeAlias = Callable[[str], None]
"""Takes the answer so far (Markdown). Never waits: whoever shows snapshots may skip some."""


class Intake(Protocol):
    """Where an adapter hands in what arrived."""

    async def accept(
        self, messages: Sequence[IncomingMessage], *, cursor: tuple[str, str, str] | None = None
    ) -> tuple[Receipt, ...]:
        """Stores the messages, all their keys and the platform's cursor in one transaction.

        When it returns, the platform may be acknowledged: a crash loses nothing. One receipt a message, in order.
        `cursor` is (platform, account, value); it is moved even when `messages` is empty.

        :raises StoreUnavailable: nothing was kept; the platform has to deliver again.
        """

    async def cursor(self, platform: str, account: str) -> str | None:
        """The value stored by the last `accept`, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One platform message of a reply: text in the platform's own dialect, and what hangs on it."""

    text: str
    """Plain words, for platforms and logs of sizes; the adapter may keep richer forms in `payload`."""
    payload: object = None
    """The adapter's own rendering; opaque to the core, made again after a restart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelHealth:
    """Whether the receiving side hears anything."""

    up: bool
    detail: str = ""
    """For /readyz: why not, in an operator's words, or how things stand."""
    notice: str = ""
    """What operators should be told of a channel that is up all the same: it lost one of several workspaces."""


class Channel(Protocol):
    """One platform. Everything particular to it stays behind this."""

    @property
    def platform(self) -> str:
        """As in ConversationRef.platform."""

    @property
    def account(self) -> str:
        """As in ConversationRef.account; "" also where one channel serves several accounts (`channel_for`)."""

    async def run(self, intake: Intake) -> None:
        """Receives until cancelled; recovers from outages by itself. Channels that are fed through the HTTP server
        only keep their upkeep here. An exception that leaves it is a defect: the channel is started again."""

    def health(self) -> ChannelHealth: ...

    @property
    def repeatable(self) -> bool:
        """Whether sending the same delivery twice is harmless everywhere on this platform (it knows the id)."""

    def placeholder_first(self, conversation: ConversationRef) -> bool:
        """Whether a message is shown before every final reply there, for the reply to be written into: repeating
        that is harmless. Elsewhere something is shown only when an answer takes a moment."""

    def show_interval(self, conversation: ConversationRef) -> float | None:
        """Seconds at least between two `show` calls there; None where nothing is shown before the final reply."""

    async def show(self, conversation: ConversationRef, text: str, *, shown: str | None, turn_id: str) -> str | None:
        """Shows the answer so far, or with an empty text that somebody is at work. Best effort.

        `shown` is what the previous call of this turn returned. The result is the platform's id of a message that
        the final text can be written into, or None where what was shown vanishes by itself.

        :raises SendError: the snapshot is dropped; after two in a row no more are shown in this turn.
        """

    def render(self, reply: Reply) -> tuple[Part, ...]:
        """The reply as messages of this platform, each within its limits. Pure; at least one part."""

    def take_slot(self, conversation: ConversationRef) -> bool:
        """Whether the platform's rate lets one part leave there at once; if so, the place for it is taken."""

    async def wait_for_slot(self, conversation: ConversationRef) -> None:
        """Waits until one part may leave there, and takes the place for it. Every `send` is preceded by one of these
        two; a process that dies while it waits here has surely not sent.

        :raises NotSent: it would take long; `retry_after` says how long.
        """

    async def send(
        self,
        conversation: ConversationRef,
        part: Part,
        *,
        replaces: str | None,
        delivery_id: int,
        reply: Reply,
    ) -> str:
        """Sends one part for good and returns the platform's id of it.

        With `replaces` the part is written into that message instead, and repeating that is harmless; a message that
        already reads so counts as success. If that message is gone, a new one is sent.

        :raises SendError: as `bot.errors` sorts them.
        """

    def silent(self, conversation: ConversationRef, answers: tuple[int, ...]) -> None:
        """The turn of these messages (Receipt.inbound_id) ended without a reply: a person has the conversation.
        For channels whose clients wait for one."""

    async def close(self) -> None:
        """Closes connections. Called after `run` was cancelled."""


def channel_for(channels: Mapping[tuple[str, str], Channel], platform: str, account: str) -> Channel | None:
    """The channel of an account, of all by (platform, account). One without an account serves every account of its
    platform that has none of its own (a Slack app in several workspaces)."""
    return channels.get((platform, account)) or channels.get((platform, ""))


class Unpaced:
    """The slots of a channel whose platform sets no rate."""

    def take_slot(self, conversation: ConversationRef) -> bool:
        return True

    async def wait_for_slot(self, conversation: ConversationRef) -> None:
        return


class HttpChannel(Channel, Protocol):
    """A channel that is (also) fed through the product's own HTTP server."""

    def routes(self, intake: Intake) -> Sequence[web.AbstractRouteDef]:
        """What to serve, on the paths of the contract."""


class Transactions(Protocol):
    """The product's database, for what a platform's library wants to be kept. `work` may run twice and touches nothing
    but its connection."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        """:raises StoreUnavailable: nothing was kept."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """:raises StoreUnavailable: it can not be read now."""


class Records(Protocol):
    """What has been said, for channels whose clients come back and ask (the web page)."""

    async def replies(self, conversation: ConversationRef, *, after: int) -> tuple[tuple[int, Reply], ...]:
        """(delivery id, reply) of everything said to this conversation after that delivery, oldest first."""

    async def history(self, conversation: ConversationRef, *, limit: int) -> tuple[HistoryEntry, ...]:
        """The last `limit` entries of a direct conversation, oldest first, nothing before a reset."""

    async def engaged(self, conversation: ConversationRef) -> bool:
        """Whether we take part in this thread: something was said to us in it, or it hangs under an answer of ours."""


CameBack: TypeAlias = Callable[[ConversationRef, int, str, str], Awaitable[bool]]
"""Takes a conversation, a delivery of it, one of the ids that `Channel.send` gave for it, and why the platform says now
that it did not arrive: operators are told. False: the delivery is still under way, and it has to be said again later.
Raises StoreUnavailable where nothing was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What `adapters.<platform>.build.build(settings, surroundings)` is given besides its own settings."""

    clock: Clock
    metrics: Metrics
    records: Records
    tickets: Tickets
    database: Transactions
    came_back: CameBack
    public_url: str
    """Where the product's HTTP server is reached from outside; "" when nobody said."""
    max_message_chars: int
    max_body_bytes: int


Sleep: TypeAlias = Callable[[float], Awaitable[None]]
"""`asyncio.sleep`, or a test's time."""
