"""What a model may say, read whole and while it grows."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.engine.output import MAX_CHARS, OutputReader, SaidAnswer, SaidCall, read_call, read_output
from bot.errors import BadOutput

ANSWER = '{"response": "满 99 元包邮。", "confidence": 0.9}'
STATUS = '{"name": "ticket_status", "arguments": {"ticket": "TICKET-1"}}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(ANSWER, SaidAnswer(text="满 99 元包邮。", confidence=0.9), id="an answer"),
        pytest.param(f"\n {ANSWER} \n", SaidAnswer(text="满 99 元包邮。", confidence=0.9), id="blanks around it"),
        pytest.param(f"```json\n{ANSWER}\n```", SaidAnswer(text="满 99 元包邮。", confidence=0.9), id="fenced"),
        pytest.param('{"confidence":1,"response":""}', SaidAnswer(text="", confidence=1.0), id="the other order"),
        pytest.param('{"response": "a", "confidence": 7}', SaidAnswer(text="a", confidence=1.0), id="too sure"),
        pytest.param('{"response": "a", "confidence": -1}', SaidAnswer(text="a", confidence=0.0), id="below nothing"),
        pytest.param(
            f"<tool_call>\n{STATUS}\n</tool_call>",
            SaidCall(name="ticket_status", arguments={"ticket": "TICKET-1"}),
            id="a call",
        ),
        pytest.param(STATUS, SaidCall(name="ticket_status", arguments={"ticket": "TICKET-1"}), id="without its tags"),
    ],
)
def test_both_forms_are_read(text: str, said: SaidAnswer | SaidCall) -> None:
    assert read_output(text) == said


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("满 99 元包邮。", id="prose"),
        pytest.param(f"好的：{ANSWER}", id="prose before it"),
        pytest.param(f"{ANSWER} 谢谢", id="prose after it"),
        pytest.param(ANSWER[:-1], id="cut"),
        pytest.param(ANSWER + ANSWER, id="two answers"),
        pytest.param(f"[{ANSWER}]", id="a list of them"),
        pytest.param('{"response": "a"}', id="no confidence"),
        pytest.param('{"response": "a", "confidence": 1, "ticket": "x"}', id="one thing more"),
        pytest.param('{"response": ["a"], "confidence": 1}', id="a list for a text"),
        pytest.param('{"response": null, "confidence": 1}', id="nothing for a text"),
        pytest.param('{"response": "a", "confidence": "0.9"}', id="a text for a number"),
        pytest.param('{"response": "a", "confidence": true}', id="yes for a number"),
        pytest.param('{"response": "a", "confidence": NaN}', id="NaN"),
        pytest.param('{"response": "a", "confidence": Infinity}', id="infinity"),
        pytest.param('{"response": "a", "confidence": 1e999}', id="infinity in digits"),
        pytest.param('{"response": "a", "confidence": ' + "9" * 5000 + "}", id="a number of 5000 digits"),
        pytest.param('{"response": "a", "response": "b", "confidence": 1}', id="a key twice"),
        pytest.param('{"response": "\\ud83d", "confidence": 1}', id="half a surrogate pair"),
        pytest.param('{"response": "\ud83d", "confidence": 1}', id="half a pair as a character"),
        pytest.param('{"response": "a\nb", "confidence": 1}', id="a bare line end"),
        pytest.param('{"response": {"a":' * 200 + "1" + "}" * 400, id="200 deep"),
        pytest.param("[" * 100_000, id="endlessly deep"),
        pytest.param(f"<tool_call>{STATUS}", id="a call without its end"),
        pytest.param(f"<tool_call>{STATUS}</tool_call>" * 2, id="two calls"),
        pytest.param("<tool_call>" * 200 + STATUS + "</tool_call>" * 200, id="200 nested calls"),
        pytest.param(f"{ANSWER}<tool_call>{STATUS}</tool_call>", id="an answer and a call"),
        pytest.param('{"name": "ticket_status"}', id="a call without arguments"),
        pytest.param('{"name": "ticket_status", "arguments": ["TICKET-1"]}', id="arguments in a list"),
        pytest.param('{"name": "ticket_status", "arguments": "TICKET-1"}', id="arguments that are a text"),
        pytest.param('{"name": 7, "arguments": {}}', id="a number for a name"),
        pytest.param('{"name": "", "arguments": {}}', id="no name"),
        pytest.param(
            '{"name": "ticket_status", "arguments": {"ticket": "TICKET-1", "ticket": "TICKET-2"}}', id="two tickets"
        ),
        pytest.param('{"name": "f", "arguments": {"amount": 1e999}}', id="arguments without end"),
        pytest.param('{"name": "f", "arguments": {}, "response": "a", "confidence": 1}', id="both in one"),
    ],
)
def test_nothing_else_is(text: str) -> None:
    with pytest.raises(BadOutput):
        read_output(text)


def test_what_is_wrong_is_said_without_the_models_words() -> None:
    for text in ('{"response": "13800138000", "confidence": x}', "13800138000", '{"13800138000": 1}'):
        with pytest.raises(BadOutput) as refused:
            read_output(text)
        assert "138" not in str(refused.value)


@pytest.mark.parametrize(
    "arguments", ['{"a": 1', "[]", '"a"', "null", '{"a": 1}{"a": 1}', '{"a": 1, "a": 2}', "{'a': 1}", 7, None]
)
def test_arguments_are_an_object_and_are_not_mended(arguments: object) -> None:
    with pytest.raises(BadOutput):
        read_call("f", arguments)


def test_a_call_without_any_argument_is_one() -> None:
    assert read_call("hand_to_person", "") == read_call("hand_to_person", "{}") == read_call("hand_to_person", {})


# -- While it grows --


def snapshots_of(pieces: list[str]) -> tuple[list[str], OutputReader]:
    reader = OutputReader()
    return [snapshot for piece in pieces if (snapshot := reader.feed(piece)) is not None], reader


def assert_grows(snapshots: list[str], final: str) -> None:
    assert all(later.startswith(earlier) and later != earlier for earlier, later in itertools.pairwise(snapshots))
    assert all(final.startswith(snapshot) for snapshot in snapshots)
    for snapshot in snapshots:
        snapshot.encode()  # raises on half a surrogate pair
    if final:
        assert snapshots[-1] == final, "the whole text is shown before the end"


TEXTS = st.text(
    st.one_of(
        st.sampled_from('"\\/\b\f\n\r\t{}[]:,<>`u0 '),
        st.characters(codec="utf-8"),
        st.characters(min_codepoint=0x1F300, max_codepoint=0x1F9FF),
        st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF),
    ),
    max_size=12,
)


@st.composite
def outputs(draw: st.DrawFn) -> tuple[str, str]:
    """JSON of an answer, in any of the ways JSON can write it; and the text in it."""
    text = draw(TEXTS)
    written = json.dumps(text, ensure_ascii=draw(st.booleans()))
    if draw(st.booleans()):
        written = written.replace("/", "\\/")
    blank = draw(st.sampled_from(["", " ", "\n  "]))
    members = [f'"response":{blank}{written}', f'"confidence":{blank}{draw(st.sampled_from(["0", "0.85", "1e-1"]))}']
    if draw(st.booleans()):
        members.reverse()
    body = f"{{{blank}{f',{blank}'.join(members)}{blank}}}"
    return draw(st.sampled_from([body, f"\n{body}", f"```json\n{body}\n```"])), text


@given(outputs())
@settings(max_examples=60, deadline=None)
def test_cut_at_any_two_points_the_text_grows_and_comes_out_whole(output: tuple[str, str]) -> None:
    raw, text = output
    for first, second in itertools.combinations_with_replacement(range(len(raw) + 1), 2):
        snapshots, reader = snapshots_of([raw[:first], raw[first:second], raw[second:]])
        assert_grows(snapshots, text)
        assert reader.text == raw
    said = read_output(raw)
    assert isinstance(said, SaidAnswer) and said.text == text


@given(outputs(), st.data())
@settings(max_examples=300, deadline=None)
def test_cut_anywhere_the_text_grows_and_comes_out_whole(output: tuple[str, str], data: st.DataObject) -> None:
    raw, text = output
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=len(raw))))
    snapshots, reader = snapshots_of([raw[a:b] for a, b in itertools.pairwise([0, *cuts, len(raw)])])
    assert_grows(snapshots, text)
    assert reader.end() == SaidAnswer(text=text, confidence=_confidence(raw))


def _confidence(raw: str) -> float:
    body: dict[str, Any] = json.loads(raw.strip().removeprefix("```json").removesuffix("```"))
    return float(body["confidence"])


@pytest.mark.parametrize(
    ("text", "written"),
    [
        pytest.param("好😀的👨‍👩‍👧！", None, id="astral characters as themselves"),
        pytest.param("好😀的👨‍👩‍👧！", True, id="as surrogate pairs"),
        pytest.param('说"好"\\\n\t/', True, id="escapes"),
    ],
)
def test_every_split_in_two_and_in_three(text: str, written: bool | None) -> None:
    raw = json.dumps({"response": text, "confidence": 0.5}, ensure_ascii=bool(written))
    points = range(len(raw) + 1)
    for first, second in itertools.combinations_with_replacement(points, 2):
        snapshots, _ = snapshots_of([raw[:first], raw[first:second], raw[second:]])
        assert_grows(snapshots, text)


def test_half_a_surrogate_pair_waits_for_the_other_half() -> None:
    reader = OutputReader()
    assert reader.feed('{"response": "好\\ud83d') == "好"
    assert reader.feed("\\ude0") is None
    assert reader.feed("0") == "好😀"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("满 99 元包邮，请放心购买。", id="prose"),
        pytest.param(STATUS, id="a call"),
        pytest.param(f"<tool_call>\n{STATUS}\n</tool_call>", id="a call with its tags"),
        pytest.param('["response"]', id="a list"),
        pytest.param('{"answer": "a", "respons', id="another key"),
        pytest.param('{"response": {"text": "a"}}', id="an object for a text"),
    ],
)
def test_nothing_is_shown_of_what_is_no_answer(text: str) -> None:
    snapshots, _ = snapshots_of(list(text))
    assert snapshots == []


def test_a_text_that_begins_anew_is_not_shown_twice() -> None:
    snapshots, reader = snapshots_of(list('{"response": "是", "response": "不是这样", "confidence": 1}'))
    assert snapshots == ["是"]
    with pytest.raises(BadOutput):
        reader.end()


def test_an_output_that_does_not_end_is_ended() -> None:
    reader = OutputReader()
    with pytest.raises(BadOutput, match="does not end"):
        for _ in range(20):
            reader.feed("x" * (MAX_CHARS // 16))
    assert len(reader.text) <= MAX_CHARS + MAX_CHARS // 16
