"""The engines that the contract is asked of in every run. An engine that needs more than this machine has by itself
(vLLM) brings a stage of its own, in a folder of its own: `tests.contracts.engine_contract` says how."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

from bot.clock import SystemClock
from bot.engine.extractive import ExtractiveEngine
from bot.engine.fallback import FallbackEngine
from bot.engine.model import Model
from bot.engine.output import CALL_BEGINS, CALL_ENDS
from bot.engine.vllm import Patience, VllmEngine
from bot.errors import BadOutput, EngineUnavailable
from bot.messages import Answered, Delta, FollowUp, FunctionCall, Prompt
from bot.ports import Engine
from bot.telemetry import Metrics
from tests.contracts.engine_contract import Act, Calls, Dies, Echo, Hangs, Rewrites, Says, Stage
from tests.engine.fake_model import FakeModel
from tests.engine.fakes import ScriptedEngine, Step
from tests.engine.openai_runs import engine_for
from tests.fakes.openai_api import Answer, Call, FakeOpenAI, Said

_EVERYTHING: frozenset[type[Act]] = frozenset({Echo, Calls, Says, Hangs, Dies, Rewrites})


class Scripted(Stage):
    """The fake that other tests talk to."""

    can = _EVERYTHING

    def __init__(self) -> None:
        self.engine: ScriptedEngine = ScriptedEngine(make=self._steps, rewrites=self._rewritten, started=False)
        self._act: Act = Echo()

    def will(self, act: Act) -> None:
        self._act = act

    def running(self) -> int:
        return len(self.engine.prompts) - self.engine.closed + self.engine.rewriting

    def asked(self) -> int:
        return len(self.engine.prompts) + len(self.engine.followups)

    def _rewritten(self, followup: FollowUp) -> str | float | None:
        match self._act:
            case Rewrites(text=text):
                return text
            case Hangs():
                return 60.0
            case _:
                return None

    def _steps(self, prompt: Prompt) -> Sequence[Step]:
        match self._act:
            case Calls(name=name, arguments=arguments):
                return [FunctionCall(name=name, arguments=arguments)]
            case Says():
                return [BadOutput("the model's output is no JSON")]
            case Hangs():
                return [Delta(text=prompt.question[:1]), 1.0, EngineUnavailable("nobody ended it")]
            case Dies():
                return [Delta(text=prompt.question[:1]), EngineUnavailable("the engine died")]
            case _:
                words = prompt.question
                growing: list[Step] = []
                for end in range(4, len(words), 4):
                    growing += [Delta(text=words[:end]), 0.002]
                return [*growing, Answered(text=words, confidence=0.9)]


class Extractive(Stage):
    """Has no model, so that nothing can be wrong with one."""

    can = frozenset({Echo})

    def __init__(self) -> None:
        self.engine = ExtractiveEngine()

    def will(self, act: Act) -> None:
        assert isinstance(act, Echo)

    def running(self) -> int:
        return 0

    def asked(self) -> int:
        return 0


class OverHttp(Stage):
    """The engine for OpenAI-compatible servers, in front of a server that does as the test says."""

    can = _EVERYTHING

    def __init__(self, server: FakeOpenAI) -> None:
        self.engine = engine_for(server)
        self._server = server

    def will(self, act: Act) -> None:
        self._server.answers = [lambda body: self._answer(act, body)]

    def running(self) -> int:
        return self._server.running

    def asked(self) -> int:
        return len(self._server.requests) + self._server.probes + self._server.words

    @staticmethod
    def _answer(act: Act, body: dict[str, Any]) -> Answer:
        asked = body["messages"][-1]["content"]
        # The question is the end of what is asked; what asks again stands after it. A follow-up is asked otherwise.
        question = asked.split("客户的问题：\n")[-1].split("现在问：")[-1].split("\n")[0]
        answer = json.dumps({"response": question, "confidence": 0.9}, ensure_ascii=False)
        match act:
            case Calls(name=name, arguments=arguments):
                return Said(calls=[Call(name=name, arguments=json.dumps(arguments))])
            case Says(text=text):
                return Said(text)
            case Rewrites():
                return Said(output_of(act, question), pause=0.002)
            case Hangs():
                return Said(answer, hang_after=4)
            case Dies():
                return Said(answer, break_after=900)
            case _:
                return Said(answer, pause=0.002)


class OverModel(Stage):
    """The engine that keeps a vLLM alive, over a model in memory."""

    can = _EVERYTHING

    def __init__(self) -> None:
        patience = Patience(first_token=0.5, next_token=0.3, idle=60.0, canary=1.0, hang=60.0, output=10.0)
        self.engine: Engine = StartsLoaded(self._load, patience=patience, clock=SystemClock(), metrics=Metrics())
        self._models: list[FakeModel] = []
        self._act: Act = Echo()

    def will(self, act: Act) -> None:
        self._act = act

    def running(self) -> int:
        return sum(model.open_requests for model in self._models)

    def asked(self) -> int:
        return sum(len(model.asked) + model.canaries for model in self._models)

    async def _load(self) -> Model:
        model = FakeModel(
            self._output,
            rewrites=self._output,
            token_seconds=0.002,
            freezes_after=6 if isinstance(self._act, Hangs) else 0,
            dies_after=6 if isinstance(self._act, Dies) else 0,
        )
        self._models.append(model)
        return model

    def _output(self, question: str) -> str:
        return output_of(self._act, question)


class StartsLoaded(VllmEngine):
    """Has loaded its model when it has started."""

    async def start(self) -> None:
        await super().start()
        await self.wait_loaded()


def output_of(act: Act, question: str) -> str:
    """What a model says in Qwen's own form."""
    match act:
        case Calls(name=name, arguments=arguments):
            call = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
            return f"{CALL_BEGINS}\n{call}\n{CALL_ENDS}"
        case Says(text=text):
            return text
        case Rewrites(text=text):
            return json.dumps({"question": text}, ensure_ascii=False)
        case _:
            return json.dumps({"response": question, "confidence": 0.9}, ensure_ascii=False)


