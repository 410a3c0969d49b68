"""Everything a model may say: the JSON of an answer, or one call of a declared function, as a structural tag. Pure.

A structural tag is what vLLM's xgrammar builds its token masks from. Why this form of it, and not a schema or a grammar
(vLLM 0.32, xgrammar 0.2.8; 22 outputs of random weights each at a temperature of 1; masks with Qwen2.5's vocabulary of
151,936 tokens, on one of two cores):

| constraint | outputs that parse | compiling | mask a token, inside an answer |
| --- | --- | --- | --- |
| JSON schema with anyOf | 18 of 22 | 112 ms | |
| structural tag over JSON schemas | 19 to 21 of 22 | 167 to 542 ms | |
| EBNF, strings of at most 225 characters or escapes | 22 of 22 | 11 ms | 340 to 1,220 ms |
| the same without escapes | 22 of 22 | 10,500 ms | 1 to 5 ms |
| this: texts with a greatest length | 22 of 22 | 38 ms | .1 ms |

A schema's strings may hold escapes such as half a surrogate pair, which no parser reads, and free white space, which a
model can go on writing until its tokens are used up. Here a character is written as itself, every string has a greatest
length and stands on one line, without quotation marks and backslashes, and blanks stand where Qwen was trained to put
them.

A call may stand without its tags: Qwen2.5-Coder-1.5B wants to call for every wish it was given (26 of 26, and for 1 of
30 questions), but begins with the tag with a probability of .01. Held to it, it called for none and answered instead.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from bot.engine.output import CALL_BEGINS, CALL_ENDS
from bot.errors import SettingsError
from bot.messages import FunctionSpec

MAX_ARGUMENT_CHARS = 400
"""The longest string in a model's call; a function may take less. What the customer wrote is kept in the transcript."""
MAX_ITEMS = 10

Format: TypeAlias = dict[str, Any]
"""A part of a structural tag, as `xgrammar.structural_tag` describes them."""

# What JSON wants escaped in a string, and what is better not there: line ends that JavaScript knows, deletion.
_EXCLUDED = ['"', "\\", *map(chr, range(0x20)), "\x7f", "\u2028", "\u2029"]
_CHARACTER = r'[^"\\\x00-\x1f\x7f\u2028\u2029]'
_INTEGER = r"-?(0|[1-9][0-9]{0,11})"
_CONFIDENCE = r"(0(\.[0-9]{1,2})?|1(\.00?)?)"


OVERLENGTH = 1.5
"""A model may write so many times `max_answer_chars`: what is too long is cut at a sentence's end, which reads better
than a sentence that the tag ended in its middle."""
_FRAME_TOKENS = 40
"""What the JSON around an answer takes, at the most."""
_LEAST_CHARS = 16
_CALLS = 256
"""Functions whose form is kept."""


def longest_answer(max_answer_chars: int, max_tokens: int) -> int:
    """How many characters a model may write, so that a whole output has room in its tokens."""
    return max(min(round(max_answer_chars * OVERLENGTH), max_tokens - _FRAME_TOKENS), _LEAST_CHARS)


def output_tag(functions: Sequence[FunctionSpec], *, max_chars: int) -> str:
    """The structural tag, as JSON; functions that are withheld are not in it.

    :param max_chars: of the answer's text.
    :raises SettingsError: a function's arguments have a form that is not written here; names it.
    """
    text, sure = _string(0, max_chars), _like(_CONFIDENCE)
    answer = _in_a_row(_exactly('{"response": '), text, _exactly(', "confidence": '), sure, _exactly("}"))
    calls = [_call(spec.name, json.dumps(spec.parameters)) for spec in functions if not spec.withheld]
    return json.dumps({"type": "structural_tag", "format": _either([answer, *calls])})


def rewriting_tag(max_chars: int) -> str:
    """The structural tag of a follow-up that is rewritten, as JSON."""
    question = _in_a_row(_exactly('{"question": '), _string(1, max_chars), _exactly("}"))
    return json.dumps({"type": "structural_tag", "format": question})


