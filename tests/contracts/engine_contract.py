"""What every engine promises (`bot.ports.Engine`), asked of a stage: an engine and whoever decides what its model says.

A test module takes part by a class of its own and a fixture:

    class TestMyEngine(EngineContract):
        @pytest.fixture
        async def stage(self) -> AsyncIterator[Stage]: …

A stage that can not have its model do something (`Stage.can`) is not asked for it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from abc import ABC, abstractmethod
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.errors import EngineError, EngineUnavailable
from bot.messages import Answered, Delta, EngineOutput, FollowUp, FunctionCall, Prompt, Rewritten
from bot.ports import Engine
from tests.engine.prompts import STATUS, prompt

LIMIT = 60.0
"""Seconds that anything here may take, with a real model on two cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """The model answers with the question's own words, slowly enough to be stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The model calls a function."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Says:
    """The model says something else than it should."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hangs:
    """The model begins and goes on no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dies:
    """What the model runs in ends in the middle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrites:
    """The model rewrites a follow-up."""

    text: str


Act = Echo | Calls | Says | Hangs | Dies | Rewrites

BROKEN = [
    pytest.param(Says(text="八元。"), id="prose"),
    pytest.param(Says(text='{"response": "八'), id="half an answer"),
    pytest.param(Says(text='{"response": "八", "confidence": NaN}'), id="NaN"),
    pytest.param(Says(text="<tool_call>{}</tool_call>"), id="an empty call"),
    pytest.param(Says(text="\x00\x01"), id="controls"),
    pytest.param(Hangs(), id="hanging"),
    pytest.param(Dies(), id="dying"),
]


class Stage(ABC):
    """An engine that is not started yet, and its model's part."""

    engine: Engine
    can: frozenset[type[Act]]
    falls_back = False
    """Another engine answers where this one fails."""

    @abstractmethod
    def will(self, act: Act) -> None:
        """What the model does in every generation from now on."""

    @abstractmethod
    def running(self) -> int:
        """Generations that something is still spent on."""

    @abstractmethod
    def asked(self) -> int:
        """What the model was asked so far, in whatever unit: for seeing whether something costs."""

    async def at_rest(self, *, seconds: float = 5.0) -> None:
        """Returns once nothing runs any more; fails if that does not come to be."""
        async with asyncio.timeout(seconds):
            while self.running():
                await asyncio.sleep(0.005)


def marked(number: int) -> Prompt:
    """A prompt whose question, and whose only passage, say something that no other does."""
    [passage] = prompt().passages
    words = f"第{number}号商品的保修期是{number}年"
    return prompt(
        question=words,
        passages=(type(passage)(id="p", document="p", collection="default", title="", text=f"{words}。", chance=0.9),),
        history=(),
    )


def mark_of(number: int) -> str:
    return f"第{number}号商品"


FOLLOW_UP = FollowUp(text="加拿大呢？", earlier=("寄到日本要几天",), language="zh")
WHOLE = "寄到加拿大要几天？"


async def rewritten(engine: Engine, *, seconds: float = LIMIT) -> Rewritten | None:
    async with asyncio.timeout(LIMIT):
        return await engine.rewrite(FOLLOW_UP, seconds=seconds)


async def generated(engine: Engine, asked: Prompt) -> list[EngineOutput]:
    async with asyncio.timeout(LIMIT):
        return [output async for output in engine.generate(asked)]


