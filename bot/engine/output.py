"""What a model says, read while it grows: the JSON of an answer, or one call of a function.

    {"response": "…", "confidence": 0.9}
    <tool_call>
    {"name": "ticket_status", "arguments": {"ticket": "TICKET-…"}}
    </tool_call>

The call may also stand without its tags, as a server writes it that holds a model to JSON.

Pure. An engine constrains its model to these two forms where it can; what comes from elsewhere is read as strictly. The
arguments of a call are never mended: a parser that closes brackets invents calls nobody made.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from bot.errors import BadOutput

CALL_BEGINS, CALL_ENDS = "<tool_call>", "</tool_call>"

MAX_CHARS = 65_536
"""An output longer than this is none of ours: the longest answer is 4,000 characters, the longest argument as well."""

_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*?)\n?```\Z", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidAnswer:
    """The JSON of an answer."""

    text: str
    confidence: float
    """As the model states it, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidCall:
    """A call of a function. Whether there is such a function that takes these arguments is not known yet."""

    name: str
    arguments: Mapping[str, Any]


class OutputReader:
    """Takes an output piece by piece, in pieces of any size."""

    def __init__(self) -> None:
        self._text = ""
        self._shown = ""

    @property
    def text(self) -> str:
        """All of it so far."""
        return self._text

    def feed(self, piece: str) -> str | None:
        """The answer's text so far if this piece made it longer, else None.

        :raises BadOutput: it is longer than anything that was asked for.
        """
        self._text += piece
        if len(self._text) > MAX_CHARS:
            raise BadOutput("the model's output does not end")
        grown = _response_so_far(self._text)
        # A second "response" in one object would begin anew; the whole of that is refused in the end.
        if len(grown) <= len(self._shown) or not grown.startswith(self._shown):
            return None
        self._shown = grown
        return grown

    def end(self) -> SaidAnswer | SaidCall:
        """The whole output.

        :raises BadOutput: it is neither an answer nor a call, or more than one of them.
        """
        return read_output(self._text)


def read_output(text: str) -> SaidAnswer | SaidCall:
    """A whole output.

    :raises BadOutput: it is neither an answer nor a call, or more than one of them.
    """
    whole = text.strip()
    if whole.startswith(CALL_BEGINS):
        return _read_call(whole)
    fenced = _FENCE.match(whole)
    said = _object(fenced[1] if fenced else whole)
    return _as_call(said) if "name" in said else _as_answer(said)


def read_call(name: object, arguments: object) -> SaidCall:
    """A call whose parts a server has taken apart already; `arguments` is JSON text, as it sends them, or an object.

    :raises BadOutput: the arguments are no JSON object.
    """
    if isinstance(arguments, str):
        arguments = _object(arguments or "{}")
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        raise BadOutput("the model's function call has no name or no arguments")
    return SaidCall(name=name, arguments=arguments)


def read_rewriting(text: str) -> str:
    """A whole output, where a rewritten follow-up was asked for: `{"question": "…"}`.

    :raises BadOutput: it is something else.
    """
    whole = text.strip()
    fenced = _FENCE.match(whole)
    said = _object(fenced[1] if fenced else whole)
    question = said.get("question")
    if set(said) != {"question"} or not isinstance(question, str):
        raise BadOutput("the model's JSON is not a question")
    return question


def _as_answer(said: Mapping[str, Any]) -> SaidAnswer:
    response, confidence = said.get("response"), said.get("confidence")
    if set(said) != {"response", "confidence"} or not isinstance(response, str):
        raise BadOutput("the model's JSON is not an answer")
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not math.isfinite(confidence):
        raise BadOutput("the model's confidence is not a number")
    return SaidAnswer(text=response, confidence=min(max(float(confidence), 0.0), 1.0))


def _read_call(text: str) -> SaidCall:
    # A second call would make this no JSON; the tag inside an argument is the customer's, or chance.
    if not text.endswith(CALL_ENDS):
        raise BadOutput("the model's function call is not whole")
    return _as_call(_object(text[len(CALL_BEGINS) : -len(CALL_ENDS)]))


def _as_call(said: Mapping[str, Any]) -> SaidCall:
    if set(said) != {"name", "arguments"}:
        raise BadOutput("the model's function call has no name or no arguments")
    return read_call(said["name"], said["arguments"])


def _object(text: str) -> dict[str, Any]:
    try:
        found = from_json(text.encode(), allow_inf_nan=False)
        # Only now, because it has no limit of its own to how deep an object may be.
        json.loads(text, object_pairs_hook=_refuse_repeats, parse_float=_finite)
    except ValueError as error:
        # The parser's words name a place in the text and quote nothing of it.
        raise BadOutput(f"the model's output is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadOutput("the model's output is no JSON object")
    return found


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> None:
    """A key that stands twice has two values, and which of them was meant is anybody's guess."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise BadOutput("the model's output says one thing twice")


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise BadOutput("the model's output holds a number without end")
    return value


def _response_so_far(text: str) -> str:
    """The growing answer; "" while there is none. An escape that is not whole yet, or half a surrogate pair, waits."""
    begun = text.lstrip()
    if begun.startswith("```"):
        _, _, begun = begun.partition("\n")
    if not begun.startswith("{"):
        return ""
    try:
        said = from_json(begun.encode(), allow_partial="trailing-strings", allow_inf_nan=False)
    except ValueError:
        return ""
    response = said.get("response", "")
    return response if isinstance(response, str) else ""