@functools.lru_cache(maxsize=_CALLS)
def _call(name: str, schema: str) -> Format:
    """The same for every prompt that offers the function, so it is made once. `schema`: of its arguments, as JSON."""
    parameters = json.loads(schema)
    try:
        arguments = _value(parameters, parameters.get("$defs", {}))
    except RecursionError:
        raise SettingsError(f"the arguments of the function {name} hold themselves") from None
    except _Unwritable as problem:
        raise SettingsError(f"the arguments of the function {name} can not be constrained: {problem}") from None
    call = _in_a_row(_exactly(f'{{"name": {json.dumps(name)}, "arguments": '), arguments, _exactly("}"))
    return _either([_in_a_row(_exactly(f"{CALL_BEGINS}\n"), call, _exactly(f"\n{CALL_ENDS}")), call])


class _Unwritable(Exception):
    """A schema says something that can not be written as a format."""


_UNKNOWN = frozenset(
    {"pattern", "format", "allOf", "not", "multipleOf", "patternProperties", "prefixItems", "uniqueItems"}
)


def _value(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Format:
    if "$ref" in schema:
        return _value(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "const" in schema:
        return _exactly(json.dumps(schema["const"], ensure_ascii=False))
    if "enum" in schema:
        return _either([_exactly(json.dumps(value, ensure_ascii=False)) for value in schema["enum"]])
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return _either([_value(one, definitions) for one in choices])
    if unknown := sorted(set(schema) & _UNKNOWN):
        raise _Unwritable(f"{', '.join(unknown)} is not supported")
    match schema.get("type"):
        case "string":
            return _string(*_bounds(schema, "Length", MAX_ARGUMENT_CHARS))
        case "integer":
            return _like(_INTEGER)
        case "number":
            return _like(rf"{_INTEGER}(\.[0-9]{{1,6}})?")
        case "boolean":
            return _either([_exactly("true"), _exactly("false")])
        case "null":
            return _exactly("null")
        case "array":
            return _array(schema, definitions)
        case "object":
            return _object(schema, definitions)
    raise _Unwritable(f"{schema.get('type', 'a value of any type')} is not supported")


def _array(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Format:
    least, most = _bounds(schema, "Items", MAX_ITEMS)
    if not most:
        return _exactly("[]")
    item = _value(schema.get("items", {}), definitions)
    more = {"type": "repeat", "min": max(least - 1, 0), "max": most - 1, "content": _in_a_row(_exactly(", "), item)}
    items = _in_a_row(item, more)
    return _in_a_row(_exactly("["), items if least else _perhaps(items), _exactly("]"))


def _object(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Format:
    """Properties in the order they are declared; an optional one may be missing."""
    if schema.get("additionalProperties"):
        raise _Unwritable("an object with any names is not supported")
    required = set(schema.get("required", ()))
    first: Format | None = None
    later: list[Format] = []
    for name, value in reversed(list(schema.get("properties", {}).items())):
        member = [_exactly(f"{json.dumps(name, ensure_ascii=False)}: "), _value(value, definitions)]
        begun = _in_a_row(*member, *later)
        following = _in_a_row(_exactly(", "), *member)
        if name in required:
            first, later = begun, [following, *later]
        else:
            first, later = _either([begun, first]) if first else _perhaps(begun), [_perhaps(following), *later]
    return _in_a_row(_exactly("{"), *([first] if first else []), _exactly("}"))


def _bounds(schema: Mapping[str, Any], of: str, limit: int) -> tuple[int, int]:
    """The least and the greatest length; where the schema has none, ours."""
    least, most = schema.get(f"min{of}", 0), min(schema.get(f"max{of}", limit), limit)
    if least > most:
        raise _Unwritable(f"min{of} is {least}, and at most {most} can be written")
    return least, most


def _string(least: int, most: int) -> Format:
    begun = [_like(f"{_CHARACTER}{{{least}}}")] if least else []
    rest = {"type": "any_text", "excludes": _EXCLUDED, "max_chars": most - least}
    return _in_a_row(_exactly('"'), *begun, rest, _exactly('"'))


def _exactly(text: str) -> Format:
    return {"type": "const_string", "value": text}


def _like(pattern: str) -> Format:
    return {"type": "regex", "pattern": pattern}


def _in_a_row(*elements: Format) -> Format:
    return {"type": "sequence", "elements": list(elements)}


def _either(elements: Sequence[Format]) -> Format:
    return elements[0] if len(elements) == 1 else {"type": "or", "elements": list(elements)}


def _perhaps(content: Format) -> Format:
    return {"type": "optional", "content": content}
