"""The contract of `bot.ports.Engine`, asked of the real vLLM. A constraint that leaves no choice makes the model say
what the suite wants it to say, token by token."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest
import pytest_asyncio

from bot.clock import SystemClock
from bot.engine.model import Load, Model, Piece, Rendered
from bot.engine.vllm import Patience
from bot.engine.vllm_model import VllmModel
from bot.errors import EngineUnavailable
from bot.messages import FollowUp, Prompt
from bot.ports import Engine
from bot.telemetry import Metrics
from tests.contracts.engine_contract import Act, Calls, Echo, EngineContract, Hangs, Rewrites, Says, Stage
from tests.contracts.engines import StartsLoaded, WithFallback, output_of
from tests.engine_real.bots import send
from tests.engine_real.engines import Real

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

PATIENCE = Patience(first_token=20.0, next_token=2.0, idle=60.0, canary=10.0, hang=60.0, output=30.0)
HANGS_AFTER = 4
"""Pieces of an output."""


async def _next(pieces: AsyncGenerator[Piece, None]) -> Piece | None:
    """What `anext(pieces, None)` gives; cancelling that one hangs on Python 3.11.2."""
    try:
        return await anext(pieces)
    except StopAsyncIteration:
        return None


class Lent:
    """A loaded model for one test: "closing" it ends what runs, and the model stays loaded for the next."""

    def __init__(self, model: VllmModel, act: Act) -> None:
        self._model = model
        self._act = act
        self._closed = asyncio.Event()

    @property
    def dead(self) -> bool:
        return self._closed.is_set() or self._model.dead

    @property
    def open_requests(self) -> int:
        return self._model.open_requests

    def load(self) -> Load:
        return self._model.load()

    def render(self, prompt: Prompt) -> Rendered:
        said = {"type": "const_string", "value": output_of(self._act, prompt.question)}
        return replace(self._model.render(prompt), constraint=json.dumps({"type": "structural_tag", "format": said}))

    def render_followup(self, followup: FollowUp) -> Rendered:
        said = {"type": "const_string", "value": output_of(self._act, followup.text)}
        rendered = self._model.render_followup(followup)
        return replace(rendered, constraint=json.dumps({"type": "structural_tag", "format": said}))

    async def stream(self, rendered: Rendered) -> AsyncGenerator[Piece, None]:
        said = 0
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            async with aclosing(self._model.stream(rendered)) as pieces:
                while True:
                    coming = asyncio.create_task(_next(pieces))
                    try:
                        await asyncio.wait([coming, closed], return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        if not coming.done():
                            coming.cancel()
                            await asyncio.gather(coming, return_exceptions=True)
                    if closed.done():
                        raise EngineUnavailable("the engine has died")
                    if (piece := coming.result()) is None:
                        return
                    yield piece
                    said += 1
                    if isinstance(self._act, Hangs) and said == HANGS_AFTER:
                        send(signal.SIGSTOP, self._model._record.processes)
        finally:
            closed.cancel()

    async def warm_up(self) -> None:
        """It is warm."""

    async def canary(self) -> None:
        await self._model.canary()

    async def close(self) -> None:
        self._closed.set()


class OnVllm(Stage):
    """The engine over the real thing."""

    # Its death is in test_f05_death.py: after each it has to be loaded again.
    can = frozenset({Echo, Calls, Says, Hangs, Rewrites})

    def __init__(self, model: VllmModel) -> None:
        self.engine: Engine = StartsLoaded(self._load, patience=PATIENCE, clock=SystemClock(), metrics=Metrics())
        self._model = model
        self._act: Act = Echo()

    def will(self, act: Act) -> None:
        self._act = act

    def running(self) -> int:
        return self._model.open_requests

    def asked(self) -> int:
        return self._model.load().output_tokens

    async def _load(self) -> Model:
        return Lent(self._model, self._act)


class TestVllm(EngineContract):
    @pytest_asyncio.fixture(autouse=True, loop_scope="session")
    async def _nothing_is_left(self, stage: Stage) -> AsyncIterator[None]:
        # As in the suite, but on the loop that the engine lives on.
        yield
        await stage.engine.close()
        await stage.at_rest()

    @pytest_asyncio.fixture(loop_scope="session", params=[False, True], ids=["alone", "with fallback"])
    async def stage(self, real: Real, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
        stage = OnVllm(real.model)
        try:
            yield WithFallback(stage, silence_seconds=PATIENCE.first_token) if request.param else stage
        finally:
            send(signal.SIGCONT, real.model._record.processes)
            await real.idle()
