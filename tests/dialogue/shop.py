"""A shop whose orders can be looked up and cancelled: functions as an operator writes them, with mishaps on order."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from pydantic import Field

from bot.dialogue.functions.base import Arguments, Caller, Function, Result, TicketWish, Words
from bot.messages import FunctionCall
from tests.engine.fakes import ScriptedEngine


class Order(Arguments):
    order_no: Annotated[str, Words(zh="订单号", en="Order number"), Field(min_length=1, max_length=400)]


class Nothing(Arguments):
    pass


class Shop:
    """Counts what is done in it."""

    def __init__(self) -> None:
        self.cancelled: list[tuple[str, str, str]] = []
        """(who, order, key) of every call that came through."""
        self.looked_up: list[tuple[str, str]] = []
        self.mishap: Exception | float | None = None
        """What happens after the shop has done its work: an error, or so many seconds of silence."""

    def functions(self, *, seconds: float = 5.0) -> tuple[Function[Any], ...]:
        return (
            Function(
                name="cancel_order",
                description=Words(zh="取消客户的订单。", en="Cancels an order of the customer's."),
                arguments=Order,
                run=self._cancel,
                changes=True,
                action=lambda order: Words(zh=f"取消订单 {order.order_no}", en=f"cancel order {order.order_no}"),
                seconds=seconds,
            ),
            Function(
                name="order_status",
                description=Words(zh="查询订单进度。", en="Tells how an order stands."),
                arguments=Order,
                run=self._status,
                changes=False,
                seconds=seconds,
            ),
            Function(
                name="staff_prices",
                description=Words(zh="查询内部价。", en="Tells the prices for employees."),
                arguments=Nothing,
                run=self._prices,
                changes=False,
                audience=frozenset({"internal"}),
            ),
        )

    async def _cancel(self, order: Order, caller: Caller) -> Result:
        self.cancelled.append((caller.sender.id, order.order_no, caller.key))
        await self._mishap()
        done = Words(zh=f"订单 {order.order_no} 已取消。", en=f"Order {order.order_no} is cancelled.")
        return Result(text=done.say(caller.language))

    async def _status(self, order: Order, caller: Caller) -> Result:
        self.looked_up.append((caller.sender.id, order.order_no))
        await self._mishap()
        if order.order_no == "lost":
            words = Words(zh="这个包裹好像丢了。", en="This parcel seems to be lost.")
            return Result(text=words.say(caller.language), wish=TicketWish(issue="包裹丢失"))
        words = Words(zh=f"订单 {order.order_no} 今天送达。", en=f"Order {order.order_no} arrives today.")
        return Result(text=words.say(caller.language))

    async def _prices(self, nothing: Nothing, caller: Caller) -> Result:
        return Result(text="内部价 1 元")

    async def _mishap(self) -> None:
        if isinstance(self.mishap, Exception):
            raise self.mishap
        if self.mishap is not None:
            await asyncio.sleep(self.mishap)


def calls(name: str, **arguments: object) -> ScriptedEngine:
    """An engine that wants this function called, whatever is asked."""
    return ScriptedEngine([FunctionCall(name=name, arguments=arguments)])