class EngineContract:
    """The suite."""

    @pytest.fixture(autouse=True)
    async def _nothing_is_left(self, stage: Stage) -> Any:
        yield
        await stage.engine.close()
        await stage.at_rest()

    async def _started(self, stage: Stage, act: Act | None = None) -> Engine:
        act = act or Echo()
        if type(act) not in stage.can:
            pytest.skip(f"its model can not be made to do so: {type(act).__name__}")
        stage.will(act)
        await stage.engine.start()
        return stage.engine

    async def test_deltas_grow_and_one_end_extends_them(self, stage: Stage) -> None:
        engine = await self._started(stage)
        *deltas, end = await generated(engine, marked(7))
        assert isinstance(end, Answered)
        texts = [delta.text for delta in deltas if isinstance(delta, Delta)]
        assert len(texts) == len(deltas), "one end, and nothing after it"
        assert all(later.startswith(earlier) for earlier, later in itertools.pairwise([*texts, end.text]))
        assert mark_of(7) in end.text

    async def test_the_figures_of_an_answer_are_within_their_bounds(self, stage: Stage) -> None:
        engine = await self._started(stage)
        *_, end = await generated(engine, marked(7))
        assert isinstance(end, Answered)
        assert 0.0 <= end.confidence <= 1.0
        assert end.tokens >= 0
        assert end.logprob is None or end.logprob <= 0.0
        assert set(end.passages) <= {"p"}

    async def test_before_the_start_and_after_the_end_it_is_unavailable(self, stage: Stage) -> None:
        assert not stage.engine.health().ready
        with pytest.raises(EngineUnavailable):
            await generated(stage.engine, marked(1))
        engine = await self._started(stage)
        assert engine.health().ready
        await generated(engine, marked(1))
        await engine.close()
        assert not engine.health().ready
        with pytest.raises(EngineUnavailable):
            await generated(engine, marked(1))

    async def test_closing_the_iterator_early_frees_everything(self, stage: Stage) -> None:
        engine = await self._started(stage)
        for _ in range(3):
            async with aclosing(engine.generate(marked(7))) as stream:  # type: ignore[type-var]
                async for output in stream:
                    assert isinstance(output, Delta)
                    break
            await stage.at_rest(seconds=1.0)
        assert (await generated(engine, marked(7)))[-1]

    @pytest.mark.parametrize("after", [0.0, 0.002, 0.01, 0.03])
    async def test_cancelling_frees_everything(self, stage: Stage, after: float) -> None:
        engine = await self._started(stage)
        tasks = [asyncio.create_task(generated(engine, marked(number))) for number in range(4)]
        await asyncio.sleep(after)
        for task in tasks[1:]:
            task.cancel()
        first, *others = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(first, list) and mark_of(0) in str(first[-1]), "the others are not disturbed"
        assert all(isinstance(other, list | asyncio.CancelledError) for other in others)
        await stage.at_rest(seconds=1.0)

    async def test_generations_side_by_side_do_not_mix(self, stage: Stage) -> None:
        engine = await self._started(stage)
        results = await asyncio.gather(*(generated(engine, marked(number)) for number in range(8)))
        for number, (*deltas, end) in enumerate(results):
            for output in (*deltas, end):
                assert isinstance(output, Delta | Answered)
                assert mark_of(number).startswith(output.text[: len(mark_of(number))])
            assert isinstance(end, Answered) and mark_of(number) in end.text

    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(Calls(name=STATUS.name, arguments={"ticket": "TICKET-1"}), id="as declared"),
            pytest.param(Calls(name=STATUS.name, arguments={"ticket": 7, "who": None}), id="other arguments"),
            pytest.param(Calls(name="drop_tables", arguments={}), id="another function"),
        ],
    )
    async def test_a_call_ends_the_generation_and_is_not_judged(self, stage: Stage, call: Calls) -> None:
        engine = await self._started(stage, call)
        *deltas, end = await generated(engine, prompt())
        assert isinstance(end, FunctionCall)
        assert (end.name, end.arguments) == (call.name, call.arguments)
        assert end.tokens >= 0 and deltas == []

    @pytest.mark.parametrize("act", BROKEN)
    async def test_only_engine_errors_leave(self, stage: Stage, act: Act) -> None:
        engine = await self._started(stage, act)
        try:
            *_, end = await generated(engine, marked(7))
        except EngineError:
            assert not stage.falls_back
        else:
            assert stage.falls_back and isinstance(end, Answered) and mark_of(7) in end.text
        await stage.at_rest()

    async def test_closing_the_engine_ends_what_runs(self, stage: Stage) -> None:
        engine = await self._started(stage, Hangs())
        task = asyncio.create_task(generated(engine, marked(7)))
        async with asyncio.timeout(LIMIT):
            while not stage.running():
                await asyncio.sleep(0.001)
        await engine.close()
        # A fallback may still have had the time to answer.
        [result] = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(result, EngineUnavailable) or (stage.falls_back and isinstance(result, list))
        await stage.at_rest(seconds=1.0)

    async def test_a_followup_is_rewritten(self, stage: Stage) -> None:
        engine = await self._started(stage, Rewrites(text=WHOLE))
        result = await rewritten(engine)
        assert result is not None and result.text == WHOLE
        assert result.tokens >= 0
        await stage.at_rest(seconds=1.0)

    @pytest.mark.parametrize("act", [pytest.param(Echo(), id="an answer"), *BROKEN])
    async def test_what_is_no_rewriting_is_none(self, stage: Stage, act: Act) -> None:
        engine = await self._started(stage, act)
        assert await rewritten(engine, seconds=0.8) is None
        await stage.at_rest()

    async def test_a_rewriting_that_takes_too_long_is_none_and_frees_everything(self, stage: Stage) -> None:
        engine = await self._started(stage, Hangs())
        began = time.perf_counter()
        assert await rewritten(engine, seconds=0.15) is None
        assert time.perf_counter() - began < 1.0
        await stage.at_rest(seconds=1.0)

    async def test_without_any_time_the_model_is_not_even_asked(self, stage: Stage) -> None:
        engine = await self._started(stage, Hangs())
        asked = stage.asked()
        assert await rewritten(engine, seconds=0.0) is None
        assert stage.asked() == asked

    async def test_cancelling_a_rewriting_frees_everything_and_disturbs_nobody(self, stage: Stage) -> None:
        engine = await self._started(stage)
        answer = asyncio.create_task(generated(engine, marked(7)))
        rewriting = asyncio.create_task(rewritten(engine))
        await asyncio.sleep(0.005)
        rewriting.cancel()
        [ended] = await asyncio.gather(rewriting, return_exceptions=True)
        assert ended is None or isinstance(ended, asyncio.CancelledError)
        assert mark_of(7) in str((await answer)[-1])
        await stage.at_rest(seconds=1.0)

    async def test_rewritings_side_by_side_are_whole(self, stage: Stage) -> None:
        engine = await self._started(stage, Rewrites(text=WHOLE))
        results = await asyncio.gather(*(rewritten(engine) for _ in range(4)))
        assert [result and result.text for result in results] == [WHOLE] * 4

    async def test_before_the_start_and_after_the_end_nothing_is_rewritten(self, stage: Stage) -> None:
        assert await rewritten(stage.engine) is None
        engine = await self._started(stage, Echo())
        await engine.close()
        assert await rewritten(engine) is None

    async def test_asking_for_its_health_costs_nothing(self, stage: Stage) -> None:
        engine = await self._started(stage)
        asked, began = stage.asked(), time.perf_counter()
        for _ in range(1000):
            engine.health()
        assert time.perf_counter() - began < 0.25
        await asyncio.sleep(0)
        assert stage.asked() == asked

    @pytest.mark.parametrize("act", [pytest.param(Echo(), id="echo"), *BROKEN])
    async def test_logs_hold_nothing_of_what_people_or_the_model_say(self, stage: Stage, act: Act) -> None:
        with capture_logs() as logs:
            engine = await self._started(stage, act)
            try:
                await generated(engine, marked(7))
            except EngineError as error:
                assert mark_of(7) not in str(error) and "八" not in str(error)
            await engine.close()
        assert mark_of(7) not in str(logs) and "八" not in str(logs)
