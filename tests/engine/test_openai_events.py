"""A server's stream, taken apart: oddities that no other test's server has."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.engine.openai_events import MAX_EVENT_BYTES, EventStream, ReplyReader, read_chunk
from bot.engine.output import SaidCall
from bot.errors import BadOutput, EngineUnavailable


def events_of(*pieces: bytes) -> list[bytes]:
    stream = EventStream()
    return [event for piece in pieces for event in stream.feed(piece)]


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        pytest.param(b"data: a\n\ndata: b\n\n", [b"a", b"b"], id="two"),
        pytest.param(b"data:a\n\ndata:  b\n\n", [b"a", b" b"], id="one blank belongs to the form"),
        pytest.param(b"data: a\ndata: b\n\n", [b"a\nb"], id="two lines"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [b"a"], id="a byte order mark"),
        pytest.param(b": ping\n\nevent: x\nid: 7\ndata: a\nretry: 3\n\n", [b"a"], id="other fields"),
        pytest.param(b"\n\n\ndata: a\n\n\n", [b"a"], id="empty lines"),
        pytest.param(b"data\n\n", [], id="a field without a value"),
        pytest.param(b"data: a\n", [], id="not ended yet"),
        pytest.param(b"data: a", [], id="not even a line"),
    ],
)
def test_events_are_told_apart(raw: bytes, events: list[bytes]) -> None:
    assert events_of(raw) == events


@given(
    st.lists(st.text(alphabet=st.sampled_from("满😀a: {}é\u2028\x85"), min_size=1, max_size=8), max_size=5),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.data(),
)
def test_cut_anywhere_the_events_are_the_same(texts: list[str], end: bytes, data: st.DataObject) -> None:
    raw = b"".join(b": x" + end + b"data: " + text.encode() + end + end for text in texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=10)))
    pieces = [raw[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert events_of(*pieces) == [text.encode() for text in texts]


def test_an_event_that_does_not_end_is_not_kept() -> None:
    stream = EventStream()
    with pytest.raises(EngineUnavailable, match="does not end"):
        for _ in range(MAX_EVENT_BYTES // 1000 + 1):
            stream.feed(b"data: " + b"x" * 994)
    endless_lines = EventStream()
    with pytest.raises(EngineUnavailable, match="does not end"):
        for _ in range(MAX_EVENT_BYTES // 1000 + 1):
            endless_lines.feed(b"data: " + b"x" * 1000 + b"\n")


def reply_of(*deltas: dict[str, Any], finish: str = "stop") -> ReplyReader:
    reply = ReplyReader()
    for choice in [*({"delta": delta} for delta in deltas), {"delta": {}, "finish_reason": finish}]:
        chunk = read_chunk(json.dumps({"choices": [choice]}).encode())
        assert chunk is not None
        reply.feed(chunk)
    return reply


def piece(name: str | None = None, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    return {"tool_calls": [{"function": {"name": name, "arguments": arguments}, **fields}]}


STATUS = SaidCall(name="ticket_status", arguments={"ticket": "T-1"})


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param([piece("ticket_status", '{"ticket":'), piece(None, '"T-1"}')], id="without numbers"),
        pytest.param(
            [piece("ticket_status", '{"tic', index=0, id="a"), piece("ticket_status", 'ket":"T-1"}', index=0, id="a")],
            id="its name again and again",
        ),
        pytest.param([piece("ticket_status", {"ticket": "T-1"}, index=0)], id="arguments as an object"),
        pytest.param([piece("ticket_status", '{"ticket":"T-1"}', index=3)], id="counted from somewhere"),
        pytest.param([{"content": None}, piece("ticket_status", '{"ticket":"T-1"}', index=0)], id="no content"),
        pytest.param(
            [{"content": "好的，请稍等。"}, piece("ticket_status", '{"ticket":"T-1"}', index=0)], id="a word before it"
        ),
    ],
)
def test_a_call_is_put_together(deltas: list[dict[str, Any]]) -> None:
    assert reply_of(*deltas, finish="tool_calls").end() == STATUS


@pytest.mark.parametrize(
    ("deltas", "words"),
    [
        pytest.param(
            [piece("a", "{}", index=0, id="1"), piece("b", "{}", index=0, id="2")], "more than one", id="both number 0"
        ),
        pytest.param([piece("a", "{}", index=0), piece("b", "{}", index=1)], "more than one", id="two"),
        pytest.param([piece("a", "{", index=0), piece("b", "}", index=0)], "two names", id="two names"),
        pytest.param([piece(None, "{}", index=0)], "no name", id="no name"),
        pytest.param([piece("a", "[]", index=0)], "no JSON object", id="a list"),
        pytest.param([piece("a", "x" * 70_000, index=0)], "does not end", id="endless"),
        pytest.param([{"content": '{"respo'}, piece("a", "{}", index=0)], "answers and calls", id="and an answer"),
    ],
)
def test_anything_else_is_no_call(deltas: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(BadOutput, match=words):
        reply_of(*deltas, finish="tool_calls").end()


def test_a_second_choice_is_not_mixed_in() -> None:
    reply = ReplyReader()
    for index, text in ((0, '{"response": "一", "confi'), (1, "二"), (0, 'dence": 1}')):
        chunk = read_chunk(json.dumps({"choices": [{"index": index, "delta": {"content": text}}]}).encode())
        assert chunk is not None
        reply.feed(chunk)
    assert reply.text == '{"response": "一", "confidence": 1}'


@pytest.mark.parametrize(
    ("choice", "moves"),
    [
        ({"delta": {"role": "assistant", "content": ""}}, False),
        ({"delta": {"role": "assistant"}}, False),
        ({"delta": None}, False),
        ({"delta": {"content": "满"}}, True),
        ({"delta": {"reasoning_content": "想"}}, True),
        ({"delta": {"reasoning": "想"}}, True),
        ({"delta": piece("a")}, True),
        ({"delta": {}, "finish_reason": "stop"}, True),
    ],
)
def test_what_shows_that_the_model_works(choice: dict[str, Any], moves: bool) -> None:
    chunk = read_chunk(json.dumps({"choices": [choice]}).encode())
    assert chunk is not None and chunk.moves is moves
