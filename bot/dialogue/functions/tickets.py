"""The functions that every house has: open a ticket, tell how one stands, bring in a person.

They store nothing: a ticket becomes true with the turn, keyed by it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from bot.dialogue.functions.base import Arguments, Caller, Function, Result, TicketWish, Words
from bot.dialogue.ticketing import CREATE_TICKET, HAND_TO_PERSON, TICKET_STATUS, Ticketing


class CreateSupportTicket(Arguments):
    """A ticket about a problem."""

    issue: Annotated[
        str,
        Words(zh="客户遇到的问题，用客户自己的话", en="The problem, in the customer's own words"),
        Field(min_length=1, max_length=4000),
    ]
    contact: Annotated[
        str,
        Words(zh="客户给出的电话或邮箱，没有就留空", en="Telephone or e-mail the customer gave, else empty"),
        Field(max_length=200),
    ] = ""
    order_no: Annotated[
        str,
        Words(zh="客户提到的订单号，没有就留空", en="Order number the customer mentioned, else empty"),
        Field(max_length=64),
    ] = ""
    urgency: Annotated[Literal["low", "normal", "high"], Words(zh="紧急程度", en="How urgent it is")] = "normal"


class TicketStatus(Arguments):
    """How a ticket stands."""

    ticket: Annotated[str, Words(zh="工单编号", en="The ticket's number"), Field(min_length=3, max_length=64)]


class HandToPerson(Arguments):
    """A person is to join the conversation."""

    reason: Annotated[
        str,
        Words(zh="客户希望人工处理什么", en="What the person should help with"),
        Field(max_length=4000),
    ] = ""


def ticket_functions(ticketing: Ticketing) -> tuple[Function[Any], ...]:
    """The three of them."""

    async def status(arguments: TicketStatus, caller: Caller) -> Result:
        numbers = ticketing.numbers(arguments.ticket.upper()) or (arguments.ticket.upper(),)
        return await ticketing.status(numbers, requester=caller.sender.id, language=caller.language)

    return (
        Function(
            name=CREATE_TICKET,
            description=Words(
                zh="客户明确要求登记工单、投诉，或同意由同事跟进时，登记一个工单。不要为普通问题登记。",
                en="Opens a ticket when the customer clearly asks for one, complains, or agrees that a colleague "
                "follows up. Never for an ordinary question.",
            ),
            arguments=CreateSupportTicket,
            run=_create,
            changes=False,
            offered="on a wish",
        ),
        Function(
            name=TICKET_STATUS,
            description=Words(
                zh="客户询问自己的某个工单时，查询它的进度。",
                en="Tells how one of the customer's own tickets stands when they ask about it.",
            ),
            arguments=TicketStatus,
            run=status,
            changes=False,
            offered="with a ticket",
        ),
        Function(
            name=HAND_TO_PERSON,
            description=Words(
                zh="客户明确要求和真人沟通时，转给人工客服。",
                en="Passes the conversation to a person when the customer clearly asks for one.",
            ),
            arguments=HandToPerson,
            run=_hand_over,
            changes=False,
            offered="on a wish",
        ),
    )


async def _create(arguments: CreateSupportTicket, caller: Caller) -> Result:
    return Result(wish=TicketWish(**arguments.model_dump()))


async def _hand_over(arguments: HandToPerson, caller: Caller) -> Result:
    return Result(wish=TicketWish(issue=arguments.reason, kind="person"))
