"""Migrations: forward with a copy first, never backwards, never half."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

import migrations
from bot.errors import SchemaTooNew, SettingsError
from bot.history import schema
from bot.history.database import create_sync_engine
from tests.core.house import address


def test_a_new_database_gets_every_table_and_matches_the_code(tmp_path: Path) -> None:
    url = address(tmp_path / "deep" / "kefu.db")
    assert schema.upgrade(url) is None
    assert schema.check(url) == []
    assert schema.upgrade(url) is None


def test_the_newest_revision_is_named_beside_the_revisions() -> None:
    from alembic.script import ScriptDirectory

    assert ScriptDirectory.from_config(schema._config()).get_heads() == [migrations.HEAD]


def test_a_database_of_every_older_revision_is_copied_then_upgraded_with_its_rows(tmp_path: Path) -> None:
    for revision in older_revisions():
        file = tmp_path / revision / "kefu.db"
        file.parent.mkdir()
        upgrade_to(file, revision)
        connection = sqlite3.connect(file)
        connection.execute("INSERT INTO people VALUES ('telegram:1', 'telegram', '小林', '', '2026-01-01 00:00:00')")
        connection.commit()
        connection.close()
        assert schema.upgrade(address(file)) == revision
        assert schema.check(address(file)) == []
        [copy] = file.parent.glob("kefu.db.before-*")
        assert copy.stat().st_mode & 0o077 == 0
        for path in (file, copy):
            kept = sqlite3.connect(path)
            assert kept.execute("SELECT name FROM people").fetchall() == [("小林",)]
            kept.close()


def older_revisions() -> list[str]:
    from alembic.script import ScriptDirectory

    newest, *older = ScriptDirectory.from_config(schema._config()).walk_revisions()
    assert newest.revision == migrations.HEAD
    assert older
    return [script.revision for script in older]


def upgrade_to(file: Path, revision: str) -> None:
    """A database as an older version of ours left it."""
    from alembic import command

    engine = create_sync_engine(address(file))
    config = schema._config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def test_a_newer_database_is_refused_in_one_line_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "kefu.db"
    schema.upgrade(address(file))
    connection = sqlite3.connect(file)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    before = file.read_bytes()
    with pytest.raises(SchemaTooNew, match="9999") as refused:
        schema.upgrade(address(file))
    assert "\n" not in str(refused.value)
    assert file.read_bytes() == before
    assert "9999" in schema.check(address(file))[0]


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "kefu.db"
    file.write_text("these are not the pages you are looking for" * 100)
    with pytest.raises(SettingsError, match=r"database\.url"):
        schema.upgrade(address(file))


def test_what_differs_from_the_code_is_named(tmp_path: Path) -> None:
    file = tmp_path / "kefu.db"
    schema.upgrade(address(file))
    connection = sqlite3.connect(file)
    connection.execute("ALTER TABLE people ADD COLUMN shoe_size INTEGER")
    connection.commit()
    connection.close()
    assert any("differs" in line for line in schema.check(address(file)))
