"""`kefu run` as an operator starts it: a process of its own, with the sample knowledge and the real parts."""

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.cli.test_supervise import is_alive, wait_until_gone

KEFU = [sys.executable, "-P", "-c", "from bot.cli import main; main()"]
READY = re.compile(r"kefu is ready: (http://127\.0\.0\.1:\d+)/chat")


class Running:
    """One `kefu run`, and what it has printed."""

    def __init__(self, folder: Path, *options: str) -> None:
        environ = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "KEFU_HTTP__PORT": "0"}
        self.process = subprocess.Popen(
            [*KEFU, "run", *options],
            cwd=folder, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.lines: queue.Queue[str] = queue.Queue()
        self.log: list[str] = []
        assert self.process.stdout is not None and self.process.stderr is not None
        self._readers = [
            threading.Thread(target=_copy, args=(self.process.stdout, self.lines.put)),
            threading.Thread(target=_copy, args=(self.process.stderr, self.log.append)),
        ]
        for reader in self._readers:
            reader.start()

    def line(self, pattern: re.Pattern[str], seconds: float = 90) -> re.Match[str]:
        """The next printed line that matches."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = pattern.search(self.lines.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"{pattern.pattern} was never printed:\n{''.join(self.log)[-3000:]}") from None
            if found:
                return found

    def end(self, signum: signal.Signals, seconds: float = 40) -> int:
        self.process.send_signal(signum)
        status = self.process.wait(seconds)
        for reader in self._readers:
            reader.join(5)
        return status


def _copy(stream: Iterable[str], keep: Callable[[str], None]) -> None:
    for line in stream:
        keep(line)


@pytest.fixture
def started() -> Iterator[list[Running]]:
    running: list[Running] = []
    yield running
    for one in running:
        if one.process.poll() is None:
            one.end(signal.SIGKILL)
        for stream in (one.process.stdout, one.process.stderr):
            assert stream is not None
            stream.close()


def get(address: str, **headers: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def test_a_supervised_bot_serves_survives_a_kill_and_stops_as_asked(started: list[Running], tmp_path: Path) -> None:
    bot = Running(tmp_path, "--supervise")
    started.append(bot)
    token = bot.line(re.compile(r"Admin token.*: (\S+)$"))[1]
    address = bot.line(READY)[1]

    status, body = get(f"{address}/readyz")
    assert status == 200
    parts = json.loads(body)["parts"]
    assert {"database", "knowledge", "engine", "web"} <= set(parts)
    assert all(part["state"] == "up" for part in parts.values())
    assert get(f"{address}/chat")[0] == 200
    assert b"kefu_turns" in get(f"{address}/metrics")[1]
    assert get(f"{address}/api/v1/tickets")[0] == 401
    assert get(f"{address}/api/v1/tickets", Authorization=f"Bearer {token}")[0] == 200

    second = subprocess.run(
        [*KEFU, "run"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(tmp_path), "KEFU_HTTP__PORT": "0"},
    )  # fmt: skip
    assert second.returncode == 2
    assert re.fullmatch(r"kefu: another kefu runs on \S+; .*\n", second.stderr), second.stderr

    child = child_of(bot.process.pid)
    os.kill(child, signal.SIGKILL)
    again = bot.line(READY)[1]
    assert not is_alive(child)
    assert get(f"{again}/api/v1/tickets", Authorization=f"Bearer {token}")[0] == 200, "the token is still the same"

    child = child_of(bot.process.pid)
    assert bot.end(signal.SIGTERM) == 0
    wait_until_gone(child)
    while not bot.lines.empty():
        assert "token" not in bot.lines.get(), "it is printed once"
    assert token not in "".join(bot.log)


def test_a_port_that_is_taken_is_one_line_and_no_restart(started: list[Running], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*KEFU, "run", "--supervise"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(tmp_path), "KEFU_HTTP__PORT": str(port)},
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"kefu: http.port: {port} on 127.0.0.1 is in use; is kefu running already?"


def test_a_fail_point_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [*KEFU, "run"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(tmp_path), "KEFU_FAILPOINT": "somewhere:1"},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("kefu: KEFU_FAILPOINT must be one of ")
