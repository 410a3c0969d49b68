"""The server is down, slow, busy, somebody else's, or gone in the middle; and it comes back."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from bot.engine.extractive import ExtractiveEngine
from bot.engine.fallback import FallbackEngine
from bot.engine.openai_server import seconds_to_rest
from bot.errors import EngineError, EngineTimeout, EngineUnavailable
from bot.messages import Answered, Delta
from tests.dialogue.people import StandingClock
from tests.engine.openai_runs import QUICK, engine_for, outputs, patient, serving
from tests.engine.prompts import PROMPT, QUESTION
from tests.fakes.openai_api import Answer, Failed, FakeOpenAI, Hang, Raw, Said

ANSWER = '{"response": "满 99 元包邮。", "confidence": 0.9}'
SECRET_WORDS = f"internal: {QUESTION} at /srv/model.py line 7"


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


@pytest.mark.parametrize(
    ("failed", "kind", "words"),
    [
        pytest.param(Failed(401, SECRET_WORDS), EngineUnavailable, "model.api_key", id="401"),
        pytest.param(Failed(403, SECRET_WORDS), EngineUnavailable, "model.api_key", id="403"),
        pytest.param(Failed(404, SECRET_WORDS), EngineUnavailable, "model.name, model.base_url", id="404"),
        pytest.param(Failed(500, SECRET_WORDS), EngineUnavailable, "status 500", id="500"),
        pytest.param(Failed(503, body=b"<html>" + SECRET_WORDS.encode()), EngineUnavailable, "status 503", id="503"),
        pytest.param(Failed(307, headers=(("Location", "/elsewhere"),)), EngineUnavailable, "base_url", id="moved"),
        pytest.param(Hang(), EngineTimeout, "says nothing", id="no status"),
        pytest.param(Said(ANSWER, hang_after=0), EngineTimeout, "says nothing", id="no event"),
        pytest.param(Said(ANSWER, hang_after=1), EngineTimeout, "says nothing", id="a role and no words"),
        pytest.param(Said(ANSWER, hang_after=3), EngineTimeout, "says nothing", id="silent in the middle"),
        pytest.param(Said(ANSWER, break_after=700), EngineUnavailable, "broke", id="cut in the middle of an event"),
        pytest.param(Raw(b""), EngineUnavailable, "in the middle", id="nothing"),
        pytest.param(Raw(b"<html>hello</html>"), EngineUnavailable, "in the middle", id="a page"),
        pytest.param(Raw(b"data: {nonsense\n\n"), EngineUnavailable, "form", id="no JSON"),
        pytest.param(Raw(b'data: {"choices": "none"}\n\n'), EngineUnavailable, "form", id="another form"),
        pytest.param(Raw(b"data: \xff\xfe\n\n"), EngineUnavailable, "form", id="no UTF-8"),
        pytest.param(Raw(b"data: " + b"x" * 1_200_000), EngineUnavailable, "does not end", id="an endless line"),
        pytest.param(Raw(b"data: [DONE]\n\n"), EngineUnavailable, "in the middle", id="an end without a reply"),
        pytest.param(
            Raw(f'data: {{"error": {{"message": "{QUESTION}"}}}}\n\n'.encode()),
            EngineUnavailable,
            "failed in the middle",
            id="an error in the stream",
        ),
    ],
)
async def test_each_failure_has_its_kind_and_words_for_the_operator(
    failed: Answer, kind: type[EngineError], words: str
) -> None:
    async with serving(failed) as (server, engine):
        with capture_logs() as logs:
            for _ in range(2):
                with pytest.raises(EngineError) as refused:
                    await outputs(engine)
                assert words in str(refused.value)
        assert refused.type is EngineUnavailable, "it is not asked again before a probe has heard it"
        assert len(server.requests) == 1
        assert not engine.health().ready and words in engine.health().detail
    [line] = [line for line in logs if line["event"] == "the model server can not be used"]
    assert words in line["reason"]
    assert QUESTION not in str(logs) + str(refused.value)


@pytest.mark.parametrize("hanging", [Hang(), Said(ANSWER, hang_after=2)], ids=["at once", "in the middle"])
async def test_the_limits_are_those_of_silence(hanging: Answer) -> None:
    async with serving(hanging) as (_, engine):
        started = time.monotonic()
        with pytest.raises(EngineTimeout, match="says nothing"):
            await outputs(engine)
        assert time.monotonic() - started < QUICK.first + QUICK.silence + 0.5


async def test_pings_of_a_proxy_are_no_sign_of_the_model() -> None:
    """One every tenth of a second: longer together than the model may be silent."""
    async with serving(Said(ANSWER, pings=30)) as (_, engine):
        with pytest.raises(EngineTimeout, match="says nothing"):
            await outputs(engine)


async def test_a_generation_that_goes_on_for_ever_ends_at_its_time_limit_and_the_server_stays_in_use() -> None:
    slow = Said('{"response": "' + "很" * 500, size=1, pause=0.05)
    async with serving(slow, Said(ANSWER), timeout_seconds=0.4) as (server, engine):
        started = time.monotonic()
        with pytest.raises(EngineTimeout, match=r"model\.timeout_seconds"):
            await outputs(engine)
        assert time.monotonic() - started < 1.0
        assert engine.health().ready
        await server.until(lambda: server.disconnects == 1)
        await outputs(engine)


async def test_nobody_at_the_address(nobody: str) -> None:
    async with FakeOpenAI(Said(ANSWER)) as server:
        engine = engine_for(server, base_url=nobody)
        with capture_logs() as logs:
            await engine.start()
            with pytest.raises(EngineUnavailable, match="can not be reached"):
                await outputs(engine)
            await engine.close()
    assert len([line for line in logs if "can not be used" in line["event"]]) == 1


# -- Coming back --


async def test_a_server_that_comes_back_is_used_again() -> None:
    async with serving(Said(ANSWER)) as (server, engine):
        await server.hang_up()
        with pytest.raises(EngineUnavailable):
            await outputs(engine)
        assert not engine.health().ready
        await server.listen()
        await server.until(lambda: engine.health().ready)
        assert isinstance((await outputs(engine))[-1], Answered)


async def test_a_server_that_is_there_later_is_found() -> None:
    async with FakeOpenAI(Said(ANSWER)) as server:
        await server.hang_up()
        engine = engine_for(server)
        await engine.start()
        assert not engine.health().ready
        await server.listen()
        await server.until(lambda: engine.health().ready)
        assert isinstance((await outputs(engine))[-1], Answered)
        await engine.close()


async def test_a_server_whose_model_hangs_is_not_believed_for_its_list() -> None:
    async with serving(Hang(), patience=patient(first=0.2)) as (server, engine):
        with pytest.raises(EngineTimeout):
            await outputs(engine)
        probed = server.probes
        await server.until(lambda: server.probes >= probed + 2)
        assert not engine.health().ready and server.words >= 1
        server.answers = [Said(ANSWER)]
        await server.until(lambda: engine.health().ready)
        await outputs(engine)


async def test_while_it_is_up_only_its_list_is_asked_for() -> None:
    async with serving(Said(ANSWER), patience=patient(probe_while_up=0.05)) as (server, engine):
        await server.until(lambda: server.probes >= 4)
        assert server.words == 0 and server.requests == []
        server.down = 503
        await server.until(lambda: not engine.health().ready)
        server.down = 0
        await server.until(lambda: engine.health().ready)


async def test_a_server_without_a_list_is_used() -> None:
    async with FakeOpenAI(Said(ANSWER)) as server:
        server.lists_models = False
        engine = engine_for(server)
        await engine.start()
        assert engine.health().ready
        await outputs(engine)
        await engine.close()


async def test_a_wrong_key_is_named_once_and_a_new_try_made_later() -> None:
    async with FakeOpenAI(Said(ANSWER), key="sk-the-right-one") as server:
        engine = engine_for(server, api_key="sk-the-wrong-one")
        with capture_logs() as logs:
            await engine.start()
            await server.until(lambda: server.probes >= 3)
            assert "model.api_key" in engine.health().detail
            server.key = "sk-the-wrong-one"
            await server.until(lambda: engine.health().ready)
            await engine.close()
    warnings = [line for line in logs if line["log_level"] == "warning"]
    assert len(warnings) == 1 and "model.api_key" in warnings[0]["reason"]
    assert "sk-the" not in str(logs)


# -- Being asked for patience --


async def test_a_busy_server_is_left_alone_for_as_long_as_it_says() -> None:
    clock = StandingClock()
    busy = Failed(429, headers=(("Retry-After", "20"),))
    async with serving(busy, Said(ANSWER), clock=clock) as (server, engine):
        for _ in range(3):
            with pytest.raises(EngineUnavailable):
                await outputs(engine)
        assert len(server.requests) == 1 and not engine.health().ready
        probed = server.probes
        await asyncio.sleep(3 * QUICK.probe_while_down)
        assert server.probes == probed and server.words == 0
        clock.seconds += 19.0
        assert not engine.health().ready
        clock.seconds += 2.0
        assert engine.health().ready
        assert isinstance((await outputs(engine))[-1], Answered)


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (429, "7", 7.0),
        (429, "", 5.0),
        (429, "soon", 5.0),
        (429, "-3", 0.0),
        (429, "Sun, 22 Nov 2026 12:01:30 GMT", 90.0),
        (429, "Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        (503, "7", 7.0),
        (503, "", None),
        (500, "7", None),
    ],
)
def test_how_long_a_server_asks_for(status: int, header: str, seconds: float | None) -> None:
    assert seconds_to_rest(status, header, datetime(2026, 11, 22, 12, tzinfo=UTC)) == seconds


async def test_no_server_keeps_us_away_for_ever() -> None:
    clock = StandingClock()
    async with serving(Failed(429, headers=(("Retry-After", "999999"),)), clock=clock) as (_, engine):
        with pytest.raises(EngineUnavailable):
            await outputs(engine)
        clock.seconds += 301.0
        assert engine.health().ready


# -- Hanging up --


async def test_closing_early_hangs_up_at_once() -> None:
    async with serving(Said(ANSWER, pause=0.2, size=2)) as (server, engine):
        async with aclosing(engine.generate(PROMPT)) as stream:
            async for output in stream:
                assert isinstance(output, Delta)
                break
        await server.until(lambda: server.disconnects == 1, seconds=0.5)
        assert server.running == 0


async def test_cancelling_hangs_up_at_once() -> None:
    async with serving(Hang()) as (server, engine):
        task = asyncio.create_task(outputs(engine))
        await server.until(lambda: server.running == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.until(lambda: server.disconnects == 1, seconds=0.5)
        assert engine.health().ready, "the customer went, not the server"


@pytest.mark.parametrize("hanging", [Hang(), Said(ANSWER, hang_after=3)], ids=["at once", "in the middle"])
async def test_closing_the_engine_ends_what_runs(hanging: Answer) -> None:
    async with serving(hanging, patience=patient(first=5.0, silence=5.0)) as (server, engine):
        task = asyncio.create_task(outputs(engine))
        await server.until(lambda: server.running == 1)
        await asyncio.sleep(0.05)
        with capture_logs() as logs:
            await engine.close()
            with pytest.raises(EngineUnavailable):
                await asyncio.wait_for(task, 1)
        assert logs == [], "closing is no outage"
        await server.until(lambda: server.running == 0)


async def test_connections_are_kept_for_the_next_generation() -> None:
    async with serving(Said(ANSWER)) as (server, engine):
        for _ in range(5):
            await outputs(engine)
    assert len(server.requests) == 5 and len(server.peers) == 1


# -- As many as fit --


async def test_more_generations_than_allowed_wait_a_moment_and_are_refused() -> None:
    async with serving(Said(ANSWER, first=0.4), max_concurrency=2) as (server, engine):
        results = await asyncio.gather(*(outputs(engine) for _ in range(4)), return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["EngineBusy", "EngineBusy", "list", "list"]
        assert len(server.requests) == 2
        assert engine.health().ready


async def test_a_place_that_is_free_again_is_taken() -> None:
    async with serving(Said(ANSWER, first=0.1), max_concurrency=2) as (server, engine):
        await asyncio.gather(*(outputs(engine) for _ in range(4)))
        assert len(server.requests) == 4


async def test_a_busy_engine_is_not_rested_by_its_fallback() -> None:
    async with serving(Said(ANSWER, first=0.4), max_concurrency=1) as (server, engine):
        second = ExtractiveEngine()
        await second.start()
        pair = FallbackEngine(engine, second, clock=StandingClock(), timeout_seconds=5.0)
        first = asyncio.create_task(_end(pair))
        await server.until(lambda: server.running == 1)
        assert isinstance(await _end(pair), Answered)
        await first
        await _end(pair)
        assert len(server.requests) == 2


async def _end(engine: FallbackEngine) -> object:
    return [output async for output in engine.generate(PROMPT)][-1]
