"""A strict fake of OpenAI's chat completions over real HTTP, streaming only what a test has written down.

    async with FakeOpenAI(Said('{"response": "八元", "confidence": 0.9}')) as server:
        engine = OpenAIEngine(ModelSettings(backend="openai", base_url=server.url, name=server.model), …)

Each completion takes the next of `server.answers`; the last one stays. Strict means: a request that the API's
reference does not describe is a 400 in the API's own form, a wrong key a 401, another model a 404. `refuses` takes
single features away, as servers do that speak only a part of the API.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from aiohttp import web

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function call of the model's."""

    name: str
    arguments: str
    """As the model wrote it: JSON text, or what should have been."""
    id: str = "call_1"


@dataclass(frozen=True, slots=True)
class Said:
    """One streamed reply."""

    text: str = ""
    calls: Sequence[Call] = ()
    size: int = 7
    """Characters of the text, or of a call's arguments, in one event."""
    bytes_per_write: int = 0
    """The stream is cut anywhere into writes of so many bytes; 0 writes an event at once."""
    first: float = 0.0
    """Seconds before the first event."""
    pause: float = 0.0
    """Seconds between two."""
    hang_after: int | None = None
    """After so many events nothing comes any more, and the connection stays open."""
    break_after: int | None = None
    """After so many bytes the connection is cut."""
    finish: str = ""
    """ "" is "stop", or "tool_calls"."""
    usage: tuple[int, int] | None = (100, 20)
    """Prompt and output tokens, if the request asks for them."""
    logprob: float = -0.25
    """Of every token, if the request asks for it."""
    done: bool = True
    """Whether the stream ends with its mark."""
    line_end: str = "\n"
    comments: bool = False
    """Keep-alive comments between the events, as proxies send them."""
    pings: int = 0
    """As many of them before the first event, one every tenth of a second."""


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes as they are, with status 200."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """An error, with the API's body around the message."""

    status: int
    message: str = "it went wrong"
    code: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    """Instead of the API's form."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Takes the request and says nothing, not even a status."""


Answer: TypeAlias = Said | Raw | Failed | Hang
Answers: TypeAlias = Answer | Callable[[Json], Answer]

FEATURES = {
    "grammar": lambda body: "structured_outputs" in body,
    "logprobs": lambda body: "logprobs" in body,
    "stream_options": lambda body: "stream_options" in body,
    "json_schema": lambda body: body.get("response_format", {}).get("type") == "json_schema",
    "json_object": lambda body: body.get("response_format", {}).get("type") == "json_object",
    "tools": lambda body: "tools" in body,
    "auto": lambda body: body.get("tool_choice") == "auto",
}
"""What can be refused by itself."""

_WORDS = {
    "grammar": "Invalid grammar specification",
    "logprobs": "logprobs is not supported",
    "stream_options": "unknown field stream_options",
    "json_schema": "This response_format type is unavailable now",
    "json_object": "'response_format' of type 'json_object' is not supported with this model",
    "tools": "this model does not support tools",
    "auto": '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
}


