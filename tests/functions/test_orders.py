from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.clock import SystemClock
from bot.dialogue.functions.base import Caller
from bot.messages import ConversationRef, Language, Sender
from tests.functions.acme_functions.orders import OrderNumber, functions

ANN, EVE = "telegram:1", "telegram:2"


class Service:
    """The shop's service: Ann's order SO1001, and what was asked for it."""

    def __init__(self) -> None:
        self.order: dict[str, str] = {"state": "shipped", "arrives": "2026-07-03"}
        self.cancelled: set[str] = set()
        self.broken = False

    async def look_up(self, request: web.Request) -> web.Response:
        if self.broken:
            raise web.HTTPServiceUnavailable
        self._find(request)
        return web.json_response(self.order)

    async def cancel(self, request: web.Request) -> web.Response:
        self._find(request)
        if self.order["state"] != "packing":
            raise web.HTTPConflict
        self.cancelled.add(request.headers["Idempotency-Key"])
        return web.Response(status=204)

    def _find(self, request: web.Request) -> None:
        if (request.match_info["number"], request.query["customer"]) != ("SO1001", ANN):
            raise web.HTTPNotFound


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def address(service: Service) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_get("/orders/{number}", service.look_up)
    application.router.add_post("/orders/{number}/cancellation", service.cancel)
    async with TestServer(application) as server:
        yield str(server.make_url("")).rstrip("/")


def caller(who: str = ANN, *, language: Language = "zh") -> Caller:
    return Caller(
        sender=Sender(id=who),
        conversation=ConversationRef(platform="telegram", account="", channel=who),
        language=language,
        turn_id="turn-1",
        key="turn-1-0",
        clock=SystemClock(),
    )


async def test_a_customer_is_told_how_their_order_stands(address: str) -> None:
    look_up, _ = functions(address)
    chinese = await look_up.run(OrderNumber(order_no="SO1001"), caller())
    english = await look_up.run(OrderNumber(order_no="SO1001"), caller(language="en"))
    assert chinese.text == "订单 SO1001 已发货，预计 07-03 送达。"
    assert english.text == "Order SO1001 is on its way and arrives on 07-03."


async def test_somebody_elses_order_reads_like_none(address: str) -> None:
    look_up, _ = functions(address)
    theirs = await look_up.run(OrderNumber(order_no="SO1001"), caller(EVE))
    none = await look_up.run(OrderNumber(order_no="SO9999"), caller(EVE))
    assert theirs.text.replace("SO1001", "SO9999") == none.text


async def test_an_answer_that_is_none_is_an_error(address: str, service: Service) -> None:
    look_up, _ = functions(address)
    service.broken = True
    with pytest.raises(aiohttp.ClientResponseError):
        await look_up.run(OrderNumber(order_no="SO1001"), caller())


async def test_an_order_is_cancelled_once_while_it_is_being_packed(address: str, service: Service) -> None:
    _, cancel = functions(address)
    assert "已经发货" in (await cancel.run(OrderNumber(order_no="SO1001"), caller())).text
    service.order["state"] = "packing"
    for _ in range(2):
        assert "已取消" in (await cancel.run(OrderNumber(order_no="SO1001"), caller())).text
    assert service.cancelled == {"turn-1-0"}
