from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from bot.engine.fallback import FallbackEngine
from bot.errors import BadOutput, EngineError, EngineTimeout, EngineUnavailable
from bot.messages import Answered, Delta, EngineOutput, FunctionCall, Prompt
from tests.dialogue.people import StandingClock
from tests.engine.fakes import ScriptedEngine, Step

PROMPT = Prompt(language="zh", persona="", question="运费多少", max_answer_chars=150)
GOOD = Answered(text="八元", confidence=0.9)
SPARE = Answered(text="备用", confidence=0.6)


def pair(
    *script: Step, silence: float = 0.05, total: float = 0.2
) -> tuple[FallbackEngine, ScriptedEngine, ScriptedEngine]:
    first, second = ScriptedEngine(script), ScriptedEngine([Delta(text="备"), SPARE])
    engine = FallbackEngine(first, second, clock=StandingClock(), timeout_seconds=total, silence_seconds=silence)
    return engine, first, second


async def outputs(engine: FallbackEngine) -> list[EngineOutput]:
    return [output async for output in engine.generate(PROMPT)]


async def test_a_working_engine_is_not_helped() -> None:
    engine, _, second = pair(Delta(text="八"), GOOD)
    assert await outputs(engine) == [Delta(text="八"), GOOD]
    assert not second.prompts


async def test_a_function_call_is_an_end_too() -> None:
    call = FunctionCall(name="ticket_status", arguments={"ticket": "TICKET-1"})
    engine, _, second = pair(call)
    assert await outputs(engine) == [call]
    assert not second.prompts


@pytest.mark.parametrize(
    "script",
    [
        pytest.param([EngineUnavailable("down")], id="down"),
        pytest.param([1.0, GOOD], id="hanging"),
        pytest.param([BadOutput("no JSON")], id="broken output"),
        pytest.param([], id="no output at all"),
        pytest.param([EngineTimeout("slow")], id="its own time limit"),
        pytest.param([RuntimeError("CUDA error")], id="an error of its library"),
    ],
)
async def test_the_second_engine_answers_when_the_first_does_not(script: list[Step]) -> None:
    engine, first, _ = pair(*script)
    assert await outputs(engine) == [Delta(text="备"), SPARE]
    assert first.closed == 1


async def test_what_was_shown_is_not_taken_back_before_the_final_text() -> None:
    engine, _, _ = pair(Delta(text="八"), BadOutput("broken in the middle"))
    assert await outputs(engine) == [Delta(text="八"), SPARE]


async def test_an_engine_that_falls_silent_in_the_middle_is_ended() -> None:
    first = ScriptedEngine([Delta(text="八"), 10.0, GOOD])
    second = ScriptedEngine([SPARE])
    engine = FallbackEngine(first, second, clock=StandingClock(), timeout_seconds=0.1)
    assert (await outputs(engine))[-1] == SPARE


async def test_an_engine_that_never_comes_to_an_end_is_ended_at_the_total_limit() -> None:
    clock = StandingClock()
    first = ScriptedEngine([Delta(text="八" * count) for count in range(1, 50)])
    engine = FallbackEngine(first, ScriptedEngine([SPARE]), clock=clock, timeout_seconds=1.0)
    got = []
    async for output in engine.generate(PROMPT):
        got.append(output)
        clock.seconds += 0.3
    assert len(got) == 5 and got[-1] == SPARE
    assert first.closed == 1


async def test_an_engine_that_was_down_is_left_alone_for_a_while() -> None:
    clock = StandingClock()
    first = ScriptedEngine([EngineUnavailable("down")], [GOOD])
    engine = FallbackEngine(first, ScriptedEngine([SPARE]), clock=clock, timeout_seconds=1.0, rest_seconds=15.0)
    assert await outputs(engine) == [SPARE]
    assert await outputs(engine) == [SPARE]
    assert len(first.prompts) == 1
    clock.seconds += 16.0
    assert await outputs(engine) == [GOOD]


async def test_one_broken_answer_does_not_rest_the_engine() -> None:
    first = ScriptedEngine([BadOutput("once")], [GOOD])
    engine = FallbackEngine(first, ScriptedEngine([SPARE]), clock=StandingClock(), timeout_seconds=1.0)
    assert await outputs(engine) == [SPARE]
    assert await outputs(engine) == [GOOD]


async def test_an_engine_that_is_not_ready_is_not_asked() -> None:
    first = ScriptedEngine([GOOD], ready=False)
    engine = FallbackEngine(first, ScriptedEngine([SPARE]), clock=StandingClock(), timeout_seconds=1.0)
    assert await outputs(engine) == [SPARE]
    assert not first.prompts
    assert engine.health().ready and "is loading" in engine.health().detail


async def test_when_both_fail_the_error_is_the_seconds() -> None:
    first, second = ScriptedEngine([EngineUnavailable("down")]), ScriptedEngine([BadOutput("also")])
    engine = FallbackEngine(first, second, clock=StandingClock(), timeout_seconds=1.0)
    with pytest.raises(EngineError, match="also"):
        await outputs(engine)


async def test_stopping_frees_the_generation_at_once() -> None:
    engine, first, _ = pair(Delta(text="八"), 5.0, GOOD, silence=10.0, total=10.0)
    async with aclosing(engine.generate(PROMPT)) as stream:
        async for _output in stream:
            break
    assert first.closed == 1


async def test_being_cancelled_is_not_a_failure_to_fall_back_from() -> None:
    engine, first, second = pair(5.0, GOOD, silence=10.0, total=10.0)
    task = asyncio.create_task(outputs(engine))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert first.closed == 1 and not second.prompts


async def test_both_are_started_and_closed() -> None:
    engine, first, second = pair(GOOD)
    await engine.start()
    assert first.started and second.started
    await engine.close()
    assert not first.started and not second.started