class FakeOpenAI:
    """The fake, as an async context manager. Answers can be exchanged at any time."""

    def __init__(self, *answers: Answers, model: str = "qwen-test", key: str = "", max_model_len: int = 0) -> None:
        self.answers: list[Answers] = list(answers)
        self.model = model
        self.key = key
        self.max_model_len = max_model_len
        """As vLLM lists it; 0 leaves it out."""
        self.owned_by = "fake"
        """Who it says it is; "vllm" takes vLLM's own fields as well."""
        self.refuses: set[str] = set()
        self.wordless = False
        """Refusals do not say what they refuse."""
        self.lists_models = True
        self.down = 0
        """The status of everything while it is not 0."""
        self.requests: list[Json] = []
        """The bodies of completions that were well-formed, refused features or not."""
        self.malformed: list[str] = []
        """What was wrong with the others."""
        self.probes = 0
        self.words = 0
        """Completions that were not streamed: the engine's own tries."""
        self.peers: set[Any] = set()
        """The connections that completions came by."""
        self.running = 0
        self.disconnects = 0
        """Completions whose reader went away."""
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hang_up()

    async def listen(self) -> None:
        """On a free port, and on the same one again after `hang_up`."""
        application = web.Application(client_max_size=16 * 2**20)
        application.router.add_post("/v1/chat/completions", self._complete)
        application.router.add_get("/v1/models", self._models)
        # A reader that goes away ends the handler, as it ends the work in a real server.
        self._runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.5, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def hang_up(self) -> None:
        """Ends every connection; nobody listens any more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    async def until(self, condition: Callable[[], bool], *, seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)

    # -- Routes --

    async def _models(self, request: web.Request) -> web.StreamResponse:
        self.probes += 1
        if refused := self._refused_at_all(request):
            return refused
        if not self.lists_models:
            return _error(Failed(404, "no such route"))
        card: Json = {"id": self.model, "object": "model", "created": 1, "owned_by": self.owned_by}
        if self.max_model_len:
            card["max_model_len"] = self.max_model_len
        return web.json_response({"object": "list", "data": [card]})

    def _refused_at_all(self, request: web.Request) -> web.Response | None:
        if self.down:
            return _error(Failed(self.down))
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return _error(Failed(401, "Incorrect API key provided", "invalid_api_key"))
        return None

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        if refused := self._refused_at_all(request):
            return refused
        try:
            body = json.loads(await request.read())
        except ValueError:
            return _error(Failed(400, "We could not parse the JSON body of your request."))
        if problem := problem_of(body, vllm=self.owned_by == "vllm"):
            self.malformed.append(problem)
            return _error(Failed(400, problem, "invalid_request_error"))
        if body["model"] != self.model:
            return _error(Failed(404, f"The model `{body['model']}` does not exist", "model_not_found"))
        if not body.get("stream"):
            return await self._one_word()
        self.requests.append(body)
        self.peers.add(request.transport.get_extra_info("peername") if request.transport else None)
        for name in FEATURES:
            if name in self.refuses and FEATURES[name](body):
                return _error(Failed(400, "Bad request" if self.wordless else _WORDS[name]))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.running += 1
        try:
            return await self._answer(request, body, answer(body) if callable(answer) else answer)
        except (asyncio.CancelledError, ConnectionError):
            self.disconnects += 1
            raise
        finally:
            self.running -= 1

    async def _one_word(self) -> web.StreamResponse:
        """The engine's own try of one token. It hangs or fails as the next completion would."""
        self.words += 1
        answer = self.answers[0]
        if isinstance(answer, Hang):
            await asyncio.sleep(60)
        if isinstance(answer, Failed):
            return _error(answer)
        choice = {"index": 0, "message": {"role": "assistant", "content": "1"}, "finish_reason": "length"}
        return web.json_response({"id": "chatcmpl-0", "object": "chat.completion", "choices": [choice]})

    async def _answer(self, request: web.Request, body: Json, answer: Answer) -> web.StreamResponse:
        if isinstance(answer, Hang):
            await asyncio.sleep(60)
        if isinstance(answer, Failed):
            return _error(answer)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        if isinstance(answer, Raw):
            await response.write(answer.body)
            return response
        sent = 0
        async for piece in _stream(answer, body):
            if answer.break_after is not None and sent + len(piece) > answer.break_after:
                await response.write(piece[: answer.break_after - sent])
                assert request.transport is not None
                request.transport.abort()
                return response
            await response.write(piece)
            sent += len(piece)
        return response


async def _stream(said: Said, body: Json) -> AsyncIterator[bytes]:
    await asyncio.sleep(said.first)
    for _ in range(said.pings):
        yield b": keep-alive\n\n"
        await asyncio.sleep(0.1)
    events = [json.dumps(chunk, ensure_ascii=False) for chunk in chunks_of(said, body)]
    for number, event in enumerate(events + ["[DONE]"] * said.done):
        if number == said.hang_after:
            await asyncio.sleep(60)
        text = f": keep-alive{said.line_end * 2}" if said.comments else ""
        text += f"data: {event}{said.line_end * 2}"
        raw = text.encode()
        step = said.bytes_per_write or len(raw)
        for start in range(0, len(raw), step):
            yield raw[start : start + step]
        if said.pause:
            await asyncio.sleep(said.pause)


