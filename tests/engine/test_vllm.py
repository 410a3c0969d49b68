"""The vLLM engine around a scripted model, on virtual time: loading, answering, dying, hanging, coming back.

What the real vLLM does at these moments is in tests/engine_real.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise

import pytest

from bot.engine.fallback import FallbackEngine
from bot.engine.model import Finish, LoadFailed
from bot.engine.vllm import RELOAD_SECONDS, STEADY_SECONDS, Patience, VllmEngine
from bot.errors import BadOutput, EngineError, EngineTimeout, EngineUnavailable
from bot.messages import Answered, Delta, EngineOutput, FunctionCall, Prompt
from bot.telemetry import Metrics
from tests.engine.fake_model import ANSWER, CALL, LOGPROB, PROMPT_TOKENS, FakeModel, Loader
from tests.engine.fakes import ScriptedEngine
from tests.fakes.clocks import VirtualClock, on_virtual_time

PATIENCE = Patience.within(60.0)
LOAD_SECONDS = 30.0
SPARE = Answered(text="备用", confidence=0.6)


def prompt(question: str = "订单多久发货") -> Prompt:
    return Prompt(language="zh", persona="", question=question, max_answer_chars=150)


@dataclass(slots=True)
class Running:
    """A started engine."""

    engine: VllmEngine
    loader: Loader
    metrics: Metrics

    def figure(self, name: str, **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(name, labels)
        assert value is not None
        return value

    async def until_ready(self, ready: bool = True) -> float:
        """Seconds until its health says so."""
        started = now()
        async with asyncio.timeout(3600):
            while self.engine.health().ready is not ready:
                await asyncio.sleep(0.1)
        return now() - started

    async def ask(self, question: str = "订单多久发货") -> list[EngineOutput]:
        return [output async for output in self.engine.generate(prompt(question))]


def now() -> float:
    return asyncio.get_running_loop().time()


@contextlib.asynccontextmanager
async def running(*models: FakeModel | Exception, seconds: float = LOAD_SECONDS) -> AsyncIterator[Running]:
    """An engine over these models; closed at the end, whatever it is doing."""
    loader, metrics = Loader(*models, seconds=seconds), Metrics()
    engine = VllmEngine(loader, patience=PATIENCE, clock=VirtualClock(asyncio.get_running_loop()), metrics=metrics)
    await engine.start()
    try:
        yield Running(engine, loader, metrics)
    finally:
        await engine.close()


# -- Answering --


@on_virtual_time
async def test_an_answer_grows_and_ends_with_its_figures() -> None:
    async with running(FakeModel()) as house:
        await house.until_ready()
        *deltas, answered = await house.ask()
    assert len(deltas) > 3
    texts = [delta.text for delta in deltas if isinstance(delta, Delta)]
    assert texts == sorted(texts, key=len) and len(set(texts)) == len(deltas)
    pieces = -(-len(ANSWER) // 3)
    assert answered == Answered(
        text="付款后 48 小时内发货。", confidence=0.9, logprob=pytest.approx(LOGPROB), tokens=PROMPT_TOKENS + pieces
    )


@on_virtual_time
async def test_a_call_ends_an_output_as_well() -> None:
    async with running(FakeModel(CALL)) as house:
        await house.until_ready()
        outputs = await house.ask()
    tokens = PROMPT_TOKENS + -(-len(CALL) // 3)
    assert outputs == [FunctionCall(name="ticket_status", arguments={"ticket": "TICKET-7K2M"}, tokens=tokens)]


@pytest.mark.parametrize(
    ("model", "error"),
    [
        pytest.param({"finish": Finish.LENGTH}, BadOutput, id="longer than max_tokens"),
        pytest.param({"output": ANSWER[:-1]}, BadOutput, id="no JSON"),
        pytest.param({"output": "x" * 70_000}, BadOutput, id="without an end"),
        pytest.param({"finish": Finish.ABORT}, EngineUnavailable, id="given up by the engine"),
        pytest.param({"finish": None}, EngineUnavailable, id="ended without an end"),
        pytest.param({"refuses": BadOutput("too long")}, BadOutput, id="a prompt that is refused"),
        pytest.param({"refuses": EngineUnavailable("full")}, EngineUnavailable, id="a full queue"),
    ],
)
def test_an_output_that_can_not_be_used(model: dict[str, object], error: type[EngineError]) -> None:
    @on_virtual_time
    async def story() -> None:
        spoilt = FakeModel(token_seconds=0.001, **model)  # type: ignore[arg-type]
        async with running(spoilt) as house:
            await house.until_ready()
            with pytest.raises(error):
                await house.ask()
            assert house.engine.health().ready, "one bad output is no bad engine"
            assert spoilt.open_requests == 0
            spoilt.output, spoilt.finish, spoilt.refuses = ANSWER, Finish.STOP, None
            assert isinstance((await house.ask())[-1], Answered)
            assert house.figure("kefu_engine_reloads_total") == 0

    story()


@on_virtual_time
async def test_stop_ends_the_output_in_the_engine_at_once() -> None:
    model = FakeModel()
    async with running(model) as house:
        await house.until_ready()
        async with contextlib.aclosing(house.engine.generate(prompt())) as outputs:
            assert isinstance(await anext(outputs), Delta)
            assert model.open_requests == 1
        assert model.open_requests == 0


@on_virtual_time
async def test_a_cancelled_turn_ends_its_output_wherever_it_is() -> None:
    model = FakeModel()
    async with running(model) as house:
        await house.until_ready()
        for moment in range(40):
            task = asyncio.create_task(house.ask())
            await asyncio.sleep(moment * 0.04)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert model.open_requests == 0
        assert len(model.asked) > 30, "most were cancelled in the middle"
        assert isinstance((await house.ask())[-1], Answered)


@on_virtual_time
async def test_an_output_has_a_time_limit_altogether() -> None:
    async with running(FakeModel("x" * 3000, token_seconds=1.0)) as house:
        await house.until_ready()
        started = now()
        with pytest.raises(EngineTimeout):
            await house.ask()
        assert now() - started == pytest.approx(PATIENCE.output, abs=1.5)
        assert house.engine.health().ready, "it is slow, not silent"


@on_virtual_time
async def test_what_the_engine_does_is_measured() -> None:
    model = FakeModel()
    async with running(model) as house:
        assert house.figure("kefu_engine_up") == 0
        await house.until_ready()
        assert house.figure("kefu_engine_up") == 1
        asking = [asyncio.create_task(house.ask()) for _ in range(3)]
        await asyncio.sleep(0.7)
        assert house.figure("kefu_engine_running") == 3
        await asyncio.gather(*asking)
        await asyncio.sleep(0.5)
        assert house.figure("kefu_engine_running") == 0
        assert house.figure("kefu_engine_tokens_total", kind="prompt") == 3 * PROMPT_TOKENS
        assert house.figure("kefu_engine_tokens_total", kind="output") == 3 * -(-len(ANSWER) // 3)
    assert house.figure("kefu_engine_up") == 0


# -- Loading --


@on_virtual_time
async def test_loading_is_tried_again_at_growing_distances_and_the_fallback_answers_meanwhile() -> None:
    failures = [LoadFailed(f"the card is too small, {number}") for number in range(6)]
    async with running(*failures, FakeModel()) as house:
        clock = VirtualClock(asyncio.get_running_loop())
        both = FallbackEngine(house.engine, ScriptedEngine([SPARE]), clock=clock, timeout_seconds=60.0)
        assert house.engine.health().detail == "is being loaded"
        await asyncio.wait_for(house.engine.wait_loaded(), LOAD_SECONDS + 1)
        assert "too small, 0" in house.engine.health().detail
        assert both.health().ready and "too small, 0" in both.health().detail
        with pytest.raises(EngineUnavailable, match="too small"):
            await house.ask()
        assert [output async for output in both.generate(prompt())] == [SPARE]
        await house.until_ready()
        assert [output async for output in both.generate(prompt())][-1] != SPARE
        distances = [later - earlier - LOAD_SECONDS for earlier, later in pairwise(house.loader.began)]
        assert distances == pytest.approx([1.0, 5.0, 30.0, 300.0, 300.0, 300.0])
        assert house.figure("kefu_engine_reloads_total") == 6


@on_virtual_time
async def test_a_defect_at_loading_is_no_end_of_the_engine() -> None:
    async with running(OSError("disk full"), FakeModel()) as house:
        await asyncio.wait_for(house.engine.wait_loaded(), LOAD_SECONDS + 1)
        assert "OSError" in house.engine.health().detail
        await house.until_ready()


@on_virtual_time
async def test_a_defect_in_watching_is_no_end_of_the_engine() -> None:
    class Odd(FakeModel):
        def load(self) -> None:  # type: ignore[override]
            raise AttributeError("another version of the library")

    odd, sound = Odd(), FakeModel()
    async with running(odd, sound) as house:
        await house.until_ready()
        await house.until_ready(False)
        assert odd.closed
        await house.until_ready()
        assert isinstance((await house.ask())[-1], Answered)


@pytest.mark.parametrize("illness", ["dies", "hangs", "refuses"])
def test_a_model_that_is_ill_at_its_first_token_never_comes_into_use(illness: str) -> None:
    @on_virtual_time
    async def story() -> None:
        class Refusing(FakeModel):
            async def canary(self) -> None:
                raise BadOutput("the engine refuses the prompt")

        ill = Refusing() if illness == "refuses" else FakeModel()
        if illness == "dies":
            ill.die()
        else:
            ill.freeze()
        async with running(ill, FakeModel()) as house:
            await asyncio.wait_for(house.engine.wait_loaded(), 400)
            assert not house.engine.health().ready and "gave no first token" in house.engine.health().detail
            await house.until_ready()
            assert ill.closed and not ill.asked
            assert house.figure("kefu_engine_reloads_total") == 1

    story()


@pytest.mark.parametrize("moment", [0.0, 10.0, 30.05, 33.0], ids=["at once", "loading", "first token", "answering"])
def test_closing_leaves_nothing_whatever_it_is_doing(moment: float) -> None:
    @on_virtual_time
    async def story() -> None:
        model = FakeModel()
        async with running(model) as house:
            await asyncio.sleep(moment)
            asking = asyncio.create_task(house.ask())
            await asyncio.sleep(0.05)
        with pytest.raises(EngineUnavailable):
            await asking
        assert model.closed is (moment > LOAD_SECONDS)
        assert not house.engine.health().ready
        with pytest.raises(EngineUnavailable, match="not started"):
            await house.ask()

    story()


@on_virtual_time
async def test_closing_in_the_pause_before_loading_again() -> None:
    async with running(LoadFailed("no"), FakeModel()) as house:
        await asyncio.sleep(LOAD_SECONDS + 0.5)
        assert "is loaded again in 1 s" in house.engine.health().detail
    assert len(house.loader.left) == 1


# -- Dying --


@on_virtual_time
async def test_death_in_the_middle_of_streams_is_told_at_once_and_the_engine_comes_back() -> None:
    first, second = FakeModel(), FakeModel()
    async with running(first, second) as house:
        await house.until_ready()
        asking = [asyncio.create_task(house.ask(f"问题 {number}")) for number in range(4)]
        await asyncio.sleep(0.5)
        assert first.open_requests == 4
        first.die()
        died = now()
        for outcome in await asyncio.gather(*asking, return_exceptions=True):
            assert isinstance(outcome, EngineUnavailable)
        assert now() - died < 1.0
        await house.until_ready(False)
        assert now() - died < 1.0
        assert "its processes have died" in house.engine.health().detail
        assert house.figure("kefu_engine_up") == 0
        await house.until_ready()
        assert now() - died == pytest.approx(RELOAD_SECONDS[0] + LOAD_SECONDS, abs=1.0)
        assert house.figure("kefu_engine_up") == 1 and house.figure("kefu_engine_reloads_total") == 1
        assert isinstance((await house.ask())[-1], Answered)
        assert first.closed and len(second.asked) == 1


@on_virtual_time
async def test_death_while_nobody_asks_is_noticed() -> None:
    model = FakeModel()
    async with running(model, FakeModel()) as house:
        await house.until_ready()
        await asyncio.sleep(5)
        model.die()
        assert await house.until_ready(False) < 1.0


@on_virtual_time
async def test_an_engine_that_dies_again_and_again_is_loaded_more_and_more_seldom() -> None:
    models = [FakeModel() for _ in range(6)]
    async with running(*models, FakeModel()) as house:
        pauses = []
        for number, model in enumerate(models):
            await house.until_ready()
            await asyncio.sleep(STEADY_SECONDS + 1 if number == 4 else 1)
            model.die()
            await house.until_ready(False)
            pauses.append(await house.until_ready() - LOAD_SECONDS)
    # The fifth had lived long enough: its death is another story.
    assert pauses == pytest.approx([1.0, 5.0, 30.0, 300.0, 1.0, 5.0], abs=0.5)


# -- Hanging --


@on_virtual_time
async def test_a_hang_is_a_time_out_for_the_turn_then_not_ready_then_a_new_engine() -> None:
    hanging, fresh = FakeModel(), FakeModel()
    async with running(hanging, fresh) as house:
        await house.until_ready()
        streaming = asyncio.create_task(house.ask("一"))
        await asyncio.sleep(1.0)
        hanging.freeze()
        frozen = now()
        waiting = asyncio.create_task(house.ask("二"))
        with pytest.raises(EngineTimeout):
            await streaming
        assert now() - frozen <= PATIENCE.next_token + 0.2
        with pytest.raises(EngineTimeout):
            await waiting
        assert now() - frozen <= PATIENCE.first_token + 0.2
        await house.until_ready(False)
        assert now() - frozen <= 30.5
        assert house.figure("kefu_engine_up") == 0
        with pytest.raises(EngineUnavailable):
            await house.ask("三")
        assert hanging.asked == ["一", "二"], "nobody else waits for it"
        await house.until_ready()
        assert hanging.closed
        assert now() - frozen == pytest.approx(PATIENCE.hang + RELOAD_SECONDS[0] + LOAD_SECONDS, abs=2.0)
        assert isinstance((await house.ask())[-1], Answered)


@on_virtual_time
async def test_an_engine_that_goes_on_is_used_again_without_loading() -> None:
    model = FakeModel()
    async with running(model) as house:
        await house.until_ready()
        asking = asyncio.create_task(house.ask())
        await asyncio.sleep(1.0)
        model.freeze()
        with pytest.raises(EngineTimeout):
            await asking
        await house.until_ready(False)
        model.thaw()
        assert await house.until_ready() < 1.0
        assert isinstance((await house.ask())[-1], Answered)
        assert house.figure("kefu_engine_reloads_total") == 0 and not model.closed


@on_virtual_time
async def test_a_hang_is_noticed_while_nobody_asks() -> None:
    model = FakeModel()
    async with running(model) as house:
        await house.until_ready()
        await asyncio.sleep(35)
        assert model.canaries == 1 + 3, "one to warm up, then one every ten seconds"
        model.freeze()
        assert await house.until_ready(False) <= PATIENCE.idle + PATIENCE.canary + 1.0
        assert "tried out" in house.engine.health().detail
        model.thaw()
        assert await house.until_ready() < 1.0


@on_virtual_time
async def test_nobody_is_disturbed_by_trials_while_tokens_flow() -> None:
    model = FakeModel("x" * 600, token_seconds=0.25)
    async with running(model) as house:
        await house.until_ready()
        with pytest.raises(BadOutput):
            await house.ask()
        assert model.canaries == 1


@on_virtual_time
async def test_people_who_press_stop_do_not_hide_a_hang() -> None:
    model = FakeModel()
    async with running(model) as house:
        await house.until_ready()
        model.freeze()
        frozen = now()
        while house.engine.health().ready and now() - frozen < 300:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(house.ask(), 4.0)
            await asyncio.sleep(1.0)
        assert now() - frozen <= PATIENCE.idle + PATIENCE.first_token + 5.0


@on_virtual_time
async def test_a_long_silence_before_the_first_question_is_no_hang() -> None:
    slow = FakeModel(token_seconds=20.0)
    slow.output = ANSWER[:3]
    async with running(slow) as house:
        await house.until_ready()
        await asyncio.sleep(9.0)
        with pytest.raises(BadOutput):  # cut off on purpose: what counts is that it was waited for
            await house.ask()
        assert house.engine.health().ready


# -- One question that kills (F8) --


@on_virtual_time
async def test_a_question_that_kills_the_engine_does_so_twice_at_most_whoever_asks_it() -> None:
    models = [FakeModel(dies_of="毒") for _ in range(4)]
    async with running(*models) as house:
        clock = VirtualClock(asyncio.get_running_loop())
        both = FallbackEngine(
            house.engine, ScriptedEngine([SPARE]), clock=clock, timeout_seconds=60.0, rest_seconds=0.0
        )
        for _ in range(5):
            await house.until_ready()
            assert [output async for output in both.generate(prompt("有毒的问题"))] == [SPARE], "answered all the same"
            assert isinstance((await _last(both, "别的问题")), Answered)
            await asyncio.sleep(1.0)
        assert sum(model.asked.count("有毒的问题") for model in models) == 2
        assert house.figure("kefu_engine_reloads_total") == 2
        assert await _last(both, "别的问题") != SPARE, "the others are answered by the model"


@on_virtual_time
async def test_who_was_there_once_by_chance_is_answered_by_the_model_again() -> None:
    first, second = FakeModel(), FakeModel()
    async with running(first, second) as house:
        await house.until_ready()
        asking = asyncio.create_task(house.ask("无辜的问题"))
        await asyncio.sleep(0.5)
        first.die()
        await asyncio.gather(asking, return_exceptions=True)
        await house.until_ready(False)
        await house.until_ready()
        assert isinstance((await house.ask("无辜的问题"))[-1], Answered)


@on_virtual_time
async def test_one_death_is_one_however_many_were_asking_the_same() -> None:
    first, second = FakeModel(), FakeModel()
    async with running(first, second) as house:
        await house.until_ready()
        asking = [asyncio.create_task(house.ask("大家都问的问题")) for _ in range(8)]
        await asyncio.sleep(0.5)
        first.die()
        await asyncio.gather(*asking, return_exceptions=True)
        await house.until_ready(False)
        await house.until_ready()
        assert isinstance((await house.ask("大家都问的问题"))[-1], Answered)


@on_virtual_time
async def test_two_deaths_are_forgotten_after_an_hour() -> None:
    models = [FakeModel(dies_of="毒"), FakeModel(dies_of="毒"), FakeModel()]
    async with running(*models) as house:
        for _ in range(2):
            await house.until_ready()
            with pytest.raises(EngineUnavailable):
                await house.ask("有毒的问题")
            await house.until_ready(False)
        await house.until_ready()
        with pytest.raises(BadOutput, match="died of this question"):
            await house.ask(" 有毒的问题 ")
        await asyncio.sleep(3600)
        assert isinstance((await house.ask("有毒的问题"))[-1], Answered)


async def _last(engine: FallbackEngine, question: str) -> EngineOutput:
    return [output async for output in engine.generate(prompt(question))][-1]
