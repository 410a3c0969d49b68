"""What a model may say, as a structural tag: its form. What xgrammar makes of it is in tests/engine_real."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from bot.engine.grammar import MAX_ARGUMENT_CHARS, MAX_ITEMS, longest_answer, output_tag
from bot.errors import SettingsError
from bot.messages import FunctionSpec


def spec(name: str = "order", **properties: Mapping[str, Any]) -> FunctionSpec:
    """A function with these arguments, all of them required."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return FunctionSpec(name=name, description="", parameters=schema)


def format_of(tag: str) -> Any:
    whole = json.loads(tag)
    assert whole["type"] == "structural_tag"
    return whole["format"]


def shortest(part: Mapping[str, Any]) -> str:
    """The text with the least in it that a format allows; "?" stands for a confidence or a number."""
    match part["type"]:
        case "const_string":
            return str(part["value"])
        case "sequence":
            return "".join(map(shortest, part["elements"]))
        case "or":
            return min(map(shortest, part["elements"]), key=len)
        case "optional" | "any_text":
            return ""
        case "repeat":
            return shortest(part["content"]) * int(part["min"])
        case "regex":
            least = re.search(r"\{(\d+)\}$", part["pattern"])
            return "x" * int(least[1]) if least else "0"
    raise AssertionError(f"xgrammar may know {part['type']}, this test does not")


def longest(part: Mapping[str, Any]) -> int:
    """The most characters that free text may have in a format, all of it added up."""
    match part["type"]:
        case "sequence":
            return sum(map(longest, part["elements"]))
        case "or":
            return max(map(longest, part["elements"]))
        case "optional":
            return longest(part["content"])
        case "repeat":
            return int(part["max"]) * longest(part["content"])
        case "any_text":
            return int(part["max_chars"])
        case "regex":
            least = re.search(r"\{(\d+)\}$", part["pattern"])
            return int(least[1]) if least else 0
    return 0


def arguments(*specs: FunctionSpec) -> dict[str, Any]:
    """The arguments of the shortest call of the last of these functions."""
    call = shortest(format_of(output_tag(specs, max_chars=10))["elements"][-1])
    said: dict[str, Any] = json.loads(call)
    assert said["name"] == specs[-1].name
    return dict(said["arguments"])


def test_without_functions_there_is_the_answer_alone() -> None:
    part = format_of(output_tag((), max_chars=225))
    assert json.loads(shortest(part)) == {"response": "", "confidence": 0}
    assert longest(part) == 225


def test_every_function_can_be_called_in_qwens_form_with_its_tags_or_without() -> None:
    specs = [spec("first"), spec("second")]
    answer, *calls = format_of(output_tag(specs, max_chars=10))["elements"]
    assert shortest(answer).startswith('{"response": "')
    assert [shortest(form) for call in calls for form in call["elements"]] == [
        '<tool_call>\n{"name": "first", "arguments": {}}\n</tool_call>',
        '{"name": "first", "arguments": {}}',
        '<tool_call>\n{"name": "second", "arguments": {}}\n</tool_call>',
        '{"name": "second", "arguments": {}}',
    ]


def test_a_function_that_is_withheld_can_not_be_called() -> None:
    withheld = FunctionSpec(name="first", description="", parameters={"type": "object"}, withheld=True)
    assert output_tag((withheld, spec("second")), max_chars=10) == output_tag((spec("second"),), max_chars=10)
    assert output_tag((withheld,), max_chars=10) == output_tag((), max_chars=10)


