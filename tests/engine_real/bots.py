"""The whole product with the tiny model: `kefu run` in a process of its own, its engine seen from outside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from bot.engine import processes
from bot.engine.processes import Process
from bot.engine.vllm_model import PROCESSES_FILE
from tests.engine_real.engines import CONTEXT, LOAD_SECONDS
from tests.fakes.botapi.remote import RemoteTelegram
from tests.faults.bot import KEFU, Bot, installation
from tests.faults.processes import Process as Started
from tests.faults.processes import clean_environment


def model_section(folder: Path, **more: object) -> str:
    """The tables of kefu.toml that make this bot answer with the model in this folder, in long random words."""
    model: dict[str, object] = {
        "backend": "vllm", "name": str(folder), "temperature": 1.0, "top_p": 1.0, "max_model_len": CONTEXT,
        "max_tokens": 1024, "enforce_eager": True, "timeout_seconds": 60.0, **more,
    }  # fmt: skip
    lines = [f"{name} = {json.dumps(value)}" for name, value in model.items()]
    arguments = "engine_args = { max_num_seqs = 16, kv_cache_memory_bytes = 67108864 }"
    return "\n".join(["[model]", *lines, arguments, "[dialogue]", "max_answer_chars = 600", "min_confidence = 0.0"])


class EngineBot:
    """A bot with a vLLM engine in it."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.site = bot.site
        self._started: Started | None = None

    async def start(self, *, supervised: bool = False) -> None:
        """Starts a life; the engine is not loaded yet."""
        command = [
            *KEFU,
            "run",
            *(["--supervise"] if supervised else []),
            "--config",
            str(self.bot.folder / "kefu.toml"),
        ]
        self._started = Started(command, log=self.bot.folder / "bot.log", environment=clean_environment())
        await self._started.start()

    @property
    def process(self) -> Started:
        """What was started: the bot, or its supervisor."""
        assert self._started is not None
        return self._started

    async def end(self) -> None:
        """Kills all that is left of it, engines too."""
        if self._started is None:
            return
        left = await asyncio.to_thread(processes.descendants, self._started.pid)
        try:
            left |= await self.engine_processes()
        finally:
            await self._started.end()
            await asyncio.to_thread(processes.kill, left)

    # -- Seen from outside --

    async def parts(self) -> dict[str, Any]:
        """Of /readyz, whatever its status; {} while nobody listens."""
        found: dict[str, Any] = (await self.site.readiness())[1].get("parts", {})
        return found

    async def engine_state(self) -> tuple[int, str]:
        """The status of /readyz, and what it says about the engine."""
        status, body = await self.site.readiness()
        return status, str(body.get("parts", {}).get("engine", {}).get("detail", "is not there"))

    async def figure(self, name: str) -> float:
        async with self.site.session.get(f"{self.site.url}/metrics") as response:
            lines = (await response.text()).splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))

    async def until_engine(self, up: bool = True, *, seconds: float = LOAD_SECONDS) -> float:
        """Seconds until /metrics says that the model answers, or that it does not.

        :raises TimeoutError: it does not come to be; with the bot's last words.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        while loop.time() - started < seconds:
            with contextlib.suppress(OSError, TimeoutError):  # nobody listens yet
                if await self.figure("kefu_engine_up") == float(up):
                    return loop.time() - started
            await asyncio.sleep(0.1)
        raise TimeoutError(f"kefu_engine_up is not {up:d}: {self.bot.words()}")

    async def until_running(self, outputs: int, *, seconds: float = 30.0) -> None:
        """Returns while the engine works on so many outputs at least."""
        async with asyncio.timeout(seconds):
            while await self.figure("kefu_engine_running") < outputs:
                await asyncio.sleep(0.02)

    # -- Its processes --

    def written_down(self) -> dict[str, Any]:
        """What the bot has written down of its engine; {} where it says that there is none."""
        try:
            stored: dict[str, Any] = json.loads((self.bot.folder / "data" / PROCESSES_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return stored

    async def engine_processes(self) -> frozenset[Process]:
        """Those that its engine runs in."""
        found = [Process(*pair) for pair in self.written_down().get("processes", ())]
        return await asyncio.to_thread(processes.alive, found)

    async def one(self, name: str) -> Process:
        """The engine's process of this name: "EngineCore" or "Worker"."""
        [found] = [process for process in await self.engine_processes() if name in title(process)]
        return found


def title(process: Process) -> str:
    """What a process calls itself."""
    return Path(f"/proc/{process.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()


def send(number: signal.Signals, targets: Iterable[Process]) -> None:
    for process in targets:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


async def until_gone(targets: Iterable[Process], *, seconds: float) -> float:
    """Seconds until none of them runs.

    :raises TimeoutError: some still do.
    """
    loop = asyncio.get_running_loop()
    wanted, started = frozenset(targets), loop.time()
    while left := await asyncio.to_thread(processes.alive, wanted):
        if loop.time() - started > seconds:
            raise TimeoutError(f"still there: {[title(process) for process in left]}")
        await asyncio.sleep(0.05)
    return loop.time() - started


@contextlib.asynccontextmanager
async def engine_bot(
    folder: Path, knowledge: Path, model: Path, telegram: RemoteTelegram | None = None, **more: object
) -> AsyncIterator[EngineBot]:
    """An installation whose bot has the tiny model. No life runs yet, and none is left at the end."""
    async with installation(folder, knowledge, telegram, more=model_section(model, **more)) as bot:
        engine = EngineBot(bot)
        try:
            yield engine
        finally:
            await engine.end()
