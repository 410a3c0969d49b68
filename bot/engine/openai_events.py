"""What an OpenAI-compatible server streams: bytes become events, and events the reply they add up to. Pure.

The form is that of OpenAI's `chat.completion.chunk` (https://platform.openai.com/docs/api-reference/chat-streaming),
carried by server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).
What a server adds to it is passed over.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.engine.output import CALL_BEGINS, MAX_CHARS, OutputReader, SaidAnswer, SaidCall, read_call
from bot.errors import BadOutput, EngineUnavailable

MAX_EVENT_BYTES = 1_048_576
"""An event longer than this is none of this API: one carries a token or two, or at most a whole call."""

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DONE = b"[DONE]"


class EventStream:
    """Takes a stream's bytes in pieces of any size, cut anywhere, and gives the data of every event that is whole.

    Lines are told apart as bytes: no line end is part of another character in UTF-8, so a character that is cut in two
    is whole again when its line is.
    """

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._size = 0
        self._after_return = False
        self._begun = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of the events that end in this piece.

        :raises EngineUnavailable: an event does not end.
        """
        if self._after_return and piece:
            # A line end may itself be cut in two.
            piece = piece.removeprefix(b"\n")
            self._after_return = False
        self._size += len(piece)
        *ended, rest = _LINE_END.split(piece)
        events = []
        for tail in ended:
            line = b"".join([*self._line, tail])
            self._line = []
            event = self._end_line(line)
            if event is not None:
                events.append(event)
        if ended:
            self._after_return = piece.endswith(b"\r")
            self._size = len(rest) + sum(map(len, self._data))
        if rest:
            self._line.append(rest)
        if self._size > MAX_EVENT_BYTES:
            raise EngineUnavailable("the model server's stream has an event that does not end")
        return events

    def _end_line(self, line: bytes) -> bytes | None:
        """An empty line ends an event; comments and fields other than data say nothing here."""
        if not self._begun:
            self._begun, line = True, line.removeprefix(_BYTE_ORDER_MARK)
        if line:
            field, _, value = line.partition(b":")
            if field == b"data":
                self._data.append(value.removeprefix(b" "))
            return None
        event = b"\n".join(self._data)
        self._data = []
        return event or None


class _Piece(BaseModel):
    """A part of an event. Types are held to; what is not named here is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class CalledFunction(_Piece):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class CallPiece(_Piece):
    index: int | None = None
    id: str | None = None
    function: CalledFunction | None = None


class Words(_Piece):
    """What a message grows by."""

    content: str | None = None
    tool_calls: list[CallPiece] | None = None
    reasoning_content: str | None = None
    """A thinking model's thoughts, as vLLM and DashScope name them. They show that it works, and are not kept."""
    reasoning: str | None = None
    """The same, as Ollama and newer vLLM name them."""


class TokenLogprob(_Piece):
    logprob: float


class Logprobs(_Piece):
    content: list[TokenLogprob] | None = None


class Choice(_Piece):
    index: int = 0
    delta: Words | None = None
    logprobs: Logprobs | None = None
    finish_reason: str | None = None


class PromptTokens(_Piece):
    cached_tokens: int | None = Field(default=None, ge=0)


class Usage(_Piece):
    """Tokens, as the server counts them."""

    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)
    prompt_tokens_details: PromptTokens | None = None

    @property
    def cached_tokens(self) -> int:
        """Of the prompt's, those found in the server's prefix cache; 0 where it does not say."""
        return (self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens) or 0


class Chunk(_Piece):
    """One event."""

    choices: list[Choice] = []
    usage: Usage | None = None
    error: Any = None
    """vLLM and llama.cpp report a failure in the middle of a stream so; its words may quote the prompt."""

    @property
    def moves(self) -> bool:
        """Whether the model has got on with it. A first event that only names the role does not say so."""
        return self.usage is not None or any(
            choice.finish_reason
            or (
                choice.delta is not None
                and (
                    choice.delta.content
                    or choice.delta.tool_calls
                    or choice.delta.reasoning_content
                    or choice.delta.reasoning
                )
            )
            for choice in self.choices
        )


