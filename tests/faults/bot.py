"""The whole product as its operator starts it: `kefu run` in a process of its own, with a small indexed knowledge."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from tests.fakes.botapi.remote import RemoteTelegram
from tests.faults.processes import Process, clean_environment, free_port

KEFU = (sys.executable, "-P", "-c", "from bot.cli import main; main()")
FAQ = """question,answer
密码忘了怎么办,在登录页点“忘记密码”，按短信里的验证码重设即可。
订单多久发货,付款后 48 小时内发货。
怎么申请退货,签收后 7 天内，在订单页点“申请退货”。
How do I change my delivery address?,Open the order and choose "Change address" before it ships.
"""
QUESTION = "密码忘了怎么办"
ANSWER = "忘记密码"
STOP_SECONDS = 30.0


def index_knowledge(folder: Path) -> Path:
    """Indexes a few questions with the fast embedder; returns the folder to copy. Blocks for some seconds."""
    import subprocess

    (folder / "faq.csv").write_text(FAQ, encoding="utf-8")
    (folder / "kefu.toml").write_text(settings_text(folder, 0), encoding="utf-8")
    command = [*KEFU, "knowledge", "sync", str(folder / "faq.csv"), "--config", str(folder / "kefu.toml")]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "knowledge"


def settings_text(folder: Path, port: int, telegram: RemoteTelegram | None = None, *, more: str = "") -> str:
    """A kefu.toml for this folder."""
    lines = [
        "[http]", f"port = {port}",
        "[database]", f'url = "sqlite+aiosqlite:///{folder / "data" / "kefu.db"}"',
        "[knowledge]", f'uri = "{folder / "knowledge"}"', 'embedder = "use-multilingual"',
        "[log]", 'format = "json"',
        "[admin]", 'token = "an-admin-token-for-tests"',
    ]  # fmt: skip
    if telegram is not None:
        lines += ["[telegram]", f'token = "{telegram.token}"', f'api_url = "{telegram.url}"']
    return "\n".join([*lines, more, ""])


class Site:
    """The product's HTTP side, seen from outside."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        """(status, body) of /readyz; 0 while nobody listens."""
        try:
            async with self.session.get(f"{self.url}/readyz", timeout=aiohttp.ClientTimeout(total=3)) as response:
                return response.status, await response.json()
        except (aiohttp.ClientError, TimeoutError):
            return 0, {}

    async def until_ready(self, ready: bool = True, *, seconds: float = 60.0) -> float:
        """Seconds until /readyz says so.

        :raises TimeoutError: it does not.
        """
        started = time.monotonic()
        while (found := await self.readiness())[0] != (200 if ready else 503):
            if time.monotonic() - started > seconds:
                raise TimeoutError(f"/readyz stays at {found}")
            await asyncio.sleep(0.05)
        return time.monotonic() - started

    async def ask(self, session: str, text: str, *, seconds: float = 60.0) -> tuple[int, dict[str, Any]]:
        """(status, the reply event) of one web message; the error's body where the status is not 200."""
        body = {"session": session, "text": text}
        timeout = aiohttp.ClientTimeout(total=seconds)
        async with self.session.post(f"{self.url}/api/v1/chat", json=body, timeout=timeout) as response:
            if response.status != 200:
                return response.status, await response.json()
            events = (await response.text()).split("\n\n")
        reply = next((event for event in events if event.startswith("event: reply")), None)
        return 200, json.loads(reply.partition("data: ")[2]) if reply else {}


class Bot:
    """One installation; `start` is one life of it."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.folder = folder
        self.site = site
        self.database = folder / "data" / "kefu.db"
        self._process: Process | None = None

    async def start(self, *, failpoint: str = "", environment: dict[str, str] | None = None) -> Process:
        """Starts a life. It is not ready yet."""
        extra = dict(environment or {})
        if failpoint:
            extra["KEFU_FAILPOINT"] = failpoint
        command = [*KEFU, "run", "--config", str(self.folder / "kefu.toml")]
        self._process = Process(command, log=self.folder / "bot.log", environment=clean_environment(**extra))
        await self._process.start()
        return self._process

    @property
    def process(self) -> Process:
        assert self._process is not None
        return self._process

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends the life and says how it ended."""
        self.process.send(number)
        return await self.process.wait(STOP_SECONDS)

    async def end(self) -> None:
        if self._process is not None:
            await self._process.end()

    def words(self, last: int = 4000) -> str:
        """The end of the log of all lives."""
        log = self.folder / "bot.log"
        return log.read_text(encoding="utf-8", errors="replace")[-last:] if log.exists() else ""


@contextlib.asynccontextmanager
async def installation(
    folder: Path, knowledge: Path, telegram: RemoteTelegram | None = None, *, more: str = ""
) -> AsyncIterator[Bot]:
    """A folder with everything in it; no life runs yet. `more` is appended to kefu.toml."""
    port = free_port()
    await asyncio.to_thread(shutil.copytree, knowledge, folder / "knowledge")
    (folder / "kefu.toml").write_text(settings_text(folder, port, telegram, more=more), encoding="utf-8")
    async with aiohttp.ClientSession() as session:
        bot = Bot(folder, Site(f"http://127.0.0.1:{port}", session))
        try:
            yield bot
        finally:
            await bot.end()
