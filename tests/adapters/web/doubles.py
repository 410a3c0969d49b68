"""Stand-ins for the core, for tests of the web channel: an intake, a store of records, and a script that answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from adapters.web.calls import Timing
from adapters.web.channel import WebChannel
from adapters.web.settings import ChannelSettings
from adapters.web.streams import Switchboard
from bot.errors import StoreUnavailable
from bot.messages import (
    AgentSaid,
    Author,
    BotSaid,
    ConversationRef,
    CustomerSaid,
    HistoryEntry,
    IncomingMessage,
    MessageKind,
    Outcome,
    Receipt,
    ReceiptStatus,
    Reply,
    Ticket,
    TicketState,
)
from bot.ports import Surroundings
from tests.fakes.nothing import NoDatabase, NoTickets, nothing_comes_back

SESSION = "a-session-of-one-visitor"
OTHER_SESSION = "a-session-of-somebody-else"
PAGE = 20
"""Replies a call, as the real store gives no more than so many at once."""
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class FixedClock:
    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return 0.0


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What the core does with one message: snapshots as they grow, then a reply (None: an agent has it)."""

    snapshots: tuple[str, ...] = ()
    reply: Reply | None
    pause: float = 0.0
    """Seconds before each snapshot and before the reply."""


Script = Callable[[IncomingMessage], Scene | None]
"""None leaves the message waiting until the test answers it."""


