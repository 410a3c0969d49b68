"""`kefu deliveries`: replies that need an operator's decision."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

from bot.cli.common import Operator, configure_logging, json_option, print_json

if TYPE_CHECKING:  # the store imports the database's libraries: not for `kefu deliveries --help`
    from bot.history.store import Store

T = TypeVar("T")


@click.group(short_help="Decide on replies that may not have arrived.")
def deliveries() -> None:
    """Decide on replies that may not have arrived.

    "unknown" was sent, perhaps, and nobody can tell whether it arrived; "failed" surely did not.
    """


@deliveries.command("list", short_help="List them, oldest first.")
@json_option
@click.pass_obj
def list_deliveries(operator: Operator, as_json: bool) -> None:
    """List the replies that need a decision, oldest first."""
    stuck = _at_store(operator, lambda store: store.stuck_deliveries())
    if as_json:
        rows = [
            {
                "id": one.id,
                "state": one.state,
                "error": one.error,
                "text": one.text,
                "ticket": one.ticket or None,
                "conversation": {
                    "platform": one.conversation.platform,
                    "account": one.conversation.account,
                    "channel": one.conversation.channel,
                    "thread": one.conversation.thread,
                },
                "created_at": one.created_at.isoformat(),
            }
            for one in stuck
        ]
        print_json({"deliveries": rows})
        return
    for one in stuck:
        place = ":".join(filter(None, (one.conversation.platform, one.conversation.channel, one.conversation.thread)))
        words = "".join(sign if sign.isprintable() else " " for sign in one.text)
        at = one.created_at.astimezone().strftime("%Y-%m-%d %H:%M")
        click.echo(f"{one.id}  {one.state:<7}  {at}  {place}  {one.error}  {words[:60]}")
    if not stuck:
        click.echo("Every reply has arrived, or is on its way.")


@deliveries.command(short_help="Send one again.")
@click.argument("delivery_id", metavar="ID", type=int)
@json_option
@click.pass_obj
def retry(operator: Operator, delivery_id: int, as_json: bool) -> None:
    """Send a reply again; one that had arrived after all arrives twice."""
    _at_store(operator, lambda store: store.retry_delivery(delivery_id))
    _say(delivery_id, "waiting", f"Delivery {delivery_id} will be sent again.", as_json)


@deliveries.command(short_help="Leave one as it is.")
@click.argument("delivery_id", metavar="ID", type=int)
@json_option
@click.pass_obj
def drop(operator: Operator, delivery_id: int, as_json: bool) -> None:
    """Leave a reply as it is, and take it off the list."""
    _at_store(operator, lambda store: store.drop_delivery(delivery_id))
    _say(delivery_id, "dropped", f"Delivery {delivery_id} is left as it is.", as_json)


def _say(delivery_id: int, state: str, sentence: str, as_json: bool) -> None:
    if as_json:
        print_json({"id": delivery_id, "state": state})
    else:
        click.echo(sentence)


def _at_store(operator: Operator, work: Callable[[Store], Awaitable[T]]) -> T:
    settings = operator.settings()
    configure_logging(settings, quiet=True)

    async def run() -> T:
        from bot.cli.opening import open_desk

        async with open_desk(settings) as (_, store):
            return await work(store)

    return asyncio.run(run())
