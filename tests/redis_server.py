"""A real Redis of the test's own, on a loopback port, that can be hung, killed and started again."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

START_SECONDS = 10.0


class RedisServer:
    """One server process, with nothing in it that outlives it."""

    def __init__(self, binary: str, folder: Path, password: str) -> None:
        self._binary = binary
        self._folder = folder
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])

    @property
    def url(self) -> str:
        secret = f":{self._password}@" if self._password else ""
        return f"redis://{secret}127.0.0.1:{self.port}/0"

    def start(self, *arguments: str) -> None:
        """:param arguments: further settings, as on its command line."""
        self._process = subprocess.Popen(
            [
                *(self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)),
                *("--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", "redis.log"),
                *(("--requirepass", self._password) if self._password else ()),
                *arguments,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                if self.say("PING"):
                    return
            except OSError:
                time.sleep(0.01)
        raise AssertionError(f"redis-server did not start: {(self._folder / 'redis.log').read_text()[-500:]}")

    def say(self, *words: str | bytes) -> bytes:
        """One command over a connection of its own; the raw answer, up to 64 KB of it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            if self._password:
                connection.sendall(_command("AUTH", self._password))
                connection.recv(100)
            connection.sendall(_command(*words))
            return connection.recv(65536)

    def names(self) -> list[str]:
        """Of everything in it, sorted."""
        lines = self.say("KEYS", "*").decode().split("\r\n")
        return sorted(line for line in lines if line and line[0] not in "*$")

    def hang(self) -> None:
        """It takes calls and says nothing."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)


def _command(*words: str | bytes) -> bytes:
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


@contextmanager
def redis_server(folder: Path, *, password: str = "") -> Iterator[RedisServer]:
    """A started server; the test is left out, with a notice, where there is none on this machine."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        pytest.skip(
            "no redis-server on this machine (Debian: apt-get install redis-server): the cache in Redis is untested"
        )
    if importlib.util.find_spec("redis") is None:
        pytest.skip("kefu[redis] is not installed: the cache in Redis is untested")
    folder.mkdir(exist_ok=True)
    server = RedisServer(binary, folder, password)
    server.start()
    try:
        yield server
    finally:
        server.kill()