class CoreDouble:
    """Intake and Records in memory. Messages of a conversation are answered one after the other."""

    def __init__(self, script: Script = lambda message: None) -> None:
        self.script = script
        self.channel: WebChannel | None = None
        self.messages: dict[int, IncomingMessage] = {}
        self.next_status = ReceiptStatus.ACCEPTED
        self.down = False
        self.hanging = False
        self.stopped = asyncio.Event()
        self._by_key: dict[str, int] = {}
        self._deliveries: list[tuple[int, ConversationRef, Reply]] = []
        self._history: dict[ConversationRef, list[HistoryEntry]] = {}
        self._lanes: dict[ConversationRef, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Condition()

    # Intake

    async def accept(
        self, messages: Sequence[IncomingMessage], *, cursor: tuple[str, str, str] | None = None
    ) -> tuple[Receipt, ...]:
        if self.hanging:
            await asyncio.Event().wait()
        if self.down:
            raise StoreUnavailable("disk full")
        receipts = tuple([self._keep(message) for message in messages])
        async with self._arrived:
            self._arrived.notify_all()
        return receipts

    async def cursor(self, platform: str, account: str) -> str | None:
        return None

    def _keep(self, message: IncomingMessage) -> Receipt:
        if message.kind is MessageKind.STOP:
            self.stopped.set()
            return Receipt(status=ReceiptStatus.DONE)
        known = next((self._by_key[key] for key in message.keys if key in self._by_key), None)
        if known is not None:
            return Receipt(status=ReceiptStatus.DUPLICATE, inbound_id=known)
        inbound_id = len(self.messages) + 1
        self.messages[inbound_id] = message
        self._by_key.update(dict.fromkeys(message.keys, inbound_id))
        if self.next_status is ReceiptStatus.ACCEPTED:
            said = message.text or message.command
            self._history.setdefault(message.conversation, []).append(CustomerSaid(text=said, at=NOON))
            scene = self.script(message)
            if scene is not None:
                self._start(self._play(inbound_id, message, scene))
        return Receipt(status=self.next_status, inbound_id=inbound_id)

    async def wait_for_messages(self, count: int) -> None:
        """Until so many different messages are stored."""
        async with asyncio.timeout(5), self._arrived:
            await self._arrived.wait_for(lambda: len(self.messages) >= count)

    # Records

    async def replies(self, conversation: ConversationRef, *, after: int) -> tuple[tuple[int, Reply], ...]:
        if self.down:
            raise StoreUnavailable("disk full")
        found = [(id_, reply) for id_, where, reply in self._deliveries if where == conversation and id_ > after]
        return tuple(found[:PAGE])

    async def history(self, conversation: ConversationRef, *, limit: int) -> tuple[HistoryEntry, ...]:
        return tuple(self._history.get(conversation, [])[-limit:])

    async def engaged(self, conversation: ConversationRef) -> bool:
        return conversation in self._history

    # What the core does on its own

    async def reply(self, conversation: ConversationRef, reply: Reply) -> int:
        """Stores a reply, then sends it, as the core does."""
        delivery_id = self.store(conversation, reply)
        await self.send(conversation, delivery_id, reply)
        return delivery_id

    def store(self, conversation: ConversationRef, reply: Reply) -> int:
        delivery_id = len(self._deliveries) + 1
        self._deliveries.append((delivery_id, conversation, reply))
        entry: HistoryEntry = BotSaid(text=reply.text, at=NOON, outcome=reply.outcome)
        if reply.author is Author.AGENT:
            entry = AgentSaid(text=reply.text, at=NOON, agent=reply.agent)
        self._history.setdefault(conversation, []).append(entry)
        return delivery_id

    async def send(self, conversation: ConversationRef, delivery_id: int, reply: Reply) -> None:
        assert self.channel is not None
        for part in self.channel.render(reply):
            sent = await self.channel.send(conversation, part, replaces=None, delivery_id=delivery_id, reply=reply)
            assert sent == str(delivery_id)

    async def show(self, conversation: ConversationRef, text: str, *, turn_id: str = "turn") -> None:
        assert self.channel is not None
        assert await self.channel.show(conversation, text, shown=None, turn_id=turn_id) is None

    def forget(self, conversation: ConversationRef) -> None:
        self._history.pop(conversation, None)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _play(self, inbound_id: int, message: IncomingMessage, scene: Scene) -> None:
        conversation = message.conversation
        async with self._lanes.setdefault(conversation, asyncio.Lock()):
            self.stopped.clear()
            turn_id = f"turn-{inbound_id}"
            await self.show(conversation, "", turn_id=turn_id)
            shown = ""
            for snapshot in scene.snapshots:
                if await self._paused(scene.pause):
                    break
                shown = snapshot
                await self.show(conversation, snapshot, turn_id=turn_id)
            else:
                shown = ""
                await self._paused(scene.pause)
            if scene.reply is None:
                assert self.channel is not None
                self.channel.silent(conversation, (inbound_id,))
                return
            words = shown or scene.reply.text
            await self.reply(conversation, replace(scene.reply, text=words, turn_id=turn_id, answers=(inbound_id,)))

    async def _paused(self, seconds: float) -> bool:
        """Waits; True when Stop was pressed meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self.stopped.wait()
        except TimeoutError:
            return False
        return True


def conversation(session: str = SESSION) -> ConversationRef:
    return ConversationRef(platform="web", account="", channel=session)


def answer(text: str = "At checkout.", **fields: Any) -> Reply:
    return Reply(**{"outcome": Outcome.ANSWERED, "text": text, "language": "en", **fields})


def ticket(number: str = "TICKET-7K2M9Q4D", *, session: str = SESSION, **fields: Any) -> Ticket:
    values: dict[str, Any] = {
        "number": number,
        "subject": "The parcel did not arrive",
        "state": TicketState.OPEN,
        "requester": f"web:{session}",
        "conversation": conversation(session),
        "created_at": NOON,
        "updated_at": NOON,
        "due_at": NOON + timedelta(hours=24),
    }
    return Ticket(**{**values, **fields})


@dataclass(frozen=True, kw_only=True)
class Site:
    """A running web channel and its core."""

    core: CoreDouble
    channel: WebChannel
    server: TestServer
    client: aiohttp.ClientSession

    def post(self, path: str, data: Any, **options: Any) -> Any:
        return self.client.post(self.server.make_url(path), json=data, **options)

    def chat(self, text: str = "Where do I pay?", *, session: str = SESSION, **more: Any) -> Any:
        return self.post("/api/v1/chat", {"session": session, "text": text, **more})


@asynccontextmanager
async def running_site(
    core: CoreDouble,
    *,
    settings: ChannelSettings | None = None,
    timing: Timing | None = None,
    board: Switchboard | None = None,
    max_message_chars: int = 4000,
    extra: Sequence[web.RouteDef] = (),
) -> AsyncIterator[Site]:
    """The channel behind a real HTTP server on loopback."""
    surroundings = Surroundings(
        clock=FixedClock(),
        metrics=None,  # type: ignore[arg-type]  # the web channel counts nothing itself
        records=core,
        tickets=NoTickets(),
        database=NoDatabase(),
        came_back=nothing_comes_back,
        public_url="",
        max_message_chars=max_message_chars,
        max_body_bytes=1 << 20,
    )
    channel = WebChannel(settings or ChannelSettings(), surroundings, timing=timing, board=board)
    core.channel = channel
    app = web.Application()
    app.router.add_routes([*channel.routes(core), *extra])
    server = TestServer(app, skip_url_asserts=True)
    await server.start_server(shutdown_timeout=2)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as client:
        try:
            yield Site(core=core, channel=channel, server=server, client=client)
        finally:
            await channel.close()
            await core.close()
            await server.close()


@dataclass(frozen=True)
class Event:
    """One server-sent event; a comment has the name ":"."""

    name: str
    data: Any
    id: str = ""


async def read_events(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    """Events as a browser would read them: from lines, a blank one ends an event."""
    assert response.headers["Content-Type"].startswith("text/event-stream")
    name, data, id_ = "message", [], ""
    async for line in response.content:
        words = line.decode().rstrip("\n")
        field, _, value = words.partition(": ")
        if not words:
            if data:
                yield Event(name, json.loads("\n".join(data)), id_)
            name, data, id_ = "message", [], ""
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            id_ = value
        else:
            assert words.startswith(":"), f"not a field of an event stream: {field}"
            yield Event(":", words)


async def all_events(response: aiohttp.ClientResponse) -> list[Event]:
    """Everything until the server ends the stream, without comments."""
    return [event async for event in read_events(response) if event.name != ":"]


async def next_event(events: AsyncIterator[Event], name: str) -> Event:
    """The next event of that name."""
    async with asyncio.timeout(5):
        async for event in events:
            if event.name == name:
                return event
    raise AssertionError(f"the stream ended without a {name}")
