"""After the knowledge has changed, what was asked in vain is asked again: did the change solve it?

One question at a time, as somebody new, without functions of the company's own, and nothing of it is kept but whether
it is solved: `kefu insights` shows that beside each group.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from bot.errors import KefuError
from bot.history.database import Database
from bot.history.unsolved import Unsolved, unsolved
from bot.insights import solved
from bot.messages import Outcome, Reply
from bot.ports import Clock
from bot.telemetry import get_logger

REPLAYED_FILE = "replayed.json"
"""In the data folder. It holds ids of turns, and no words."""

LOOK_SECONDS = 10.0
PAUSE_SECONDS = 3600.0
"""Between two replays at least, however often sources change: questions cost an engine time or money."""
MOST_SECONDS = 600.0
MOST_QUESTIONS = 200
"""Different ones; of more, the newest."""
SINCE = timedelta(days=30)
_TURNS = 2000

_WISHES = (Outcome.TICKET, Outcome.HANDOFF)

log = get_logger(__name__)


class Answers(Protocol):
    """What is needed of `bot.answering.Answering`."""

    async def newest_version(self) -> int:
        """Of the knowledge that answers come from, once they do; 0 while it is none or not whole."""

    async def ask_again(self, question: str, collections: Sequence[str]) -> Reply | None:
        """What somebody new would be told. Nothing of it is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What became of the questions, by the ids of the turns that left them unsolved."""

    version: int = 0
    """Of the knowledge they were asked of."""
    solved: Mapping[str, bool | None] = field(default_factory=dict)
    """None where no proper reply came, or where the words are only a wish for a person."""

    def counts(self, turns: Sequence[str]) -> tuple[int, int]:
        """How many of these are solved, and how many were asked."""
        told = [self.solved[turn] for turn in turns if self.solved.get(turn) is not None]
        return sum(map(bool, told)), len(told)


def read_replayed(folder: Path) -> Replayed:
    """What the last replay found; nothing where there was none. Reads the disk."""
    try:
        stored = json.loads((folder / REPLAYED_FILE).read_text(encoding="utf-8"))
        found = {
            str(turn): value for turn, value in stored["solved"].items() if value is None or value in (True, False)
        }
        return Replayed(version=int(stored["version"]), solved=found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Replayed()


def write_replayed(folder: Path, replayed: Replayed) -> None:
    path = folder / REPLAYED_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"version": replayed.version, "solved": dict(replayed.solved)}), encoding="utf-8")
    fresh.replace(path)


class Replayer:
    """Watches for a new version of the knowledge, whoever made it: a source, a command, another process."""

    def __init__(
        self,
        answers: Answers,
        database: Database,
        *,
        folder: Path,
        clock: Clock,
        look_seconds: float = LOOK_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._answers = answers
        self._database = database
        self._folder = folder
        self._clock = clock
        self._look_seconds = look_seconds
        self._pause_seconds = pause_seconds

    async def run(self) -> None:
        """Runs until it is cancelled."""
        done = (await asyncio.to_thread(read_replayed, self._folder)).version
        while True:
            pause = self._look_seconds
            try:
                version = await self._answers.newest_version()
                if version and version != done:
                    await self._replay(version)
                    done, pause = version, self._pause_seconds
            except (KefuError, OSError) as error:
                log.warning("what was asked in vain could not be asked again", kind=type(error).__name__)
                pause = self._pause_seconds
            except Exception:  # whatever it was, customers' questions go on
                log.exception("what was asked in vain could not be asked again")
                pause = self._pause_seconds
            await asyncio.sleep(pause)

    async def _replay(self, version: int) -> None:
        since = self._clock.now() - SINCE
        asked = await self._database.read(lambda connection: unsolved(connection, since=since, limit=_TURNS))
        outcomes = await self._ask(asked)
        await asyncio.to_thread(write_replayed, self._folder, Replayed(version=version, solved=outcomes))
        if outcomes:
            count = sum(value is True for value in outcomes.values())
            log.info("what was asked in vain was asked again", version=version, asked=len(outcomes), solved=count)

    async def _ask(self, asked: Sequence[Unsolved]) -> dict[str, bool | None]:
        """As far as time and number allow, the newest first."""
        same: dict[tuple[str, tuple[str, ...]], list[Unsolved]] = {}
        for one in reversed(asked):
            same.setdefault((one.question, one.collections), []).append(one)
        outcomes: dict[str, bool | None] = {}
        ends = self._clock.monotonic() + MOST_SECONDS
        for (question, collections), them in list(same.items())[:MOST_QUESTIONS]:
            if self._clock.monotonic() > ends:
                log.info("time is up for asking again; the oldest are left out", asked=len(outcomes))
                break
            reply = await self._answers.ask_again(question, collections)
            outcomes |= {one.turn: _became(one, reply) for one in them}
        return outcomes


def _became(asked: Unsolved, reply: Reply | None) -> bool | None:
    if reply is None or reply.outcome in _WISHES or reply.outcome is Outcome.ERROR:
        return None
    return solved(asked, reply.outcome, reply.text)
