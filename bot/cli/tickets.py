"""`kefu tickets`: the desk from a terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bot.cli.common import Operator, configure_logging, json_option, print_json

if TYPE_CHECKING:  # the desk imports the database's libraries: not for `kefu tickets --help`
    from bot.messages import Ticket
    from bot.tickets.desk import Desk

T = TypeVar("T")
STATES = ("open", "assigned", "answered", "closed")

_NUMBER = click.argument("number", metavar="ID", callback=lambda _ctx, _parameter, value: value.strip().upper())


@click.group(short_help="Work on tickets.")
def tickets() -> None:
    """Work on tickets. ID is a ticket's number, e.g. TICKET-7K2M9Q4D."""


@tickets.command("list", short_help="List tickets, newest first.")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--requester", metavar="ID", help="Only those of this person, e.g. telegram:123.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--before", metavar="ID", help="The page after this ticket.")
@json_option
@click.pass_obj
def list_tickets(
    operator: Operator, state: str | None, requester: str | None, limit: int, before: str | None, as_json: bool
) -> None:
    """List tickets, newest first."""
    from bot.messages import TicketState
    from bot.server.wire import ticket_json

    found = _at_desk(
        operator,
        lambda desk: desk.list(
            state=TicketState(state) if state else None,
            requester=requester,
            limit=limit,
            before=before.strip().upper() if before else None,
        ),
    )
    if as_json:
        following = found[-1].number if len(found) == limit else None
        print_json({"tickets": [ticket_json(ticket) for ticket in found], "next": following})
        return
    for ticket in found:
        click.echo(_line(ticket))
    if not found:
        click.echo("No tickets.")


@tickets.command(short_help="Show a ticket, its dialogue and its record.")
@_NUMBER
@json_option
@click.pass_obj
def show(operator: Operator, number: str, as_json: bool) -> None:
    """Show a ticket, the dialogue that led to it and all that happened since."""
    from bot.server.wire import whole_ticket_json

    ticket, events = _at_desk(operator, lambda desk: desk.get(number))
    if as_json:
        print_json(whole_ticket_json(ticket, events))
        return
    click.echo(_safe(_line(ticket)))
    place = ticket.conversation
    rows = {
        "requester": f"{ticket.requester} {ticket.requester_name}",
        "where": f"{place.platform} {place.channel} {place.thread}",
        "contact": ticket.contact,
        "order": ticket.order_no,
        "opened": _local(ticket.created_at),
        "due": _local(ticket.due_at),
    }
    for name, value in rows.items():
        if value.strip():
            click.echo(_safe(f"  {name:<10} {value.strip()}"))
    for said in ticket.transcript:
        click.echo(_safe(f"  | {said}"))
    for event in events:
        click.echo(_safe(f"  {_local(event.at)}  {event.kind:<9} {event.author}  {event.text}".rstrip()))


@tickets.command(short_help="Answer the customer.")
@_NUMBER
@click.argument("text")
@click.option("--agent", default="", metavar="NAME", help="Your name, as the customer sees it.")
@json_option
@click.pass_obj
def reply(operator: Operator, number: str, text: str, agent: str, as_json: bool) -> None:
    """Answer the customer, in the channel the ticket came from. The running bot sends it."""
    words = _words(text)
    delivery = _at_desk(operator, lambda desk: desk.reply(number, words, agent=_safe(agent.strip())))
    if as_json:
        print_json({"ticket": number, "delivery": delivery})
    else:
        click.echo(f"{number}: the reply is on its way (delivery {delivery}).")


@tickets.command(short_help="Give a ticket to somebody.")
@_NUMBER
@click.argument("who")
@json_option
@click.pass_obj
def assign(operator: Operator, number: str, who: str, as_json: bool) -> None:
    """Give a ticket to somebody."""
    person = _words(who)
    _show_changed(operator, lambda desk: desk.update(number, assignee=person, by="cli"), as_json)


@tickets.command(short_help="Close a ticket.")
@_NUMBER
@json_option
@click.pass_obj
def close(operator: Operator, number: str, as_json: bool) -> None:
    """Close a ticket; the bot answers its customer again."""
    from bot.messages import TicketState

    _show_changed(operator, lambda desk: desk.update(number, state=TicketState.CLOSED, by="cli"), as_json)


def _show_changed(operator: Operator, change: Callable[[Desk], Awaitable[Ticket]], as_json: bool) -> None:
    from bot.server.wire import ticket_json

    ticket = _at_desk(operator, change)
    if as_json:
        print_json(ticket_json(ticket))
    else:
        click.echo(_safe(_line(ticket)))


def _at_desk(operator: Operator, work: Callable[[Desk], Awaitable[T]]) -> T:
    settings = operator.settings()
    configure_logging(settings, quiet=True)

    async def run() -> T:
        from bot.cli.opening import open_desk

        async with open_desk(settings) as (desk, _):
            return await work(desk)

    return asyncio.run(run())


def _line(ticket: Ticket) -> str:
    fields: tuple[Any, ...] = (
        ticket.number,
        f"{ticket.state:<8}",
        f"{ticket.urgency:<6}",
        _local(ticket.created_at),
        f"{ticket.assignee or '-':<12}",
        ticket.subject,
    )
    return _safe("  ".join(fields))


def _local(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M")


def _words(text: str) -> str:
    words = _safe(text, keep="\n").strip()
    if not words:
        raise click.UsageError("the text is empty")
    return words


def _safe(text: str, *, keep: str = "") -> str:
    """Without what could drive a terminal, or not be stored: customers' words are printed here."""
    kept = "".join(sign if sign.isprintable() or sign in keep else " " for sign in text)
    return kept.encode("utf-8", "replace").decode("utf-8")
