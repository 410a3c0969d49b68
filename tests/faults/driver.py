"""A bot that starts in milliseconds: the real core and the real Telegram channel, with a scripted dialogue.

One process imports everything and forks a bot for every life (`python -m tests.faults.driver FOLDER`), so that hundreds
of kills take minutes. It speaks lines of JSON: `{"do": "start", "failpoint": "send.after:3"}` → `{"pid": 123}`; the
child waits for `{"do": "go"}`; `{"do": "wait", "seconds": 2}` → `{"status": -9}` or `{"status": null}` while it runs.
No thread runs here and LanceDB is not loaded, so forking is safe.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from adapters.telegram.build import build
from adapters.telegram.settings import ChannelSettings
from adapters.telegram.timing import Timing
from bot import failpoints
from bot.clock import SystemClock
from bot.history.store import Store
from bot.ports import Surroundings
from bot.telemetry import Metrics, configure_logging
from tests.core.house import FILE, NO_LIMITS, open_house
from tests.fakes.dialogue import ScriptedDialogue

TIMING = Timing(poll=5.0, first_pause=0.05, longest_pause=0.5, refused_pause=0.5)
WORKERS = 64


async def serve(folder: Path, about: dict[str, Any]) -> None:
    """One life of the bot, until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    clock = SystemClock()
    settings = ChannelSettings.model_validate({"token": about["token"], "api_url": about["api_url"]})
    around = Surroundings(
        clock=clock, metrics=Metrics(), records=_Nothing(), public_url="", max_message_chars=4000, max_body_bytes=2**20
    )  # fmt: skip
    channel = build(settings, around, timing=TIMING)
    dialogue = ScriptedDialogue(seed=about["seed"], latency=tuple(about["latency"]))
    opening = open_house(
        folder / FILE, [channel], dialogue, clock=clock, limits=NO_LIMITS, workers=WORKERS, drain_seconds=20.0
    )  # fmt: skip
    async with opening:
        await stop.wait()
    await channel.close()


class _Nothing(Store):
    """Telegram's clients never come back to ask."""

    def __init__(self) -> None:
        return


def _live(folder: Path, about: dict[str, Any], failpoint: str, go: int) -> None:
    """The child: waits for the word, lives, and leaves without the parent's exit handlers."""
    log = os.open(folder / "bot.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.read(go, 1)
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    failpoints.arm(failpoint)
    asyncio.run(serve(folder, about))
    os._exit(0)


class _Parent:
    """Forks lives, one at a time, and says how they ended."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self._folder = folder
        self._about = about
        self._pid = 0
        self._go = -1

    def start(self, failpoint: str = "") -> dict[str, Any]:
        ends = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(ends[1])
            with contextlib.suppress(KeyboardInterrupt):
                _live(self._folder, self._about, failpoint, ends[0])
            os._exit(1)
        os.close(ends[0])
        self._pid, self._go = pid, ends[1]
        return {"pid": pid}

    def go(self) -> dict[str, Any]:
        os.write(self._go, b"!")
        os.close(self._go)
        return {}

    def wait(self, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                return {"status": os.waitstatus_to_exitcode(status)}
            if time.monotonic() > deadline:
                return {"status": None}
            time.sleep(0.003)


def main() -> None:
    """Serves the harness until its standard input ends."""
    folder = Path(sys.argv[1])
    about = json.loads((folder / "driver.json").read_text(encoding="utf-8"))
    configure_logging(level="warning", json=True, redact=True)
    parent = _Parent(folder, about)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        done = getattr(parent, asked.pop("do"))(**asked)
        print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main()
