"""The product's vLLM engine over the tiny model."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.clock import SystemClock
from bot.engine import vllm_model
from bot.engine.vllm import Patience, VllmEngine
from bot.engine.vllm_model import VllmModel
from bot.engine.vllm_settings import VllmSettings
from bot.messages import Answered, EngineOutput, FunctionCall, FunctionSpec, HistoryEntry, Passage, Prompt
from bot.telemetry import Metrics

CONTEXT = 4096
LOAD_SECONDS = 240.0
"""A load takes 35 s on two free cores."""
ENGINE_ARGUMENTS = {"max_num_seqs": 16, "kv_cache_memory_bytes": 64 * 2**20}
"""Small enough for any machine, and quick to set up."""
PATIENCE = Patience.within(60.0)


def settings(folder: Path, **more: Any) -> VllmSettings:
    """A small, quick engine over the model in this folder; at a temperature of 1 unless said."""
    wanted: dict[str, Any] = {
        "name": str(folder), "max_model_len": CONTEXT, "temperature": 1.0, "top_p": 1.0, "max_tokens": 512,
        "enforce_eager": True, "engine_args": ENGINE_ARGUMENTS,
    }  # fmt: skip
    return VllmSettings(**{**wanted, **more})


@dataclass(slots=True)
class Real:
    """A running engine, with its model where a test wants to look at it."""

    engine: VllmEngine
    metrics: Metrics
    models: list[VllmModel]
    """Every model that was loaded, the newest last."""

    @property
    def model(self) -> VllmModel:
        return self.models[-1]

    def figure(self, name: str, **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(name, labels)
        assert value is not None
        return value

    async def ask(self, prompt: Prompt) -> list[EngineOutput]:
        return [output async for output in self.engine.generate(prompt)]

    async def end_of(self, prompt: Prompt) -> Answered | FunctionCall:
        ended = (await self.ask(prompt))[-1]
        assert isinstance(ended, Answered | FunctionCall)
        return ended

    async def idle(self) -> None:
        """Waits until the engine says that it does nothing.

        :raises TimeoutError: some request has outlived its turn.
        """
        async with asyncio.timeout(15):
            while self.model.open_requests or self.model.load().running or self.model.load().waiting:
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def running(wanted: VllmSettings, data: Path, *, patience: Patience = PATIENCE) -> AsyncIterator[Real]:
    """An engine that has loaded its model."""
    metrics, models = Metrics(), list[VllmModel]()

    async def load() -> VllmModel:
        models.append(await vllm_model.load(wanted, data))
        return models[-1]

    engine = VllmEngine(load, patience=patience, clock=SystemClock(), metrics=metrics)
    await engine.start()
    try:
        await asyncio.wait_for(engine.wait_loaded(), LOAD_SECONDS)
        assert engine.health().ready, engine.health().detail
        yield Real(engine, metrics, models)
    finally:
        await engine.close()


async def until(condition: Callable[[], object], seconds: float) -> float:
    """Seconds until it holds.

    :raises TimeoutError: it does not.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)
    return loop.time() - started


def prompt(
    question: str,
    *,
    functions: tuple[FunctionSpec, ...] = (),
    passages: tuple[Passage, ...] = (),
    history: tuple[HistoryEntry, ...] = (),
    language: str = "zh",
    max_answer_chars: int = 100,
) -> Prompt:
    return Prompt(
        language="en" if language == "en" else "zh",
        persona="你是示例商店的客服。" if language == "zh" else "You answer the customers of a shop.",
        question=question,
        functions=functions,
        passages=passages,
        history=history,
        max_answer_chars=max_answer_chars,
    )


def passage(text: str, number: int = 1) -> Passage:
    return Passage(id=f"faq.csv#{number}", document="faq.csv", collection="default", title="", text=text)
