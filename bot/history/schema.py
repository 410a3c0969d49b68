"""Brings a database to this version's schema, and refuses one that is newer.

Everything here blocks; callers run it in a thread, before anything else touches the database.
"""

from __future__ import annotations

import time
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

import migrations
from bot.errors import OperatorError, SchemaTooNew, SettingsError
from bot.history.database import create_sync_engine, sqlite_path
from bot.telemetry import get_logger

if TYPE_CHECKING:
    from alembic.config import Config

KEPT_BACKUPS = 3

log = get_logger(__name__)


def upgrade(url: str) -> str | None:
    """Upgrades the database if it is older; a SQLite file is copied beside itself first.

    :returns: the revision it had, None if it was empty or is already current.
    :raises SchemaTooNew: it was written by a newer kefu.
    :raises SettingsError: it can not be opened.
    """
    path = sqlite_path(url)
    if path is not None:
        _make_private_folder(path.parent)
    engine = create_sync_engine(url)
    try:
        found = _revision(engine)
        if found == migrations.HEAD:
            return None
        if found is not None:
            _refuse_newer(found)
            if path is not None:
                log.info("database copied before its upgrade", copy=str(_backup(engine, path, found)))
        with engine.begin() as connection:
            _run_alembic(connection)
    except DBAPIError as error:
        raise SettingsError(f"database.url: the database can not be opened or upgraded: {error.orig}") from error
    finally:
        engine.dispose()
    log.info("database upgraded", before=found or "empty", now=migrations.HEAD)
    return found


def check(url: str) -> list[str]:
    """What is wrong with the database's schema and file, a line each; empty when all is well."""
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return [f"{path} does not exist yet; `kefu db upgrade` or the first start makes it"]
    engine = create_sync_engine(url)
    try:
        found = _revision(engine)
        if found != migrations.HEAD:
            return [f"the database is at revision {found or 'none'}, this version needs {migrations.HEAD}"]
        with engine.begin() as connection:
            problems = [f"table or column differs: {difference[0]}" for difference in differences(connection)]
            if path is not None:
                rows = connection.execute(text("PRAGMA quick_check")).scalars().all()
                problems += [f"the file is damaged: {row}" for row in rows if row != "ok"]
        return problems
    except DBAPIError as error:
        return [f"the database can not be read: {error.orig}"]
    finally:
        engine.dispose()


def differences(connection: Connection) -> list[tuple[object, ...]]:
    """How the tables in the database differ from `bot.history.tables`, as Alembic names it."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from bot.history.tables import metadata

    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, metadata))


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return found


def _refuse_newer(found: str) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found not in known:
        raise SchemaTooNew(
            f"the database is at revision {found}, which this version does not know (it knows up to {migrations.HEAD}):"
            " start the newer kefu again, or restore the copy that was made before its upgrade"
        )


def _run_alembic(connection: Connection) -> None:
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _backup(engine: Engine, path: Path, revision: str) -> Path:
    """A consistent copy beside the file. VACUUM INTO also leaves deleted text out of it."""
    copy = path.with_name(f"{path.name}.before-{migrations.HEAD}-from-{revision}-{time.time_ns()}")
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("VACUUM INTO ?", (str(copy),))
    except Exception as error:  # the driver, the disk or the path: whatever it was, nothing is upgraded without a copy
        raise OperatorError(f"the copy before the upgrade failed, nothing was changed: {error}") from error
    finally:
        connection.close()
    copy.chmod(0o600)
    for old in sorted(path.parent.glob(f"{path.name}.before-*"), key=lambda file: file.stat().st_mtime)[:-KEPT_BACKUPS]:
        old.unlink()
    return copy


def _make_private_folder(folder: Path) -> None:
    if folder.exists():
        return
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise SettingsError(f"database.url: the folder {folder} can not be made: {error.strerror}") from error


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    return config
