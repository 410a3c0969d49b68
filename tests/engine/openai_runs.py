"""An engine in front of the fake server, quick to lose patience."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from bot.clock import SystemClock
from bot.engine.openai import OpenAIEngine
from bot.engine.openai_server import Patience
from bot.messages import EngineOutput, Prompt
from bot.ports import Clock
from bot.sections import ModelSettings
from bot.telemetry import Metrics
from tests.engine.prompts import PROMPT
from tests.fakes.openai_api import Answers, FakeOpenAI

KEY = "sk-test-key-0123456789"

QUICK = Patience(
    first=0.6,
    silence=0.3,
    figures=0.2,
    hanging_up=0.05,
    slot=0.2,
    probe=0.5,
    probe_while_up=30.0,
    probe_while_down=0.1,
)


def engine_for(
    server: FakeOpenAI,
    *,
    clock: Clock | None = None,
    patience: Patience = QUICK,
    metrics: Metrics | None = None,
    **settings: Any,
) -> OpenAIEngine:
    settings = {"base_url": server.url, "name": server.model, "api_key": SecretStr(server.key)} | settings
    model = ModelSettings(backend="openai", timeout_seconds=settings.pop("timeout_seconds", 5.0), **settings)
    metrics = metrics or Metrics()
    return OpenAIEngine(model, history_tokens=2000, metrics=metrics, clock=clock or SystemClock(), patience=patience)


@asynccontextmanager
async def serving(
    *answers: Answers, patience: Patience = QUICK, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[tuple[FakeOpenAI, OpenAIEngine]]:
    """A server with these answers, and a started engine."""
    async with FakeOpenAI(*answers, key=KEY) as server:
        engine = engine_for(server, clock=clock, patience=patience, **settings)
        await engine.start()
        try:
            yield server, engine
        finally:
            await engine.close()
            assert server.malformed == []


async def outputs(engine: OpenAIEngine, prompt: Prompt = PROMPT) -> list[EngineOutput]:
    return [output async for output in engine.generate(prompt)]


def patient(**changes: float) -> Patience:
    return replace(QUICK, **changes)
