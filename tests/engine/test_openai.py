"""The engine in front of a strict server: what is asked, what is read, what is asked again."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.engine.grammar import output_tag
from bot.errors import BadOutput, EngineUnavailable
from bot.messages import Answered, Delta, FunctionCall, FunctionSpec
from bot.telemetry import Metrics
from tests.engine.openai_runs import KEY, engine_for, outputs, serving
from tests.engine.prompts import PERSONA, QUESTION, STATUS, prompt
from tests.fakes.openai_api import FEATURES, Call, Failed, FakeOpenAI, Said

ANSWER = '{"response": "满 99 元包邮 🚚，否则 8 元。", "confidence": 0.9}'
TEXT = "满 99 元包邮 🚚，否则 8 元。"
STATUS_CALL = Call(name="ticket_status", arguments='{"ticket": "TICKET-7K2M9Q4D"}')
CALLED = {"ticket": "TICKET-7K2M9Q4D"}


async def test_an_answer_grows_and_ends_with_its_figures() -> None:
    async with serving(Said(ANSWER, size=3)) as (server, engine):
        *deltas, end = await outputs(engine)
    assert end == Answered(text=TEXT, confidence=0.9, logprob=-0.25, tokens=120)
    texts = [delta.text for delta in deltas if isinstance(delta, Delta)]
    assert len(texts) == len(deltas) > 3
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise([*texts, TEXT]))
    assert len(server.requests) == 1


async def test_what_is_asked_is_the_settings_the_chat_and_both_forms() -> None:
    async with serving(Said(ANSWER), temperature=0.7, top_p=0.5, max_tokens=300) as (server, engine):
        await outputs(engine)
    [body] = server.requests
    assert {key: body[key] for key in ("model", "temperature", "top_p", "max_tokens", "stream", "logprobs")} == {
        "model": server.model,
        "temperature": 0.7,
        "top_p": 0.5,
        "max_tokens": 300,
        "stream": True,
        "logprobs": True,
    }
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]
    assert body["messages"][0]["content"].startswith(PERSONA)
    assert body["messages"][-1]["content"].endswith(QUESTION)
    assert body["tools"][0]["function"]["name"] == STATUS.name
    assert body["tool_choice"] == "auto"
    schema = body["response_format"]["json_schema"]["schema"]
    answer, call = schema["anyOf"]
    assert list(answer["properties"]) == ["response", "confidence"]
    assert call["properties"] == {"name": {"type": "string", "enum": [STATUS.name]}, "arguments": STATUS.parameters}


async def test_vllm_gets_its_own_grammar_and_leaves_calls_as_they_are_written() -> None:
    async with FakeOpenAI(Said(ANSWER), key=KEY) as server:
        server.owned_by = "vllm"
        engine = engine_for(server)
        await engine.start()
        await outputs(engine)
        server.answers = [
            Said(f'<tool_call>\n{{"name": "ticket_status", "arguments": {STATUS_CALL.arguments}}}\n</tool_call>')
        ]
        assert await outputs(engine) == [FunctionCall(name="ticket_status", arguments=CALLED, tokens=120)]
        server.refuses = {"grammar"}
        server.answers = [Said(ANSWER)]
        await outputs(engine)
        await engine.close()
    grammar, _, refused, schema = server.requests
    assert grammar["structured_outputs"]["structural_tag"] == output_tag([STATUS], max_chars=225)
    assert (grammar["tool_choice"], "response_format" in grammar) == ("none", False)
    assert grammar["tools"] == refused["tools"] == schema["tools"]
    assert (schema["tool_choice"], _kind(schema), "structured_outputs" in schema) == ("auto", "json_schema", False)
    assert server.malformed == []


async def test_arguments_that_no_grammar_can_say_are_held_to_a_schema() -> None:
    pattern = {"type": "object", "properties": {"id": {"type": "string", "pattern": "^[0-9]+$"}}}
    order = FunctionSpec(name="order", description="查订单", parameters=pattern)
    async with FakeOpenAI(Said(ANSWER), key=KEY) as server:
        server.owned_by = "vllm"
        engine = engine_for(server)
        await engine.start()
        await outputs(engine, prompt(functions=(order,)))
        await outputs(engine)
        await engine.close()
    first, second = server.requests
    assert (_kind(first), first["tool_choice"]) == ("json_schema", "auto")
    assert "structured_outputs" in second


async def test_what_the_server_counts_is_counted() -> None:
    metrics = Metrics()
    async with serving(Said("嗯"), Said(ANSWER), metrics=metrics) as (server, engine):
        await outputs(engine)
        server.down = 500
        assert _figures(metrics) == {"engine_up": 1.0, "running": 0.0, "prompt": 200.0, "output": 40.0}
        with pytest.raises(EngineUnavailable):
            await outputs(engine)
        assert _figures(metrics)["engine_up"] == 0.0


def _figures(metrics: Metrics) -> dict[str, float | None]:
    value = metrics.registry.get_sample_value
    tokens = {kind: value("kefu_engine_tokens_total", {"kind": kind}) for kind in ("prompt", "output")}
    return {"engine_up": value("kefu_engine_up"), "running": value("kefu_engine_running"), **tokens}


async def test_without_functions_only_an_answer_is_allowed() -> None:
    async with serving(Said(ANSWER)) as (server, engine):
        await outputs(engine, prompt(functions=()))
    [body] = server.requests
    assert "tools" not in body and "tool_choice" not in body
    assert "anyOf" not in body["response_format"]["json_schema"]["schema"]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("size", [1, 2, 3, 50])
async def test_the_stream_may_be_cut_anywhere(line_end: str, size: int) -> None:
    said = Said(ANSWER, bytes_per_write=size, line_end=line_end, comments=True)
    async with serving(said) as (_, engine):
        *deltas, end = await outputs(engine)
    assert end == Answered(text=TEXT, confidence=0.9, logprob=-0.25, tokens=120)
    assert deltas[-1] == Delta(text=TEXT)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(Said(calls=[STATUS_CALL], size=3), id="native"),
        pytest.param(Said("好的，我来查一下。", calls=[STATUS_CALL]), id="native after a word"),
        pytest.param(
            Said(f'<tool_call>\n{{"name": "ticket_status", "arguments": {STATUS_CALL.arguments}}}\n</tool_call>'),
            id="as Qwen writes it",
        ),
        pytest.param(
            Said(f'{{"name": "ticket_status", "arguments": {STATUS_CALL.arguments}}}'), id="as a schema allows it"
        ),
    ],
)
async def test_a_call_is_read_in_each_of_its_forms(said: Said) -> None:
    async with serving(said) as (_, engine):
        assert await outputs(engine) == [FunctionCall(name="ticket_status", arguments=CALLED, tokens=120)]


TWO_CALLS = Said(calls=[STATUS_CALL, Call(name="hand_to_person", arguments="{}", id="call_2")])

BROKEN = {
    "prose": Said("满 99 元包邮。"),
    "nothing": Said(),
    "half": Said('{"response": "满 99'),
    "two objects": Said(f"{ANSWER}{ANSWER}"),
    "another object": Said('{"answer": "满 99 元包邮"}'),
    "two calls": TWO_CALLS,
    "an answer and a call": Said(ANSWER, calls=[STATUS_CALL]),
    "arguments that are cut": Said(calls=[Call(name="ticket_status", arguments='{"ticket": "TICK')]),
    "arguments that are no object": Said(calls=[Call(name="ticket_status", arguments='["TICKET-1"]')]),
    "said twice": Said('{"response": "一", "response": "二", "confidence": 1}'),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_an_output_that_can_not_be_read_is_asked_for_once_more(broken: Said) -> None:
    async with serving(broken, Said(ANSWER)) as (server, engine):
        with capture_logs() as logs:
            *_, end = await outputs(engine)
    assert end == Answered(text=TEXT, confidence=0.9, logprob=-0.25, tokens=240)
    first, second = server.requests
    assert (second["temperature"], "tools" in second) == (0.0, False)
    assert second["messages"][:-1] == first["messages"][:-1], "what the server has in its cache stays as it is"
    task, again = first["messages"][-1]["content"], second["messages"][-1]["content"]
    assert again.startswith(task) and "只输出一行 JSON" in again
    assert "满 99 元包邮。" not in again.removeprefix(task), "the broken output is not quoted"
    assert "99" not in str(logs) and "TICK" not in str(logs)


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_after_the_second_time_it_is_over(broken: Said) -> None:
    async with serving(broken) as (server, engine):
        with pytest.raises(BadOutput) as refused:
            await outputs(engine)
    assert len(server.requests) == 2
    assert "99" not in str(refused.value) and "TICK" not in str(refused.value)


async def test_in_english_it_is_asked_again_in_english() -> None:
    async with serving(Said("It is free."), Said(ANSWER)) as (server, engine):
        await outputs(engine, prompt(language="en"))
    assert "Say one line of JSON with nothing before or after it" in server.requests[1]["messages"][-1]["content"]


async def test_a_call_is_not_taken_from_the_second_try() -> None:
    async with serving(Said("嗯"), Said(calls=[STATUS_CALL])) as (_, engine):
        with pytest.raises(BadOutput, match="offered none"):
            await outputs(engine)


async def test_the_last_try_of_the_house_is_not_repaired() -> None:
    async with serving(Said("嗯"), Said(ANSWER)) as (server, engine):
        with pytest.raises(BadOutput):
            await outputs(engine, prompt(last_try=True))
    assert len(server.requests) == 1


@pytest.mark.parametrize("finish", ["length", "content_filter"])
async def test_an_output_that_was_cut_off_is_not_asked_for_again(finish: str) -> None:
    async with serving(Said(ANSWER, finish=finish)) as (server, engine):
        with pytest.raises(BadOutput, match="cut"):
            await outputs(engine)
    assert len(server.requests) == 1


async def test_what_was_shown_is_not_taken_back_by_the_second_try() -> None:
    torn = Said('{"response": "满 99 元包邮 🚚，", "confidence": 0.')
    async with serving(torn, Said(ANSWER, size=2)) as (_, engine):
        *deltas, end = await outputs(engine)
    texts = [delta.text for delta in deltas if isinstance(delta, Delta)]
    assert all(later.startswith(earlier) and later != earlier for earlier, later in itertools.pairwise(texts))
    assert texts[-1] == TEXT and isinstance(end, Answered)


async def test_without_figures_from_the_server_tokens_are_estimated() -> None:
    async with serving(Said(ANSWER, usage=None)) as (_, engine):
        *_, end = await outputs(engine)
    assert isinstance(end, Answered) and 150 < end.tokens < 1000


async def test_an_answer_does_not_wait_for_figures_that_do_not_come() -> None:
    async with serving(Said(ANSWER, size=100, hang_after=3)) as (_, engine):
        *_, end = await outputs(engine)
    assert isinstance(end, Answered) and end.text == TEXT


async def test_a_stream_without_its_last_mark_is_whole_when_the_model_has_finished() -> None:
    async with serving(Said(ANSWER, done=False)) as (_, engine):
        *_, end = await outputs(engine)
    assert end == Answered(text=TEXT, confidence=0.9, logprob=-0.25, tokens=120)


# -- What servers refuse --

WITHOUT: dict[str, Any] = {
    "logprobs": lambda body: "logprobs" not in body and "tools" in body and _kind(body) == "json_schema",
    "stream_options": lambda body: "stream_options" not in body and "tools" in body and "logprobs" in body,
    "json_schema": lambda body: _kind(body) == "json_object" and "tools" in body and "logprobs" in body,
    "json_schema json_object": lambda body: _kind(body) is None and "tools" in body and "logprobs" in body,
    "auto": lambda body: body["tool_choice"] == "none" and _kind(body) == "json_schema" and "logprobs" in body,
    "tools": lambda body: "tools" not in body and _kind(body) == "json_schema" and "logprobs" in body,
    " ".join(FEATURES): lambda body: set(body) == {"model", "messages", "stream", "temperature", "top_p", "max_tokens"},
}


def _kind(body: dict[str, Any]) -> str | None:
    return body.get("response_format", {}).get("type")


@pytest.mark.parametrize("refused", WITHOUT)
async def test_what_the_server_refuses_is_left_out_and_remembered(refused: str) -> None:
    async with serving(Said(ANSWER)) as (server, engine):
        server.refuses = set(refused.split())
        with capture_logs() as logs:
            for _ in range(2):
                *_, end = await outputs(engine)
                assert isinstance(end, Answered) and end.text == TEXT
    *_, before, last = server.requests
    assert WITHOUT[refused](last), last.keys()
    assert before == last, "the second generation begins with what the first has learnt"
    assert len([line for line in logs if "does not take" in line["event"]]) == 1
    assert QUESTION not in str(logs)


@pytest.mark.parametrize("refused", WITHOUT)
async def test_a_server_that_does_not_say_what_it_refuses_gets_less_and_less(refused: str) -> None:
    async with serving(Said(ANSWER)) as (server, engine):
        server.refuses, server.wordless = set(refused.split()), True
        *_, end = await outputs(engine)
        assert isinstance(end, Answered) and end.text == TEXT
        tried = len(server.requests)
        await outputs(engine)
    assert 2 <= tried <= 7 and len(server.requests) == tried + 1


async def test_a_prompt_that_is_refused_in_every_form_is_not_the_servers_end() -> None:
    moderated = Failed(400, f"Input data may contain inappropriate content: {QUESTION}", "data_inspection_failed")
    async with serving(moderated) as (server, engine):
        with capture_logs() as logs, pytest.raises(BadOutput) as refused:
            await outputs(engine)
        assert engine.health().ready
        server.answers = [Said(ANSWER)]
        await outputs(engine)
    assert "tools" in server.requests[-1], "nothing was learnt from it"
    assert QUESTION not in str(logs) + str(refused.value)


async def test_a_prompt_that_is_too_long_is_refused_once_and_named() -> None:
    words = "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens."
    async with serving(Failed(400, words)) as (server, engine):
        with capture_logs() as logs, pytest.raises(BadOutput, match=r"model\.max_model_len"):
            await outputs(engine)
    assert len(server.requests) == 1
    assert "model.max_model_len" in str(logs)


async def test_a_server_without_jinja_gets_no_functions() -> None:
    def answer(body: dict[str, Any]) -> Failed | Said:
        return Failed(500, "tools param requires --jinja flag") if "tools" in body else Said(ANSWER)

    async with serving(answer) as (server, engine):
        await outputs(engine)
        await outputs(engine)
    assert "tools" not in server.requests[-1] and server.requests[-1] == server.requests[-2]


async def test_the_room_is_what_the_server_says_it_is() -> None:
    long = prompt(history=prompt().history * 40)
    async with serving(Said(ANSWER), max_tokens=256) as (server, engine):
        await outputs(engine, long)
        await engine.close()
        server.max_model_len = 1024
        await engine.start()
        await outputs(engine, long)
    wide, narrow = server.requests
    assert len(wide["messages"]) == 82 > len(narrow["messages"]) > 4


async def test_a_context_smaller_than_the_longest_output_still_holds_a_prompt() -> None:
    async with serving(Said(ANSWER), max_model_len=1024, max_tokens=4096) as (server, engine):
        await outputs(engine)
    [body] = server.requests
    assert body["max_tokens"] == 512
    assert QUESTION in body["messages"][-1]["content"]


async def test_the_key_travels_in_its_header_and_nowhere_else() -> None:
    async with serving(Said(ANSWER)) as (server, engine):
        with capture_logs() as logs:
            await outputs(engine)
        assert KEY not in str(server.requests) + str(logs) + repr(engine) + repr(vars(engine)) + server.url
