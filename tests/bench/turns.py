"""One configuration, measured in a process of its own: `python -m tests.bench.turns EMBEDDER FOLDER MODE`.

The whole product runs as in `kefu run` (real database with durability on, real index, extractive engine), with a
channel in memory instead of a network, so that the figures are kefu's own. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil

from bot.app import App, open_app
from bot.messages import ConversationRef, IncomingMessage, Sender
from bot.settings import Settings, load_settings
from bot.telemetry import configure_logging
from tests.bench.corpus import questions
from tests.fakes.channel import MemoryChannel

STEADY_SECONDS = 20.0
SATURATION_TURNS = 1500
SATURATION_OPEN = 64
"""Turns in flight: enough to keep both cores busy, few enough that none waits long."""
LIVE_CONVERSATIONS = 1000


class _Stopwatch(MemoryChannel):
    """A channel that notes when each reply arrives."""

    def __init__(self) -> None:
        super().__init__(repeatable=True)
        self.arrived: dict[str, asyncio.Future[float]] = {}

    async def send(self, conversation: ConversationRef, *args: object, **more: object) -> str:
        waiting = self.arrived.pop(conversation.channel, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(time.perf_counter())
        return "1"


async def _ask(app: App, channel: _Stopwatch, number: int, words: str) -> tuple[float, float]:
    """(seconds from hand-in to accepted, from accepted to delivered)."""
    name = f"c{number}"
    channel.arrived[name] = answered = asyncio.get_running_loop().create_future()
    message = IncomingMessage(
        keys=(f"k{number}-{time.time_ns()}",),
        conversation=ConversationRef(platform="memory", account="", channel=name),
        sender=Sender(id=f"memory:{name}"),
        text=words,
        sent_at=datetime.now(UTC),
    )
    handed_in = time.perf_counter()
    await app.intake.accept([message])
    accepted = time.perf_counter()
    return accepted - handed_in, await answered - accepted


async def _steady(app: App, channel: _Stopwatch, rate: float, asked: Sequence[str]) -> dict[str, float]:
    tasks = []
    started = time.perf_counter()
    for number in range(int(rate * STEADY_SECONDS)):
        await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(_ask(app, channel, number, asked[number % len(asked)])))
    times = [delivered * 1000 for _, delivered in await asyncio.gather(*tasks)]
    cuts = statistics.quantiles(times, n=100)
    return {"rate": rate, "p50_ms": round(cuts[49], 1), "p99_ms": round(cuts[98], 1)}


async def _saturation(app: App, channel: _Stopwatch, asked: Sequence[str]) -> float:
    gate = asyncio.Semaphore(SATURATION_OPEN)

    async def one(number: int) -> None:
        async with gate:
            await _ask(app, channel, number, asked[number % len(asked)])

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(SATURATION_TURNS):
            group.create_task(one(number))
    return round(SATURATION_TURNS / (time.perf_counter() - started), 1)


async def _memory(app: App, channel: _Stopwatch, asked: Sequence[str]) -> dict[str, float]:
    process = psutil.Process()
    before = process.memory_info().rss
    for start in range(0, LIVE_CONVERSATIONS, 50):
        batch = range(start, start + 50)
        await asyncio.gather(*(_ask(app, channel, number, asked[number % len(asked)]) for number in batch))
    after = process.memory_info().rss
    return {"rss_mb": round(after / 1e6), "kb_per_conversation": round((after - before) / 1e3 / LIVE_CONVERSATIONS, 1)}


async def measure(settings: Settings, mode: str) -> dict[str, object]:
    """The figures of one mode: "steady-RATE", "steady-RATE-cached", "saturation", "saturation-cached" or "memory"."""
    channel, stop, ready = _Stopwatch(), asyncio.Event(), asyncio.Event()
    kind, *rest = mode.split("-")
    different = 40 if rest and rest[-1] == "cached" else 4000
    asked = questions(different)
    async with open_app(settings, channels=lambda _: [channel]) as app, asyncio.TaskGroup() as group:
        group.create_task(app.serve(stop, ready=lambda _: ready.set()))
        await ready.wait()
        for number in range(60):  # the first turns compile statements and fill caches that every process fills once
            await _ask(app, channel, number, asked[number % 40])
        try:
            match kind:
                case "steady":
                    return dict(await _steady(app, channel, float(rest[0]), asked))
                case "saturation":
                    return {"turns_per_second": await _saturation(app, channel, asked)}
                case _:
                    return dict(await _memory(app, channel, asked))
        finally:
            stop.set()


def settings_for(folder: Path, embedder: str) -> Settings:
    """A fresh database beside the prepared index, and no limits in the way."""
    environ = {
        "KEFU_DATABASE__URL": f"sqlite+aiosqlite:///{folder}/kefu-{os.getpid()}.db",
        "KEFU_KNOWLEDGE__URI": str(folder / f"index-{embedder}"),
        "KEFU_KNOWLEDGE__EMBEDDER": embedder,
        "KEFU_LIMITS__USER_PER_MINUTE": "1000000",
        "KEFU_LIMITS__QUEUE_TOTAL": "1000000",
    }
    return load_settings(None, environ)


def main() -> None:
    embedder, folder, mode = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    configure_logging(level="error", json=True, redact=True, stream=sys.stderr)
    settings = settings_for(folder, embedder)
    print(json.dumps(asyncio.run(measure(settings, mode))))


if __name__ == "__main__":
    main()
