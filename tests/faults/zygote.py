"""The harness's side of `tests.faults.driver`: lives of a bot, started and ended at will."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.core.house import FILE, new_database
from tests.fakes.botapi.remote import RemoteTelegram
from tests.faults import scripted_answering
from tests.faults.bot import Site, settings_text
from tests.faults.processes import ROOT, clean_environment, free_port

UNLIMITED = "[limits]\nuser_per_minute = 1000000\nqueue_per_conversation = 1000000\nqueue_total = 1000000\n"


class Driver:
    """The process that forks lives, one at a time. Shared by the tests of a session: its imports take seconds."""

    def __init__(self, log: Path, environment: dict[str, str] | None = None) -> None:
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.driver"], cwd=ROOT, start_new_session=True, stderr=errors,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_environment(**(environment or {})),
            )  # fmt: skip

    def __enter__(self) -> Self:
        """Returns when everything is imported."""
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    async def ask(self, **what: Any) -> dict[str, Any]:
        """One command, one answer."""
        return await asyncio.to_thread(self._ask, what)

    def _ask(self, what: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the driver died: {self._log.read_text(encoding='utf-8')[-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Zygote:
    """One installation in a folder, and its lives."""

    def __init__(self, driver: Driver, folder: Path, site: Site, script: dict[str, str]) -> None:
        self._driver = driver
        self._script = script
        self.folder = folder
        self.database = folder / "data" / FILE
        self.site = site
        self.pid = 0
        self._status = 0  # of the last life that has ended

    async def start(self, failpoint: str = "", *, go: bool = True) -> int:
        """A new life; it waits for `go` unless told at once. Returns its process id."""
        environment = {**self._script, **({"KEFU_FAILPOINT": failpoint} if failpoint else {})}
        told = await self._driver.ask(do="start", folder=str(self.folder), environment=environment)
        self.pid = int(told["pid"])
        if go:
            await self.go()
        return self.pid

    async def go(self) -> None:
        await self._driver.ask(do="go")

    async def ready(self, *, seconds: float = 30.0) -> None:
        """:raises TimeoutError: the life is not ready in time, or has ended."""
        deadline = time.monotonic() + seconds
        while (await self.site.readiness())[0] != 200:
            if await self.ended(0.02) is not None or time.monotonic() > deadline:
                raise TimeoutError(f"not ready: {self.words()}")

    async def ended(self, seconds: float) -> int | None:
        """How the life ended (negative: by that signal), None if it still runs after that time."""
        if not self.pid:
            return None
        status = (await self._driver.ask(do="wait", seconds=seconds))["status"]
        if status is not None:
            self.pid, self._status = 0, int(status)
        return int(status) if status is not None else None

    def send(self, number: signal.Signals) -> None:
        assert self.pid, "nobody lives; to the system, 0 would be all of us"
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def kill(self, number: signal.Signals = signal.SIGKILL, *, seconds: float = 30.0) -> int:
        """Ends the life, if it has not ended, and says how it ended.

        :raises TimeoutError: the signal did not end it.
        """
        if not self.pid:
            return self._status
        self.send(number)
        status = await self.ended(seconds)
        if status is None:
            raise TimeoutError(f"{number.name} did not end the bot: {self.words()}")
        return status

    def words(self, last: int = 3000) -> str:
        """The end of what the lives wrote."""
        log = self.folder / "bot.log"
        return log.read_text(encoding="utf-8", errors="replace")[-last:] if log.exists() else ""


@contextlib.asynccontextmanager
async def zygote(
    driver: Driver,
    folder: Path,
    telegram: RemoteTelegram | None = None,
    *,
    seed: int = 0,
    latency: tuple[float, float] = (0.0, 0.05),
    more: str = UNLIMITED,
    telegram_more: str = "",
) -> AsyncIterator[Zygote]:
    """An installation with a fresh database in `data`. No life runs yet. `more` is appended to kefu.toml,
    `telegram_more` to its section `telegram`."""
    port = free_port()
    data = folder / "data"
    data.mkdir(exist_ok=True)
    await asyncio.to_thread(new_database, data)
    (folder / "kefu.toml").write_text(
        settings_text(folder, port, telegram, more=telegram_more + more), encoding="utf-8"
    )
    script = {scripted_answering.SEED: str(seed), scripted_answering.LATENCY: f"{latency[0]},{latency[1]}"}
    async with aiohttp.ClientSession() as session:
        made = Zygote(driver, folder, Site(f"http://127.0.0.1:{port}", session), script)
        try:
            yield made
        finally:
            if made.pid:
                await made.kill()