@pytest.mark.parametrize(
    ("schema", "least"),
    [
        pytest.param({"type": "string"}, "", id="string"),
        pytest.param({"type": "string", "minLength": 3}, "xxx", id="string with a least length"),
        pytest.param({"type": "integer"}, 0, id="integer"),
        pytest.param({"type": "number"}, 0, id="number"),
        pytest.param({"type": "boolean"}, True, id="boolean"),
        pytest.param({"type": "null"}, None, id="null"),
        pytest.param({"const": "甲"}, "甲", id="constant"),
        pytest.param({"enum": ["low", "normal"]}, "low", id="enum"),
        pytest.param({"enum": [1]}, 1, id="enum of numbers"),
        pytest.param({"anyOf": [{"type": "string", "minLength": 9}, {"type": "null"}]}, None, id="or null"),
        pytest.param({"oneOf": [{"const": "a"}, {"const": "bc"}]}, "a", id="one of"),
        pytest.param({"type": "array", "items": {"type": "integer"}}, [], id="array"),
        pytest.param({"type": "array", "items": {"type": "integer"}, "minItems": 3}, [0, 0, 0], id="array of three"),
        pytest.param({"type": "array", "maxItems": 0}, [], id="array of nothing"),
        pytest.param(
            {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "required": ["b"]},
            {"b": 2},
            id="object whose first may be missing",
        ),
        pytest.param({"type": "object", "properties": {"a": {"const": 1}}}, {}, id="object that may be empty"),
    ],
)
def test_each_form_of_an_argument(schema: Mapping[str, Any], least: object) -> None:
    assert arguments(spec(it=schema)) == {"it": least}


def test_a_definition_is_followed_to_where_it_stands() -> None:
    inner = {"type": "object", "properties": {"city": {"const": "上海"}}, "required": ["city"]}
    schema = {"type": "object", "properties": {"to": {"$ref": "#/$defs/Address"}}, "required": ["to"]}
    made = FunctionSpec(name="send", description="", parameters={**schema, "$defs": {"Address": inner}})
    assert arguments(made) == {"to": {"city": "上海"}}


def test_strings_and_lists_have_an_end_whatever_the_schema_says() -> None:
    endless = spec(text={"type": "string"}, more={"type": "array", "items": {"type": "string", "maxLength": 7}})
    call = format_of(output_tag((endless,), max_chars=10))["elements"][1]
    assert longest(call) == MAX_ARGUMENT_CHARS + MAX_ITEMS * 7


SELF = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        pytest.param({"type": "string", "pattern": "^[0-9]+$"}, "pattern", id="pattern"),
        pytest.param({"type": "string", "format": "date"}, "format", id="format"),
        pytest.param({"type": "array", "prefixItems": [{"const": 1}]}, "prefixItems", id="tuple"),
        pytest.param({"type": "array", "items": {"const": 1}, "uniqueItems": True}, "uniqueItems", id="set"),
        pytest.param({"type": "object", "additionalProperties": {"type": "string"}}, "any names", id="dictionary"),
        pytest.param({"type": "string", "minLength": 5000}, "5000", id="longer than can be written"),
        pytest.param({"type": "array", "items": {"const": 1}, "minItems": 50}, "50", id="more than can be written"),
        pytest.param({}, "any type", id="anything"),
        pytest.param({"type": ["string", "null"]}, "string", id="a list of types"),
        pytest.param({"$ref": "#/$defs/Node"}, "themselves", id="without an end"),
    ],
)
def test_a_form_that_can_not_be_held_to_names_its_function(schema: Mapping[str, Any], said: str) -> None:
    made = spec("strange_order", it=schema)
    made = FunctionSpec(name=made.name, description="", parameters={**made.parameters, "$defs": {"Node": SELF}})
    with pytest.raises(SettingsError, match=rf"strange_order.*{said}"):
        output_tag((made,), max_chars=10)


@pytest.mark.parametrize(
    ("max_answer_chars", "max_tokens", "chars"),
    [(150, 1024, 225), (4000, 1024, 984), (20, 16, 16)],
    ids=["half as much again", "no more than has room", "something at least"],
)
def test_how_long_an_answer_may_be(max_answer_chars: int, max_tokens: int, chars: int) -> None:
    assert longest_answer(max_answer_chars, max_tokens) == chars