class WithFallback(Stage):
    """Any of them as the first of two engines."""

    falls_back = True

    def __init__(self, first: Stage, *, silence_seconds: float = 0.8) -> None:
        self.can = first.can
        self.engine = FallbackEngine(
            first.engine, ExtractiveEngine(), clock=SystemClock(), timeout_seconds=30.0, silence_seconds=silence_seconds
        )
        self._first = first

    def will(self, act: Act) -> None:
        self._first.will(act)

    def running(self) -> int:
        return self._first.running()

    def asked(self) -> int:
        return self._first.asked()


StageFactory: TypeAlias = Callable[[], AbstractAsyncContextManager[Stage]]


@asynccontextmanager
async def scripted() -> AsyncIterator[Stage]:
    yield Scripted()


@asynccontextmanager
async def extractive() -> AsyncIterator[Stage]:
    yield Extractive()


@asynccontextmanager
async def over_http() -> AsyncIterator[Stage]:
    async with FakeOpenAI(Said()) as server:
        yield OverHttp(server)
        assert server.malformed == []


@asynccontextmanager
async def over_model() -> AsyncIterator[Stage]:
    yield OverModel()


def with_fallback(first: StageFactory) -> StageFactory:
    @asynccontextmanager
    async def both() -> AsyncIterator[Stage]:
        async with first() as stage:
            yield WithFallback(stage)

    return both


ENGINES: dict[str, StageFactory] = {
    "scripted": scripted,
    "extractive": extractive,
    "openai": over_http,
    "vllm over a model in memory": over_model,
    "scripted with fallback": with_fallback(scripted),
    "extractive with fallback": with_fallback(extractive),
    "openai with fallback": with_fallback(over_http),
    "vllm over a model in memory, with fallback": with_fallback(over_model),
}
