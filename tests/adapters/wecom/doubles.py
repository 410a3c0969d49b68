"""What stands around WeCom's channels in their tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy import Connection

from bot.errors import StoreUnavailable
from bot.messages import IncomingMessage, Receipt
from bot.ports import Intake, Surroundings, Transactions
from bot.telemetry import Metrics
from tests.adapters.telegram.doubles import NoRecords, SystemClock
from tests.fakes.nothing import NoTickets

T = TypeVar("T")


class LaterDatabase:
    """As `bot.ports.Transactions`: of a house that is opened after its channels are built."""

    def __init__(self) -> None:
        self.inner: Transactions | None = None

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self._opened().write(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._opened().read(work)

    def _opened(self) -> Transactions:
        if self.inner is None:
            raise StoreUnavailable("there is no database")
        return self.inner


class LaterIntake:
    """As `bot.ports.Intake`, of a core that comes and goes behind one HTTP server."""

    def __init__(self) -> None:
        self.inner: Intake | None = None

    async def accept(
        self, messages: Sequence[IncomingMessage], *, cursor: tuple[str, str, str] | None = None
    ) -> tuple[Receipt, ...]:
        if self.inner is None:
            raise StoreUnavailable("nobody is here")
        return await self.inner.accept(messages, cursor=cursor)

    async def cursor(self, platform: str, account: str) -> str | None:
        return None


def surroundings(database: Transactions, *, max_body_bytes: int = 100_000) -> Surroundings:
    return Surroundings(
        clock=SystemClock(),
        metrics=Metrics(),
        records=NoRecords(),
        tickets=NoTickets(),
        database=database,
        public_url="",
        max_message_chars=4000,
        max_body_bytes=max_body_bytes,
    )


def serving(routes: Sequence[web.AbstractRouteDef]) -> TestServer:
    """The product's HTTP server, as far as a channel is concerned."""
    application = web.Application()
    application.add_routes(routes)
    return TestServer(application)
