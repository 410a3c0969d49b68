"""The harness's side of `tests.faults.driver`: lives of a bot, started and ended at will."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from tests.core.house import FILE, new_database
from tests.fakes.botapi.remote import RemoteTelegram
from tests.faults import scripted_answering
from tests.faults.bot import Site, settings_text
from tests.faults.processes import ROOT, clean_environment, free_port


class Zygote:
    """Starts lives on one folder. One at a time."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, site: Site) -> None:
        self._process = process
        self.folder = folder
        self.database = folder / "data" / FILE
        self.site = site
        self.pid = 0
        self.started_at = 0.0

    async def start(self, failpoint: str = "", *, go: bool = True) -> int:
        """A new life; it waits for `go` unless told at once. Returns its process id."""
        self.pid = int((await self._ask({"do": "start", "failpoint": failpoint}))["pid"])
        if go:
            await self.go()
        return self.pid

    async def go(self) -> None:
        self.started_at = time.monotonic()
        await self._ask({"do": "go"})

    async def ended(self, seconds: float) -> int | None:
        """How the life ended (negative: by that signal), None if it still runs after that time."""
        status = (await self._ask({"do": "wait", "seconds": seconds}))["status"]
        if status is not None:
            self.pid = 0
        return int(status) if status is not None else None

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def kill(self, number: signal.Signals = signal.SIGKILL, *, seconds: float = 30.0) -> int:
        """Ends the life and says how it ended.

        :raises TimeoutError: the signal did not end it.
        """
        self.send(number)
        status = await self.ended(seconds)
        if status is None:
            raise TimeoutError(f"{number.name} did not end the bot: {self.words()}")
        return status

    def words(self, last: int = 3000) -> str:
        """The end of what the lives wrote."""
        log = self.folder / "bot.log"
        return log.read_text(encoding="utf-8", errors="replace")[-last:] if log.exists() else ""

    async def _ask(self, what: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        line = await asyncio.wait_for(self._process.stdout.readline(), 60)
        if not line:
            raise RuntimeError(f"the driver died: {self.words()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.asynccontextmanager
async def zygote(
    folder: Path,
    telegram: RemoteTelegram,
    *,
    seed: int = 0,
    latency: tuple[float, float] = (0.0, 0.05),
    more: str = "",
    environment: dict[str, str] | None = None,
) -> AsyncIterator[Zygote]:
    """A driver on this folder with a fresh database in `data`. No life runs yet. `more` is appended to kefu.toml."""
    port = free_port()
    data = folder / "data"
    data.mkdir(exist_ok=True)
    await asyncio.to_thread(new_database, data)
    unlimited = "[limits]\nuser_per_minute = 1000000\nqueue_per_conversation = 1000000\nqueue_total = 1000000\n"
    text = settings_text(folder, port, telegram, more=more or unlimited)
    (folder / "kefu.toml").write_text(text, encoding="utf-8")
    script = {scripted_answering.SEED: str(seed), scripted_answering.LATENCY: f"{latency[0]},{latency[1]}"}
    with (folder / "driver.err").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.driver", str(folder), cwd=ROOT, start_new_session=True,
            env=clean_environment(**script, **(environment or {})),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors,
        )  # fmt: skip
    async with aiohttp.ClientSession() as session:
        made = Zygote(process, folder, Site(f"http://127.0.0.1:{port}", session))
        try:
            assert process.stdout is not None
            line = await asyncio.wait_for(process.stdout.readline(), 60)
            assert line, (folder / "driver.err").read_text(encoding="utf-8")[-3000:]
            yield made
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
