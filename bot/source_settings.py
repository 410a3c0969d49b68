"""`[[knowledge.sources]]`: what is kept in sync, and how often."""

from __future__ import annotations

import difflib
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails

from bot.section import Section

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_KINDS = ("path", "url", "sitemap", "database")


def seconds_of(every: str) -> int:
    """ "90m" → 5400. Raises ValueError."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", every)
    if found is None:
        raise ValueError('must be a time such as "30m", "1h" or "1d"')
    return int(found[1]) * _UNITS[found[2]]


def _interval(every: str) -> str:
    seconds_of(every)
    return every


def _page(address: str) -> str:
    parts = urlsplit(address)
    if address and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("must be an address that starts with http:// or https://")
    if parts.username or parts.password:
        raise ValueError("must not hold a user or a password")
    return address


class SourceSettings(Section):
    """One source of knowledge."""

    # A label of the figures on /metrics, so it is a short word.
    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    """How it is called in log lines and on /metrics: small letters, digits and underlines."""
    collection: str = Field(default="default", min_length=1)
    """The collection that is made equal to it; several sources of one collection are read together."""
    path: str = ""
    """A file or a folder."""
    url: Annotated[str, AfterValidator(_page)] = ""
    """A page, and the pages below it that it links to."""
    sitemap: Annotated[str, AfterValidator(_page)] = ""
    """A sitemap: every page in it."""
    database: SecretStr = SecretStr("")
    """A SQLAlchemy address, which may hold a password."""
    query: str = Field(default="", repr=False)
    """What to select there."""
    every: Annotated[str, AfterValidator(_interval)] = "1h"
    """How often."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> SourceSettings:
        given = [kind for kind in _KINDS if getattr(self, kind) not in ("", SecretStr(""))]
        if len(given) != 1:
            said = " and ".join(given) if given else "none of them"
            raise ValueError(f"needs one of path, url, sitemap and database, and has {said}")
        if bool(self.query) != (given[0] == "database"):
            raise ValueError(
                "needs a query beside its database" if not self.query else "has a query without a database"
            )
        if given[0] == "database" and "://" not in self.database.get_secret_value():
            raise ValueError(
                'database must be a SQLAlchemy address such as "postgresql+psycopg://user:password@host/name"'
            )
        return self


def read_sources(values: object) -> object:
    """What stands in the file, read here so that a mistake is told with the source and the key it is in.

    Raises ValueError.
    """
    if not isinstance(values, list | tuple):
        raise ValueError("must be written as [[knowledge.sources]], once for each source")
    sources: list[SourceSettings] = []
    for number, value in enumerate(values, start=1):
        source = value if isinstance(value, SourceSettings) else _read(number, value)
        if any(source.name == other.name for other in sources):
            raise ValueError(f"number {number}: the name {source.name} is used twice")
        sources.append(source)
    return tuple(sources)


def _read(number: int, value: object) -> SourceSettings:
    if not isinstance(value, dict):
        raise ValueError(f"number {number}: must be a table: [[knowledge.sources]]")
    name = value.get("name")
    which = f"number {number}" + (f" ({name})" if isinstance(name, str) and re.fullmatch(r"\w{1,40}", name) else "")
    try:
        return SourceSettings.model_validate(value)
    except ValidationError as refused:
        first = refused.errors(include_url=False)[0]
        raise ValueError(f"{which}: {_in_words(first)}") from None


def _in_words(problem: ErrorDetails) -> str:
    key = str(problem["loc"][0]) if problem["loc"] else ""
    match problem["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(key, SourceSettings.model_fields, n=1)
            return f"there is no key {key}" + (f'; did you mean "{near[0]}"?' if near else "")
        case "missing":
            return f"{key} is needed"
        case "string_type":
            return f"{key} must be text in quotes"
        case "string_too_short":
            return f"{key} must not be empty"
        case "string_pattern_mismatch":
            return f"{key} must be small letters, digits and underlines, such as help_pages"
        case "value_error":
            return f"{key} {problem['ctx']['error']}".strip()
        case _:
            return f"{key} {problem['msg']}"
