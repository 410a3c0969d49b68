"""What every test runs under: nothing of the operator's, nothing beyond this machine, nothing that blocks the loop."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster, BlockBusterFunction

LOOPBACK = frozenset({None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::"})

OURS = ["bot", "adapters", "knowledge"]

LONGEST = (
    "packaging/", "browser/", "faults/", "knowledge/test_crash.py", "knowledge/test_e5.py",
    "knowledge/test_conversion.py", "cli/", "bench/", "adapters/wecom/", "adapters/slack/", "core/",
    "dialogue/test_attacks.py",
)  # fmt: skip
"""Files that take tens of seconds, and those whose tests wait for processes and for platforms' paces."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests and everything they import are made here and stay to the end. The garbage collector looks for
    them neither now nor, again and again, in every test."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the longest files: where files are shared out to several processes (`make test`), the short ones fill
    what is left at the end."""
    here = f"{Path(__file__).parent.as_posix()}/"
    items.sort(key=lambda item: not item.path.as_posix().removeprefix(here).startswith(LONGEST))


@pytest.fixture(autouse=True)
def _nothing_of_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of whoever runs the tests, and a proxy that would stand before loopback, are not theirs to see."""
    for name in list(os.environ):
        if name.startswith("KEFU_") or name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _nothing_beyond_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest-socket refuses connections; a name that is looked up would already have left the machine."""
    look_up = socket.getaddrinfo

    def look_up_loopback(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in LOOPBACK:
            raise socket.gaierror(socket.EAI_NONAME, f"a test looked up {name!r}; only loopback is to be had")
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_loopback)


@pytest.fixture(autouse=True)
def _blocking_calls_fail() -> Iterator[None]:
    """Where our code runs on an event loop, what blocks raises BlockingError. Tests and their fakes may block."""
    blockbuster = BlockBuster(OURS)
    blockbuster.functions.update(_calls_of_pysqlite3())
    for name in ("os.stat", "io.BufferedReader.read", "io.TextIOWrapper.read"):
        # A module imported at its first use reads its own files and its package's data, once in a process.
        blockbuster.functions[name].can_block_in("<frozen importlib._bootstrap>", "_find_and_load")
    # structlog that nobody configured, as in most tests, prints errors with rich, which looks for the source files.
    blockbuster.functions["os.stat"].can_block_in("rich/traceback.py", "_render_stack")
    blockbuster.activate()
    try:
        yield
    finally:
        blockbuster.deactivate()


def _calls_of_pysqlite3() -> dict[str, BlockBusterFunction]:
    """`bot.history` prefers pysqlite3's newer SQLite; blockbuster knows only the standard library's."""
    try:
        from pysqlite3 import dbapi2
    except ImportError:  # off Linux
        return {}
    fetching = ("execute", "executemany", "executescript", "fetchone", "fetchmany", "fetchall")
    calls = [(dbapi2.Cursor, call) for call in fetching]
    calls += [(dbapi2.Connection, call) for call in ("execute", "executemany", "executescript", "commit", "rollback")]
    return {
        f"pysqlite3.{owner.__name__}.{call}": BlockBusterFunction(owner, call, scanned_modules=OURS)
        for owner, call in calls
    }
