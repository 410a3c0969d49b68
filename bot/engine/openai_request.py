"""A request to an OpenAI-compatible server, in the strongest form that the server takes. Pure.

What is asked for is one of two things: the JSON of an answer, or one call of a function. Servers differ in how they
take `response_format` (a schema for the text) and `tools` together:

| server | both given, `tool_choice` "auto" | where it says so |
| --- | --- | --- |
| OpenAI | the schema binds the text only; the model may call instead | vllm-project/vllm#39929 describes it |
| vLLM | the schema binds everything, so that no tool can be called: `tool_calls` stays empty, without an error | \
vllm-project/vllm#39929, #56086 (open); 0.32 lets both through for functions marked strict \
(`Parser._apply_structural_tag`) |
| vLLM without `--enable-auto-tool-choice` | 400; with "none" the functions are shown to the model all the same | \
`renderers/online_renderer.py` of 0.32 |
| Ollama | as vLLM: the schema wins | ollama/ollama#8095, #13750 (0.14, 0.16) |
| llama.cpp's server | a grammar of its own allows either; a custom `grammar` with tools is a 400; without `--jinja` \
tools are a 500 | `common_chat_params_init_generic` in common/chat.cpp; tools/server/utils |
| DashScope (Model Studio) | "json_object" for most Qwen models, "json_schema" for some of qwen-plus; the prompt has \
to hold the word JSON | help.aliyun.com/zh/model-studio/json-mode |

A vLLM server gets the structural tag that its engine gets in this process (`bot.engine.grammar`), with `tool_choice`
"none": then it leaves the output as the model wrote it.

For all others the schema allows both: an answer, or `{"name", "arguments"}` of a declared function. Where the schema
binds everything, the model still can call, and `bot.engine.output` reads it; where it binds the text only, the call
comes natively. What a server refuses is left out, one thing at a time (`Form.weaker`).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.engine.grammar import longest_answer, output_tag, rewriting_tag
from bot.engine.rewriting import MAX_CHARS, MAX_TOKENS, messages_of
from bot.errors import SettingsError
from bot.messages import FollowUp, FunctionSpec


class Constraint(enum.IntEnum):
    """What the server is told of the output's form, the weakest first."""

    NONE = 0
    """Only what the prompt says."""
    OBJECT = 1
    """Any JSON object."""
    SCHEMA = 2
    """An answer or a call, as JSON Schema."""
    GRAMMAR = 3
    """The same as a structural tag (`bot.engine.grammar`), in which calls have Qwen's form; only for a server that says
    that it is vLLM, because others would pass the field over."""


class Tools(enum.IntEnum):
    """How functions are handed over, the weakest first."""

    NONE = 0
    """Not at all: the model can only answer."""
    SHOWN = 1
    """`tool_choice` "none": the model reads of them and writes a call as text, which we read."""
    CALLED = 2
    """`tool_choice` "auto": the server takes calls out of the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a generation is about, whatever the server can."""

    model: str
    messages: Sequence[dict[str, str]]
    tools: Sequence[dict[str, Any]] = ()
    functions: Sequence[FunctionSpec] = ()
    max_chars: int
    """Of an answer, or of a rewritten question."""
    rewriting: bool = False
    """Not an answer is asked for but a follow-up rewritten: `{"question": …}`."""
    temperature: float
    top_p: float
    max_tokens: int


