"""`kefu db`: migrations and copies."""

from __future__ import annotations

from pathlib import Path

import click

from bot.cli.common import Operator, configure_logging, json_option, print_json
from bot.errors import OperatorError


@click.group(short_help="Upgrade, check and copy the database.")
def db() -> None:
    """Upgrade, check and copy the database. `kefu run` upgrades by itself; `upgrade` is for a time of your choice."""


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


@db.command(short_help="Copy the database while the bot runs.")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def backup(operator: Operator, file: Path) -> None:
    """Write a whole, checked copy of the SQLite database into FILE, also while the bot runs.

    Text that was deleted from the database is not in the copy.
    """
    from sqlalchemy.exc import DBAPIError

    from bot.history.database import create_sync_engine, sqlite_path

    settings = operator.settings()
    source = sqlite_path(settings.database.url)
    if source is None:
        raise OperatorError("database.url is no SQLite file; PostgreSQL has pg_dump")
    if not source.exists():
        raise OperatorError(f"{source} does not exist yet")
    _make_private(file)
    engine = create_sync_engine(settings.database.url)
    try:
        # On the driver's own connection: VACUUM runs in no transaction, and SQLAlchemy would begin one.
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("VACUUM INTO ?", (str(file),))
        finally:
            connection.close()
    except Exception as error:  # the driver, the disk or the path: whatever it was, no half a copy stays
        file.unlink(missing_ok=True)
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise OperatorError(f"{file} could not be written: {reason}") from error
    finally:
        engine.dispose()
    _check_copy(file)
    click.echo(f"Wrote {file}, {file.stat().st_size / 2**20:.1f} MB.")


def _make_private(file: Path) -> None:
    """An empty file that only we can read: VACUUM INTO takes an empty one, and would make a readable one itself."""
    try:
        file.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise OperatorError(f"{file} exists already") from None
    except OSError as error:
        raise OperatorError(f"{file} can not be written: {error.strerror}") from error


def _check_copy(file: Path) -> None:
    from bot.history import schema

    if problems := schema.check(f"sqlite+aiosqlite:///{file.absolute()}"):
        raise OperatorError(f"{file} was written, but is not sound: {problems[0]}")
