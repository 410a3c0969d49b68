"""The conditions that conftest.py promises every test really hold: a check that cannot fail checks nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockingError
from pytest_socket import SocketConnectBlockedError

import bot

_BLOCKING = {
    "sleep": "import time; time.sleep(0)",
    "file": "from pathlib import Path; Path(__file__).read_bytes()",
    "sqlite": "from pysqlite3 import dbapi2; dbapi2.connect(':memory:').execute('SELECT 1')",
}


def _as_if_ours(source: str) -> Callable[[], None]:
    """A function whose file lies in our package, since only our code is watched."""
    names: dict[str, Any] = {"__file__": __file__}
    lines = "".join(f"    {line.strip()}\n" for line in source.split("; "))
    exec(compile(f"def call():\n{lines}", str(Path(bot.__file__).with_name("pretended.py")), "exec"), names)
    call: Callable[[], None] = names["call"]
    return call


@pytest.mark.parametrize("source", _BLOCKING.values(), ids=_BLOCKING)
async def test_our_code_cannot_block_the_loop(source: str) -> None:
    with pytest.raises(BlockingError):
        _as_if_ours(source)()


@pytest.mark.parametrize("source", _BLOCKING.values(), ids=_BLOCKING)
def test_our_code_may_block_where_no_loop_runs(source: str) -> None:
    _as_if_ours(source)()


@pytest.mark.filterwarnings("ignore:A test tried to use socket:UserWarning")
def test_no_connection_leaves_the_machine() -> None:
    with socket.socket() as connection, pytest.raises(SocketConnectBlockedError):
        connection.connect(("192.0.2.1", 80))


def test_no_name_is_looked_up_outside() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("kefu.example", 443)
    assert socket.getaddrinfo("localhost", 80)


def test_the_operators_settings_are_not_seen() -> None:
    assert not [name for name in os.environ if name.startswith("KEFU_")]
