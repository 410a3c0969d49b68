"""A server over fakes that keep what they were given."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from bot.errors import NotFound, StoreUnavailable
from bot.messages import ConversationRef, IncomingMessage, Receipt, ReceiptStatus, Ticket, TicketEvent, TicketState
from bot.server.admin import AdminToken
from bot.server.app import build_server
from bot.server.ports import PartHealth

TOKEN = "a-token-of-the-company"
AUTH = {"Authorization": f"Bearer {TOKEN}"}
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def ticket(number: str = "TICKET-7K2M9Q4D", **changes: Any) -> Ticket:
    made = Ticket(
        number=number,
        subject="退款没有到账",
        state=TicketState.OPEN,
        requester="telegram:123",
        requester_name="小王",
        conversation=ConversationRef(platform="telegram", account="42", channel="123"),
        transcript=("小王: 我的退款呢？",),
        created_at=NOON,
        updated_at=NOON,
        due_at=NOON + timedelta(hours=24),
    )
    return replace(made, **changes)


class FakeDesk:
    """Tickets in memory, with the behaviour that `bot.server.ports.Desk` promises."""

    def __init__(self, tickets: Sequence[Ticket] = ()) -> None:
        self.tickets = {one.number: one for one in tickets}
        self.replies: list[tuple[str, str, str]] = []
        self.changed_by: list[str] = []
        self.failure: Exception | None = None

    async def list(
        self, *, state: TicketState | None, requester: str | None, limit: int, before: str | None
    ) -> tuple[Ticket, ...]:
        self._fail()
        numbers = sorted(self.tickets, reverse=True)
        found = [self.tickets[number] for number in numbers if before is None or number < before]
        found = [one for one in found if state in (None, one.state) and requester in (None, one.requester)]
        return tuple(found[:limit])

    async def get(self, number: str) -> tuple[Ticket, tuple[TicketEvent, ...]]:
        self._fail()
        if number not in self.tickets:
            raise NotFound(number)
        return self.tickets[number], (TicketEvent(kind="opened", author="telegram:123", text="退款", at=NOON),)

    async def reply(self, number: str, text: str, *, agent: str) -> int:
        await self.get(number)
        self.replies.append((number, text, agent))
        return 7

    async def update(
        self,
        number: str,
        *,
        state: TicketState | None = None,
        assignee: str | None = None,
        urgency: Literal["low", "normal", "high"] | None = None,
        subject: str | None = None,
        by: str,
    ) -> Ticket:
        await self.get(number)
        changes = {"state": state, "assignee": assignee, "urgency": urgency, "subject": subject}
        changed = replace(self.tickets[number], **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]
        self.tickets[number] = changed
        self.changed_by.append(by)
        return changed

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class FakeBook:
    def __init__(self) -> None:
        self.kept: list[tuple[str, str, str, str | None]] = []

    async def record_feedback(
        self, turn_id: str, rating: Literal["up", "down"], comment: str, sender_id: str | None
    ) -> None:
        if turn_id == "unknown":
            raise NotFound("no such turn")
        self.kept.append((turn_id, rating, comment, sender_id))


class FakeMetrics:
    def exposition(self) -> bytes:
        return b"# HELP kefu_turns_total Turns.\nkefu_turns_total 3.0\n"


class FakeIntake:
    def __init__(self) -> None:
        self.messages: list[IncomingMessage] = []
        self.locked = False

    async def accept(
        self, messages: Sequence[IncomingMessage], *, cursor: tuple[str, str, str] | None = None
    ) -> tuple[Receipt, ...]:
        if self.locked:
            raise StoreUnavailable("locked")
        self.messages += messages
        return tuple(Receipt(status=ReceiptStatus.ACCEPTED, inbound_id=1) for _ in messages)

    async def cursor(self, platform: str, account: str) -> str | None:
        return None


class FakeChannel:
    """A channel that is fed over HTTP, with a page and a stream."""

    def routes(self, intake: FakeIntake) -> Sequence[web.AbstractRouteDef]:
        async def webhook(request: web.Request) -> web.Response:
            await request.read()
            await intake.accept([])
            return web.Response()

        async def page(_: web.Request) -> web.Response:
            return web.Response(text="<p>", headers={"Content-Security-Policy": "default-src 'self'"})

        async def stream(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            raise RuntimeError("customer text 13800138000")

        async def broken(_: web.Request) -> web.Response:
            raise RuntimeError("customer text 13800138000")

        return [
            web.post("/fake/webhook", webhook),
            web.get("/chat", page),
            web.get("/stream", stream),
            web.get("/broken", broken),
        ]


@dataclass
class House:
    client: TestClient[web.Request, web.Application]
    desk: FakeDesk
    book: FakeBook
    intake: FakeIntake
    parts: list[PartHealth] = field(default_factory=list)
    hangs: bool = False


@contextlib.asynccontextmanager
async def open_house(*tickets: Ticket, max_body_bytes: int = 4096) -> AsyncIterator[House]:
    desk, book, intake = FakeDesk(tickets), FakeBook(), FakeIntake()

    async def health() -> tuple[PartHealth, ...]:
        if house.hangs:
            await asyncio.sleep(60)
        return tuple(house.parts)

    application = build_server(
        desk=desk,
        feedback=book,
        health=health,
        metrics=FakeMetrics(),
        admin=AdminToken.of(TOKEN),
        channels=[FakeChannel()],  # type: ignore[list-item]  # the server only asks it for routes
        intake=intake,
        max_body_bytes=max_body_bytes,
        allowed_origins=["https://shop.example.com"],
    )
    async with TestClient(TestServer(application)) as client:
        house = House(client=client, desk=desk, book=book, intake=intake)
        house.parts.append(PartHealth(name="database", up=True, needed=True))
        yield house