def rewriting_of(followup: FollowUp, *, model: str) -> Ask:
    """What asks for a follow-up to be rewritten."""
    return Ask(
        model=model,
        messages=messages_of(followup),
        max_chars=MAX_CHARS,
        rewriting=True,
        temperature=0.0,
        top_p=1.0,
        max_tokens=MAX_TOKENS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What of the API is used."""

    constraint: Constraint = Constraint.SCHEMA
    tools: Tools = Tools.CALLED
    logprobs: bool = True
    usage: bool = True

    def weaker(self, refusal: str, *, with_tools: bool) -> Form | None:
        """The next form to try after a refusal; None when nothing is left to leave out.

        What the refusal names goes first; otherwise whatever costs an answer least: figures, then the output's form,
        then functions.

        :param refusal: the server's words. They are looked at and kept nowhere.
        :param with_tools: whether functions were part of the request.
        """
        ways = [
            ("logprob", replace(self, logprobs=False) if self.logprobs else None),
            ("stream_options|include_usage", replace(self, usage=False) if self.usage else None),
            (
                "response_format|json_schema|json_object|schema|structured|grammar|guided",
                replace(self, constraint=Constraint(self.constraint - 1)) if self.constraint else None,
            ),
            ("tool|function|jinja", replace(self, tools=Tools(self.tools - 1)) if self.tools and with_tools else None),
        ]
        possible = [(words, form) for words, form in ways if form is not None]
        named = [form for words, form in possible if re.search(words, refusal, re.IGNORECASE)]
        return next(iter(named + [form for _, form in possible]), None)

    def without_more_than(self, other: Form) -> Form:
        """What both have: two generations may have met refusals at the same time."""
        return Form(
            constraint=min(self.constraint, other.constraint),
            tools=min(self.tools, other.tools),
            logprobs=self.logprobs and other.logprobs,
            usage=self.usage and other.usage,
        )

    def described(self) -> str:
        """For operators, e.g. "constraint object, tools called, no logprobs"."""
        said = [f"constraint {self.constraint.name.lower()}", f"tools {self.tools.name.lower()}"]
        said += [f"no {name}" for name, there in (("logprobs", self.logprobs), ("usage", self.usage)) if not there]
        return ", ".join(said)

    def body(self, ask: Ask) -> dict[str, Any]:
        """The request's JSON."""
        try:
            constraint = self._constraint(ask)
        except SettingsError:
            # Arguments of a form that the tag has no words for; a schema has.
            return replace(self, constraint=Constraint.SCHEMA).body(ask)
        body: dict[str, Any] = {
            "model": ask.model,
            "messages": list(ask.messages),
            "stream": True,
            "temperature": ask.temperature,
            "top_p": ask.top_p,
            "max_tokens": ask.max_tokens,
        }
        if self.usage:
            body["stream_options"] = {"include_usage": True}
        if self.logprobs:
            body["logprobs"] = True
        called = self.tools is Tools.CALLED and self.constraint is not Constraint.GRAMMAR
        # Where the server itself takes calls, nothing but silence keeps a model from those that are withheld.
        if self.tools and (tools := _callable(ask) if called else ask.tools):
            body["tools"] = list(tools)
            body["tool_choice"] = "auto" if called else "none"
        return body | constraint

    def _constraint(self, ask: Ask) -> dict[str, Any]:
        functions = ask.functions if self.tools else ()
        match self.constraint:
            case Constraint.GRAMMAR:
                return {"structured_outputs": {"structural_tag": _tag(ask, functions)}}
            case Constraint.SCHEMA:
                wanted = _REWRITING if ask.rewriting else output_schema(functions)
                schema = {"name": "output", "strict": True, "schema": wanted}
                return {"response_format": {"type": "json_schema", "json_schema": schema}}
            case Constraint.OBJECT:
                return {"response_format": {"type": "json_object"}}
            case Constraint.NONE:
                return {}


def _tag(ask: Ask, functions: Sequence[FunctionSpec]) -> str:
    if ask.rewriting:
        return rewriting_tag(ask.max_chars)
    return output_tag(functions, max_chars=longest_answer(ask.max_chars, ask.max_tokens))


def _callable(ask: Ask) -> list[dict[str, Any]]:
    withheld = {spec.name for spec in ask.functions if spec.withheld}
    return [tool for tool in ask.tools if tool["function"]["name"] not in withheld]


def output_schema(functions: Sequence[FunctionSpec]) -> dict[str, Any]:
    """Everything a model may say, as JSON Schema: an answer, or one call of a function that is not withheld."""
    answer = _object({"response": {"type": "string"}, "confidence": {"type": "number"}})
    functions = [spec for spec in functions if not spec.withheld]
    if not functions:
        return answer
    definitions: dict[str, Any] = {}
    calls = []
    for spec in functions:
        parameters = dict(spec.parameters)
        # References in a schema start at its root, which is ours now.
        definitions |= parameters.pop("$defs", {})
        calls.append(_object({"name": {"type": "string", "enum": [spec.name]}, "arguments": parameters}))
    schema: dict[str, Any] = {"anyOf": [answer, *calls]}
    return schema | ({"$defs": definitions} if definitions else {})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_REWRITING = _object({"question": {"type": "string"}})

_TOO_LONG = re.compile(r"context[ _]?(?:length|size|window)|maximum context|prompt is too long", re.IGNORECASE)


def is_about_length(refusal: str) -> bool:
    """The prompt does not fit the server's context: no form of the request would."""
    return _TOO_LONG.search(refusal) is not None
