"""Stands where `bot.answering` and `bot.dialogue.endings` stand in the product: a scripted dialogue, opened at once.

The driver puts it there before it imports `bot.app`, so that no index and no engine is loaded; everything else of the
product is what its operator runs.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from bot.dialogue.settings import DialogueSettings
from bot.messages import IncomingMessage, Reply, Turn, TurnResult
from bot.ports import SnapshotSink
from bot.server.ports import PartHealth
from bot.settings import Settings
from tests.fakes.dialogue import ScriptedDialogue, busy

SEED = "SCRIPT_SEED"
LATENCY = "SCRIPT_LATENCY"
"""Environment of the driver: the script's seed, and "least,most" seconds of an answer."""


def _script() -> ScriptedDialogue:
    least, most = os.environ.get(LATENCY, "0,0").split(",")
    return ScriptedDialogue(seed=int(os.environ.get(SEED, "0")), latency=(float(least), float(most)))


class Answering:
    """As `bot.answering.Answering`."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self._script = _script()

    async def open(self, *_: Any, **__: Any) -> None:
        return

    async def wait(self) -> None:
        return

    async def knowledge(self) -> None:
        """There is none to keep in sync."""
        await asyncio.Event().wait()

    async def keep_whole(self) -> None:
        """There is no index to keep."""
        await asyncio.Event().wait()

    async def newest_version(self) -> int:
        """None that anything could be asked of."""
        return 0

    def measure(self) -> None:
        """There is nothing to measure."""

    def expect(self, message: IncomingMessage) -> None:
        """A script needs no time to prepare."""

    async def respond(self, turn: Turn, show: SnapshotSink) -> TurnResult:
        return await self._script.respond(turn, show)

    def health(self) -> tuple[PartHealth, ...]:
        return (PartHealth(name="script", up=True, needed=True, detail=""),)


class Endings(ScriptedDialogue):
    """As `bot.dialogue.endings.Endings`."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def busy(self, message: IncomingMessage) -> Reply:
        return busy(message)


def dialogue_settings(settings: Settings) -> DialogueSettings:
    """As `bot.answering.dialogue_settings`, without a generation's time."""
    return DialogueSettings()
