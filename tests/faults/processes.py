"""Real processes under test: started, watched, killed, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import aiohttp

from tests.fakes.botapi.remote import RemoteTelegram
from tests.fakes.telegram_api import FakeTelegram
from tests.faults.seeds import VARIABLE

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment(**extra: str) -> dict[str, str]:
    """This process's environment without any setting of the product, plus `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KEFU_") and name != VARIABLE}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **extra}


class Process:
    """A child process with its output in a file."""

    def __init__(
        self, command: Sequence[str], *, log: Path, folder: Path = ROOT, environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = list(command)
        self._log = log
        self._folder = folder
        self._environment = dict(environment) if environment is not None else clean_environment()
        self._process: asyncio.subprocess.Process | None = None
        self.started_at = 0.0

    async def start(self) -> None:
        self.started_at = time.monotonic()
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder,
                env=self._environment, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def status(self) -> int | None:
        """As of `subprocess`: negative for a signal, None while it runs."""
        return self._process.returncode if self._process is not None else None

    def send(self, number: signal.Signals) -> None:
        """Signals the process alone, if it still runs."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def wait(self, seconds: float = 30.0) -> int:
        """:raises TimeoutError: it still runs."""
        assert self._process is not None
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    async def end(self) -> None:
        """Kills what is left of it."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # its own group: it was started with a new session
        await self._process.wait()

    def words(self, last: int = 4000) -> str:
        """The end of its output, for a failing test's message."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-last:] if self._log.exists() else ""


@contextlib.asynccontextmanager
async def telegram_beside() -> AsyncIterator[RemoteTelegram]:
    """The fake Bot API in the test's own process, spoken to over HTTP: it does not notice a bot's death."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with FakeTelegram() as telegram, aiohttp.ClientSession(timeout=timeout) as session:
        yield RemoteTelegram(telegram.url, telegram.token, session)


def missing(*tools: str) -> str:
    """What this machine lacks of these tools, in words; "" when all are there."""
    absent = [tool for tool in tools if shutil.which(tool) is None]
    return f"not on this machine: {', '.join(absent)}" if absent else ""


def may_trace() -> str:
    """Why strace can not be used here; "" when it can."""
    if words := missing("strace"):
        return words
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if os.geteuid() != 0 and scope.exists() and scope.read_text().strip() not in {"0", "1"}:
        return "ptrace_scope forbids tracing"
    return ""


async def strace(pid: int, inject: Sequence[str], *, log: Path) -> Process:
    """Attaches strace to a running process and all its threads, to inject what "calls:what:when=n" says.

    No --seccomp-bpf: with it nothing is injected.

    Returns when it has attached, so that what is injected from now on counts.
    """
    calls = ",".join(one.partition(":")[0] for one in inject)
    command = ["strace", "-f", "-o", str(log), "-e", f"trace={calls}", "-p", str(pid)]
    for one in inject:
        command += ["-e", f"inject={one}"]
    notes = log.with_suffix(".notes")
    notes.unlink(missing_ok=True)
    process = Process(command, log=notes)
    await process.start()
    deadline = time.monotonic() + 5
    while "attached" not in process.words() and process.status is None and time.monotonic() < deadline:
        await asyncio.sleep(0.005)
    return process
