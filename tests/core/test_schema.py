"""Migrations: forward with a copy first, never backwards, never half."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

import migrations
from bot.errors import SchemaTooNew, SettingsError
from bot.history import schema
from tests.core.house import address


def test_a_new_database_gets_every_table_and_matches_the_code(tmp_path: Path) -> None:
    url = address(tmp_path / "deep" / "kefu.db")
    assert schema.upgrade(url) is None
    assert schema.check(url) == []
    assert schema.upgrade(url) is None


def test_the_newest_revision_is_named_beside_the_revisions() -> None:
    from alembic.script import ScriptDirectory

    assert ScriptDirectory.from_config(schema._config()).get_heads() == [migrations.HEAD]


def test_an_older_database_is_copied_before_its_upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kefu.db"
    schema.upgrade(address(file))
    connection = sqlite3.connect(file)
    connection.execute("INSERT INTO people VALUES ('telegram:1', 'telegram', '小林', '', '2026-01-01 00:00:00')")
    connection.commit()
    connection.close()
    # A version whose newest revision is another one takes this database for an older one.
    monkeypatch.setattr(migrations, "HEAD", "0002")
    assert schema.upgrade(address(file)) == migrations_before(file)
    [copy] = tmp_path.glob("kefu.db.before-*")
    kept = sqlite3.connect(copy)
    assert kept.execute("SELECT name FROM people").fetchall() == [("小林",)]
    kept.close()
    assert copy.stat().st_mode & 0o077 == 0


def migrations_before(file: Path) -> str:
    connection = sqlite3.connect(file)
    [(revision,)] = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    connection.close()
    return str(revision)


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