def read_chunk(event: bytes) -> Chunk | None:
    """One event's data; None for the mark after the last.

    :raises EngineUnavailable: it is not of this API, or the server reports that it has failed.
    """
    if event.strip() == _DONE:
        return None
    try:
        chunk = Chunk.model_validate_json(event)
    except ValidationError:
        raise EngineUnavailable("the model server's stream is not of the API's form") from None
    if chunk.error is not None:
        raise EngineUnavailable("the model server failed in the middle of its output")
    return chunk


class ReplyReader:
    """Adds up one reply."""

    def __init__(self) -> None:
        self._content = OutputReader()
        self._calls: dict[int, _GrowingCall] = {}
        self._logprobs = 0.0
        self._logprob_count = 0
        self.finished = ""
        """The server's word for how the output ended; "" while it has not."""
        self.usage: Usage | None = None

    @property
    def text(self) -> str:
        """The content so far."""
        return self._content.text

    @property
    def logprob(self) -> float | None:
        """The mean log-probability of the content's tokens; None where the server tells none."""
        return self._logprobs / self._logprob_count if self._logprob_count else None

    def feed(self, chunk: Chunk) -> str | None:
        """The answer's text so far if this event made it longer.

        :raises BadOutput: it is longer than anything that was asked for, or a call has two names.
        """
        if chunk.usage is not None:
            self.usage = chunk.usage
        snapshot = None
        for choice in chunk.choices:
            if choice.index != 0:
                continue
            self.finished = choice.finish_reason or self.finished
            for token in (choice.logprobs and choice.logprobs.content) or ():
                self._logprobs += token.logprob
                self._logprob_count += 1
            if choice.delta is None:
                continue
            for piece in choice.delta.tool_calls or ():
                self._grow_call(piece)
            if choice.delta.content:
                snapshot = self._content.feed(choice.delta.content) or snapshot
        return snapshot

    def _grow_call(self, piece: CallPiece) -> None:
        index = piece.index if piece.index is not None else max(self._calls, default=0)
        call = self._calls.get(index)
        if call is not None and piece.id and call.id and piece.id != call.id:
            # Some servers send several whole calls, all of them as number 0 or without one.
            index, call = max(self._calls) + 1, None
        if call is None:
            call = self._calls[index] = _GrowingCall()
        call.grow(piece)

    def end(self) -> SaidAnswer | SaidCall:
        """The whole reply.

        :raises BadOutput: it was cut off, or is neither an answer nor a call, or more than one of them.
        """
        if self.finished == "length":
            raise OutputCutOff("the model's output was cut off at its greatest length (model.max_tokens)")
        if self.finished == "content_filter":
            raise OutputCutOff("the model server's own filter cut the output off")
        if not self._calls:
            return self._content.end()
        if len(self._calls) > 1:
            raise BadOutput("the model calls more than one function")
        # Words before a call ("one moment, please") are nobody's answer; an answer or a second call beside it is
        # something else than was asked for.
        if self._content.text.lstrip().startswith(("{", "```", CALL_BEGINS)):
            raise BadOutput("the model answers and calls a function")
        [call] = self._calls.values()
        return read_call(call.name, call.arguments)


class OutputCutOff(BadOutput):
    """There is no point in asking again: it would take as long and end the same way."""


class _GrowingCall:
    """One call, whose arguments come in pieces of JSON text."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self._text: list[str] = []
        self._size = 0
        self._object: dict[str, Any] | None = None

    @property
    def arguments(self) -> str | dict[str, Any]:
        return self._object if self._object is not None else "".join(self._text)

    def grow(self, piece: CallPiece) -> None:
        self.id = self.id or piece.id or ""
        if piece.function is None:
            return
        name, arguments = piece.function.name, piece.function.arguments
        if name and self.name and name != self.name:
            raise BadOutput("the model's function call has two names")
        self.name = self.name or name or ""
        if isinstance(arguments, dict):
            self._object = arguments
        elif arguments:
            self._text.append(arguments)
            self._size += len(arguments)
        if self._size > MAX_CHARS:
            raise BadOutput("the model's output does not end")
