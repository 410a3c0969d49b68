"""[[knowledge.sources]] as operators write it, and as they mistype it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.errors import SettingsError
from bot.settings import load_settings
from bot.source_settings import seconds_of


def test_every_kind_of_source_is_read(tmp_path: Path) -> None:
    sources = load_settings(
        _written(
            tmp_path,
            """
            [knowledge]
            top_k = 3
            [[knowledge.sources]]
            name = "handbook"
            path = "kb"
            every = "30m"
            [[knowledge.sources]]
            name = "crm"
            collection = "shop"
            database = "postgresql+psycopg://u:hunter2@db.example/crm"
            query = "SELECT id, title, text FROM policies"
            """,
        ),
        {},
    ).knowledge.sources
    assert [(source.name, source.collection, source.every) for source in sources] == [
        ("handbook", "default", "30m"),
        ("crm", "shop", "1h"),
    ]
    assert "hunter2" not in repr(sources)


def test_the_environment_gives_sources_as_json() -> None:
    environ = {"KEFU_KNOWLEDGE__SOURCES": '[{"name": "kb", "path": "kb"}]'}
    assert [source.path for source in load_settings(None, environ).knowledge.sources] == ["kb"]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ('path = "kb"', "number 2: name is needed"),
        ('name = "a"\npath = "kb"', "number 2: the name a is used twice"),
        ('name = "Help Pages"\npath = "kb"', "number 2: name must be small letters, digits and underlines"),
        ('name = "b"', "number 2 (b): needs one of path, url, sitemap and database, and has none of them"),
        ('name = "b"\npath = "x"\nurl = "https://x.example"', "and has path and url"),
        ('name = "b"\npath = "x"\nevry = "1h"', 'there is no key evry; did you mean "every"?'),
        ('name = "b"\npath = "x"\nevery = "hourly"', 'every must be a time such as "30m", "1h" or "1d"'),
        ('name = "b"\npath = "x"\nevery = 3', "every must be text in quotes"),
        ('name = "b"\nurl = "ftp://x.example"', "url must be an address that starts with http"),
        ('name = "b"\nurl = "https://u:hunter2@x.example"', "url must not hold a user or a password"),
        ('name = "b"\ndatabase = "postgresql://hunter2"', "needs a query beside its database"),
        ('name = "b"\npath = "x"\nquery = "SELECT 1"', "has a query without a database"),
        ('name = "b"\ndatabase = "crm"\nquery = "SELECT 1"', "database must be a SQLAlchemy address"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_source_and_its_key(tmp_path: Path, keys: str, says: str) -> None:
    text = f'[[knowledge.sources]]\nname = "a"\npath = "kb"\n[[knowledge.sources]]\n{keys}\n'
    with pytest.raises(SettingsError) as refused:
        load_settings(_written(tmp_path, text), {})
    line = str(refused.value)
    assert line.startswith(f"{tmp_path}/kefu.toml:1: knowledge.sources number 2")
    assert says in line
    assert "\n" not in line
    assert "hunter2" not in line


def test_something_else_in_its_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"must be written as \[\[knowledge.sources\]\]"):
        load_settings(_written(tmp_path, '[knowledge]\nsources = "kb"\n'), {})


@pytest.mark.parametrize(("every", "seconds"), [("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86400)])
def test_an_interval_in_seconds(every: str, seconds: int) -> None:
    assert seconds_of(every) == seconds


def _written(folder: Path, text: str) -> Path:
    path = folder / "kefu.toml"
    path.write_text(text, encoding="utf-8")
    return path