def chunks_of(said: Said, body: Json) -> list[Json]:
    """The events of a reply, in the API's form."""
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": said.text[at : at + said.size]} for at in range(0, len(said.text), said.size)]
    for index, call in enumerate(said.calls):
        function = {"name": call.name, "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]})
        for at in range(0, len(call.arguments), said.size):
            piece = {"index": index, "function": {"arguments": call.arguments[at : at + said.size]}}
            deltas.append({"tool_calls": [piece]})
    finish = said.finish or ("tool_calls" if said.calls else "stop")
    choices: list[Json] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    if body.get("logprobs"):
        for choice in choices:
            if text := choice["delta"].get("content"):
                token = {"token": text, "logprob": said.logprob, "bytes": None, "top_logprobs": []}
                choice["logprobs"] = {"content": [token]}
    chunks = [{**_HEAD, "model": body["model"], "choices": [choice]} for choice in choices]
    if said.usage and body.get("stream_options", {}).get("include_usage"):
        prompt, output = said.usage
        usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
        chunks.append({**_HEAD, "model": body["model"], "choices": [], "usage": usage})
    return chunks


_HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1}


def _error(failed: Failed) -> web.Response:
    if failed.body is not None:
        return web.Response(status=failed.status, body=failed.body, headers=dict(failed.headers))
    error = {"message": failed.message, "type": "invalid_request_error", "param": None, "code": failed.code}
    return web.json_response({"error": error}, status=failed.status, headers=dict(failed.headers))


# -- What a request may be --

_FIELDS: dict[str, Callable[[Any], bool]] = {
    "model": lambda value: isinstance(value, str) and value != "",
    "messages": lambda value: isinstance(value, list) and value != [] and all(map(_is_message, value)),
    "stream": lambda value: isinstance(value, bool),
    "stream_options": lambda value: set(value) == {"include_usage"} and isinstance(value["include_usage"], bool),
    "temperature": lambda value: isinstance(value, int | float) and 0 <= value <= 2,
    "top_p": lambda value: isinstance(value, int | float) and 0 < value <= 1,
    "max_tokens": lambda value: isinstance(value, int) and value > 0,
    "logprobs": lambda value: isinstance(value, bool),
    "tools": lambda value: isinstance(value, list) and value != [] and all(map(_is_tool, value)),
    "tool_choice": lambda value: value in ("auto", "none"),
    "response_format": lambda value: _is_format(value),
}

_FIELDS_OF_VLLM: dict[str, Callable[[Any], bool]] = {
    "structured_outputs": lambda value: json.loads(value["structural_tag"])["type"] == "structural_tag",
}


def problem_of(body: Any, *, vllm: bool = False) -> str:
    """What the API's reference does not allow; "" for nothing."""
    if not isinstance(body, dict) or not {"model", "messages"} <= set(body):
        return "you must provide a model and messages"
    fields = _FIELDS | (_FIELDS_OF_VLLM if vllm else {})
    for name, value in body.items():
        if name not in fields:
            return f"Unrecognized request argument supplied: {name}"
        if not fields[name](value):
            return f"Invalid value for '{name}'"
    if "stream_options" in body and not body.get("stream"):
        return "The 'stream_options' parameter is only allowed when 'stream' is enabled"
    if ("tool_choice" in body) != ("tools" in body):
        return "'tool_choice' is only allowed when 'tools' are specified"
    if (
        body.get("response_format", {}).get("type") == "json_object"
        and "json" not in json.dumps(body["messages"]).lower()
    ):
        return "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'"
    return ""


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"role", "content"}
        and value["role"] in ("system", "user", "assistant")
        and isinstance(value["content"], str)
    )


def _is_tool(value: Any) -> bool:
    function = value.get("function", {})
    return (
        set(value) == {"type", "function"}
        and value["type"] == "function"
        and set(function) == {"name", "description", "parameters"}
        and function["parameters"].get("type") == "object"
    )


def _is_format(value: Any) -> bool:
    if value == {"type": "json_object"}:
        return True
    schema = value.get("json_schema", {})
    return (
        set(value) == {"type", "json_schema"}
        and value["type"] == "json_schema"
        and {"name", "schema"} <= set(schema) <= {"name", "schema", "strict", "description"}
        and isinstance(schema["schema"], dict)
    )
