"""The grammar of everything a model may say: the JSON of an answer, or one call of a declared function. Pure.

Written as the EBNF that vLLM's xgrammar reads. Why a grammar of our own, and not a JSON Schema or a structural tag
(vLLM 0.32, xgrammar 0.2.8, random weights, two cores; 22 outputs each, at a temperature of 1):

| constraint | first token of the first request | outputs that parse |
| --- | --- | --- |
| schema with anyOf | 112 ms | 18 of 22 |
| structural tag over schemas | 167 to 542 ms | 19 to 21 of 22 |
| this grammar | 17 ms | 22 of 22 |

A schema's strings may hold escapes such as half a surrogate pair, which no parser reads, and free white space, which a
model can go on writing until its tokens are used up. This grammar has neither: a character is written as itself, every
string has a greatest length, and blanks stand where Qwen was trained to put them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bot.engine.output import CALL_BEGINS, CALL_ENDS
from bot.errors import SettingsError
from bot.messages import FunctionSpec

MAX_ARGUMENT_CHARS = 400
"""The longest string in a model's call; a function may take less. What the customer wrote is kept in the transcript."""
MAX_ITEMS = 10

_CHARACTER = r'([^"\\\x00-\x1f\x7f] | "\\" ["\\/nt])'
_DIGITS = '"-"? ("0" | [1-9] [0-9]{0,11})'


OVERLENGTH = 1.5
"""A model may write so many times `max_answer_chars`: what is too long is cut at a sentence's end, which reads better
than a sentence that the grammar ended in its middle."""
_FRAME_TOKENS = 40
"""What the JSON around an answer takes, at the most."""
_LEAST_CHARS = 16


def longest_answer(max_answer_chars: int, max_tokens: int) -> int:
    """How many characters a model may write, so that a whole output has room in its tokens."""
    return max(min(round(max_answer_chars * OVERLENGTH), max_tokens - _FRAME_TOKENS), _LEAST_CHARS)


def output_grammar(functions: Sequence[FunctionSpec], *, max_chars: int) -> str:
    """The grammar, as EBNF; its root is `root`.

    :param max_chars: of the answer's text.
    :raises SettingsError: a function's arguments have a form that no grammar is written for here; names it.
    """
    confidence = '("0" ("." [0-9] [0-9]?)? | "1" (".0" "0"?)?)'
    answer = f'{_quoted("{")} {_key("response")} {_string(0, max_chars)} ", " {_key("confidence")} {confidence} "}}"'
    rules = _Rules()
    calls = [rules.call(spec) for spec in functions]
    root = " | ".join(["answer", *calls])
    return "\n".join([f"root ::= {root}", f"answer ::= {answer}", *rules.lines]) + "\n"


class _Rules:
    """Collects named rules: optional properties are told apart by where in their object they stand."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def call(self, spec: FunctionSpec) -> str:
        begin = f'{CALL_BEGINS}\n{{"name": {json.dumps(spec.name)}, "arguments": '
        try:
            arguments = self._value(spec.parameters, spec.parameters.get("$defs", {}))
        except _Unwritable as problem:
            raise SettingsError(
                f"the arguments of the function {spec.name} can not be constrained: {problem}"
            ) from None
        return self._rule(f"{_quoted(begin)} {arguments} {_quoted('}' + chr(10) + CALL_ENDS)}")

    def _rule(self, body: str) -> str:
        name = f"rule{len(self.lines)}"
        self.lines.append(f"{name} ::= {body}")
        return name

    def _value(self, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
        if "$ref" in schema:
            return self._value(definitions[schema["$ref"].rpartition("/")[2]], definitions)
        if "const" in schema:
            return _quoted(json.dumps(schema["const"], ensure_ascii=False))
        if "enum" in schema:
            return _either(_quoted(json.dumps(value, ensure_ascii=False)) for value in schema["enum"])
        if "anyOf" in schema:
            return _either([self._value(one, definitions) for one in schema["anyOf"]])
        if unknown := set(schema) & {"pattern", "format", "oneOf", "allOf", "not", "multipleOf", "patternProperties"}:
            raise _Unwritable(f"{', '.join(sorted(unknown))} is not supported")
        match schema.get("type"):
            case "string":
                return _string(
                    schema.get("minLength", 0), min(schema.get("maxLength", MAX_ARGUMENT_CHARS), MAX_ARGUMENT_CHARS)
                )
            case "integer":
                return f"({_DIGITS})"
            case "number":
                return f'({_DIGITS} ("." [0-9]{{1,6}})?)'
            case "boolean":
                return '("true" | "false")'
            case "null":
                return '"null"'
            case "array":
                return self._array(schema, definitions)
            case "object":
                return self._object(schema, definitions)
        raise _Unwritable(f"{schema.get('type', 'a value of any type')} is not supported")

    def _array(self, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
        item = self._value(schema.get("items", {}), definitions)
        least, most = schema.get("minItems", 0), min(schema.get("maxItems", MAX_ITEMS), MAX_ITEMS)
        more = f'{item} (", " {item}){{{max(least - 1, 0)},{most - 1}}}'
        return f'"[" {more} "]"' if least else f'"[" ({more})? "]"'

    def _object(self, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
        """Properties in the order they are declared; an optional one may be missing."""
        required = set(schema.get("required", ()))
        properties = [
            (f"{_key(name)} {self._value(value, definitions)}", name in required)
            for name, value in schema.get("properties", {}).items()
        ]
        first, later = '""', '""'
        for member, needed in reversed(properties):
            begun, going = f"{member} {later}", f'", " {member} {later}'
            first, later = (
                self._rule(begun if needed else f"{begun} | {first}"),
                self._rule(going if needed else f"{going} | {later}"),
            )
        return f'"{{" {first} "}}"'


class _Unwritable(Exception):
    """A schema says something that the grammar can not."""


def _quoted(text: str) -> str:
    """Text as a terminal of the grammar."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _key(name: str) -> str:
    return _quoted(f"{json.dumps(name, ensure_ascii=False)}: ")


def _string(least: int, most: int) -> str:
    return f'"\\"" {_CHARACTER}{{{least},{most}}} "\\""'


def _either(choices: Any) -> str:
    return f"({' | '.join(choices)})"
