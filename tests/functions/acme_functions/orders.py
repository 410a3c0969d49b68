"""A customer's orders, in the shop's own service: how one stands, and cancelling one."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

import aiohttp
from pydantic import BaseModel, Field

from bot.dialogue.functions.base import Arguments, Caller, Function, Result, Words

SERVICE = "http://orders.acme.internal:8080"


class OrderNumber(Arguments):
    order_no: Annotated[
        str,
        Words(zh="订单号，例如 SO20240101", en="The order's number, e.g. SO20240101"),
        Field(pattern=r"^SO\d{4,12}$"),
    ]


class Order(BaseModel):
    """What the service says of an order."""

    state: Literal["packing", "shipped", "delivered"]
    arrives: date


STATES = {
    "packing": Words(
        zh="订单 {no} 正在备货，预计 {day:%m-%d} 送达。",
        en="Order {no} is being packed and arrives on {day:%m-%d}.",
    ),
    "shipped": Words(
        zh="订单 {no} 已发货，预计 {day:%m-%d} 送达。",
        en="Order {no} is on its way and arrives on {day:%m-%d}.",
    ),
    "delivered": Words(
        zh="订单 {no} 已于 {day:%m-%d} 送达。",
        en="Order {no} was delivered on {day:%m-%d}.",
    ),
}
UNKNOWN = Words(
    zh="没有查到您名下的订单 {no}，请核对一下订单号。",
    en="I can't find order {no} among yours. Please check the number.",
)
CANCELLED = Words(
    zh="订单 {no} 已取消，款项会原路退回。",
    en="Order {no} is cancelled; the money goes back the way it came.",
)
TOO_LATE = Words(
    zh="订单 {no} 已经发货，不能再取消了。",
    en="Order {no} is on its way already and can't be cancelled.",
)


class Orders:
    """The service at an address. The customer is the caller: what belongs to somebody else is 404 there."""

    def __init__(self, service: str) -> None:
        self._service = service

    async def look_up(self, arguments: OrderNumber, caller: Caller) -> Result:
        """How the order stands."""
        address = f"{self._service}/orders/{arguments.order_no}"
        async with (
            aiohttp.ClientSession() as session,
            session.get(address, params={"customer": caller.sender.id}) as response,
        ):
            if response.status == 404:
                return _told(UNKNOWN, arguments, caller)
            response.raise_for_status()
            order = Order.model_validate_json(await response.read())
        words = STATES[order.state].say(caller.language)
        return Result(text=words.format(no=arguments.order_no, day=order.arrives))

    async def cancel(self, arguments: OrderNumber, caller: Caller) -> Result:
        """Cancels the order. The service knows the key: asked twice, it cancels once."""
        address = f"{self._service}/orders/{arguments.order_no}/cancellation"
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                address, params={"customer": caller.sender.id}, headers={"Idempotency-Key": caller.key}
            ) as response,
        ):
            if response.status == 404:
                return _told(UNKNOWN, arguments, caller)
            if response.status == 409:
                return _told(TOO_LATE, arguments, caller)
            response.raise_for_status()
        return _told(CANCELLED, arguments, caller)


def functions(service: str) -> tuple[Function[OrderNumber], ...]:
    """What can be done with orders, by the service at this address."""
    orders = Orders(service)
    return (
        Function(
            name="order_status",
            description=Words(
                zh="客户询问自己某个订单的进度，并且给出了订单号时，查询这个订单。",
                en="Tells how an order stands when the customer asks about one of theirs and gives its number.",
            ),
            arguments=OrderNumber,
            run=orders.look_up,
            changes=False,
            seconds=5.0,
        ),
        Function(
            name="cancel_order",
            description=Words(
                zh="客户要求取消自己的某个订单，并且给出了订单号时，取消这个订单。",
                en="Cancels an order when the customer asks for that and gives its number.",
            ),
            arguments=OrderNumber,
            run=orders.cancel,
            changes=True,
            action=lambda order: Words(zh=f"取消订单 {order.order_no}", en=f"cancel order {order.order_no}"),
        ),
    )


def _told(words: Words, arguments: OrderNumber, caller: Caller) -> Result:
    return Result(text=words.say(caller.language).format(no=arguments.order_no))


FUNCTIONS = functions(SERVICE)
