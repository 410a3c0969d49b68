"""`kefu db`: migrations."""

from __future__ import annotations

import click

from bot.cli.common import Operator, configure_logging, json_option, print_json


@click.group(short_help="Upgrade and check the database.")
def db() -> None:
    """Upgrade and check the database. `kefu run` upgrades by itself; this is for doing it at a time of your choice."""


@db.command(short_help="Bring the database to this version.")
@click.pass_obj
def upgrade(operator: Operator) -> None:
    """Bring the database to this version; a SQLite file is copied beside itself first."""
    from bot.history import schema

    settings = operator.settings()
    configure_logging(settings)
    before = schema.upgrade(settings.database.url)
    click.echo("The database is up to date." if before is None else f"The database was upgraded from {before}.")


@db.command(short_help="Compare the database with this version.")
@json_option
@click.pass_obj
def check(operator: Operator, as_json: bool) -> None:
    """Compare the database with this version, and look for damage. Changes nothing."""
    from bot.history import schema

    settings = operator.settings()
    configure_logging(settings, quiet=True)
    problems = schema.check(settings.database.url)
    if as_json:
        print_json({"ok": not problems, "problems": problems})
    else:
        for problem in problems:
            click.echo(problem)
        if not problems:
            click.echo("The database is sound and up to date.")
    if problems:
        raise SystemExit(1)
