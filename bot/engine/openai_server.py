"""The HTTP side of an OpenAI-compatible server. Every failure is an EngineError whose words an operator may read.

What a server says in an error is looked at for what it refuses, and goes nowhere else: it may quote the prompt.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.engine.openai_request import is_about_length
from bot.engine.openai_standing import DEFAULT_REST_SECONDS, ServerTrouble
from bot.errors import BadOutput, EngineTimeout, EngineUnavailable
from bot.ports import Clock

CONNECT_SECONDS = 5.0
MAX_ERROR_BYTES = 8192
"""As much of an error is looked at."""
MAX_LIST_BYTES = 4 * 1_048_576
"""A list of models longer than this is not read; hosted servers have hundreds."""

_T = TypeVar("_T")


class RequestRefused(Exception):
    """The server understands us and does not take this form of the request (400, 422 and kin)."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.words = words
        """The server's own; for deciding what to leave out, never for logs or readers."""


class PromptRefused(BadOutput):
    """This prompt gets no answer there, however it is asked. Other prompts may."""


class OfferedModel(BaseModel):
    """One entry of the server's list of models."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    id: str
    owned_by: str = ""
    """ "vllm" where a vLLM server speaks, and through its own router."""
    max_model_len: int | None = Field(default=None, gt=0)
    """The longest prompt and output together, in tokens; vLLM says it."""


class _OfferedModels(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    data: tuple[OfferedModel, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the server is waited for, in seconds."""

    first: float = 30.0
    """From the request to the first sign of an output."""
    silence: float = 15.0
    """Between two signs."""
    figures: float = 2.0
    """After the output's end, for the figures that follow it."""
    hanging_up: float = 0.1
    """After the stream's last mark, for the connection to be free again; else it is cut."""
    slot: float = 5.0
    """In the queue of `model.max_concurrency`."""
    probe: float = 5.0
    """For the answer to a probe."""
    probe_while_up: float = 30.0
    probe_while_down: float = 10.0


class Watch:
    """The time limits of one request."""

    def __init__(self, clock: Clock, patience: Patience, deadline: float) -> None:
        self._clock = clock
        self._deadline = deadline
        self._until = clock.monotonic() + patience.first

    def allow(self, seconds: float) -> None:
        """The next sign may take so long from now on."""
        self._until = self._clock.monotonic() + seconds

    async def wait(self, what: Awaitable[_T]) -> _T:
        """
        :raises ServerSilent: the server has said nothing for too long.
        :raises EngineTimeout: the generation takes too long altogether.
        """
        now = self._clock.monotonic()
        silent = self._until <= self._deadline
        try:
            async with asyncio.timeout(max(min(self._until, self._deadline) - now, 0.0)):
                return await what
        except TimeoutError:
            if silent:
                raise ServerSilent("the model server takes the request and says nothing") from None
            raise EngineTimeout("the generation took longer than model.timeout_seconds") from None


class ServerSilent(EngineTimeout):
    """It hangs: other requests would wait as long."""


class ModelServer:
    """One server's `/chat/completions` and `/models`."""

    def __init__(self, base_url: str, api_key: str, *, clock: Clock) -> None:
        self._base_url = base_url
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._streaming: set[aiohttp.ClientResponse] = set()

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            # The engine bounds its own work; its limits stand in `Patience`.
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        )

    async def close(self) -> None:
        """Ends every connection, also those that are being read."""
        session, self._session = self._session, None
        for response in self._streaming:
            # A session that is closed does not wake who waits for the next piece.
            response.content.set_exception(aiohttp.ClientConnectionError("closed by us"))
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def generation(self, body: dict[str, Any], watch: Watch) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of a streamed completion. Leaving it before their end hangs up, so that the server stops working.

        :raises RequestRefused: this form of the request is not taken.
        :raises PromptRefused: the prompt does not fit the server's context.
        :raises EngineUnavailable: it can not be reached, or refuses everything for now.
        :raises EngineTimeout: as the watch says.
        """
        response = await watch.wait(self._request("POST", "/chat/completions", json=body))
        self._streaming.add(response)
        try:
            if response.status != 200:
                await watch.wait(self._refuse(response))
            async with aclosing(self._pieces(response, watch)) as pieces:
                yield pieces
        finally:
            self._streaming.discard(response)
            # A connection whose answer was read to its end is kept for the next by then; any other is cut.
            response.close()

    async def _pieces(self, response: aiohttp.ClientResponse, watch: Watch) -> AsyncGenerator[bytes, None]:
        while piece := await watch.wait(_translated(response.content.readany())):
            yield piece

    async def models(self) -> tuple[OfferedModel, ...] | None:
        """What the server offers; None if it does not say (some routers have no such list).

        :raises EngineUnavailable: it can not be reached, or does not accept the key.
        """
        with closing(await self._request("GET", "/models")) as response:
            if response.status in (404, 405, 501):
                return None
            if response.status != 200:
                raise _trouble(response.status, self._rest(response))
            raw = await _translated(_read(response, MAX_LIST_BYTES))
        try:
            return _OfferedModels.model_validate_json(raw).data
        except ValidationError:
            raise ServerTrouble(
                "what answers at model.base_url is no server of this API (its /models is something else)"
            ) from None

    async def say_one_word(self, model: str) -> None:
        """A generation of one token, which proves what a list of models does not.

        :raises EngineUnavailable: it does not generate.
        """
        body = {"model": model, "messages": [{"role": "user", "content": "1"}], "max_tokens": 1}
        with closing(await self._request("POST", "/chat/completions", json=body)) as response:
            if response.status != 200:
                raise _trouble(response.status, self._rest(response))
            await _translated(_read(response, MAX_ERROR_BYTES))

    async def _request(self, method: str, path: str, **options: Any) -> aiohttp.ClientResponse:
        if self._session is None:
            raise EngineUnavailable("the connection to the model server is closed")
        # A redirect would take the key and the prompt somewhere else.
        request = self._session.request(method, f"{self._base_url}{path}", allow_redirects=False, **options)
        return await _translated(request)

    async def _refuse(self, response: aiohttp.ClientResponse) -> None:
        words = (await _translated(_read(response, MAX_ERROR_BYTES))).decode("utf-8", "replace")
        status = response.status
        if status in (400, 413, 422) and is_about_length(words):
            raise PromptRefused(
                "the prompt does not fit the model server's context: set model.max_model_len to its size"
            )
        # llama.cpp's server answers 500 to functions that it was not started for.
        if status in (400, 422, 501) or (status == 500 and "--jinja" in words):
            raise RequestRefused(status, words)
        raise _trouble(status, self._rest(response))

    def _rest(self, response: aiohttp.ClientResponse) -> float | None:
        return seconds_to_rest(response.status, response.headers.get("Retry-After", ""), self._clock.now())


def found(models: Sequence[OfferedModel], name: str) -> OfferedModel | None:
    """The model of this name in a server's list. Ollama lists "qwen2.5" as "qwen2.5:latest"."""
    return next((model for model in models if model.id in (name, f"{name}:latest")), None)


def seconds_to_rest(status: int, retry_after: str, now: datetime) -> float | None:
    """How long a server asks to be left alone (a number of seconds or a date); None if it does not."""
    if status not in (429, 503):
        return None
    try:
        return max(float(int(retry_after)), 0.0)
    except ValueError:
        pass
    try:
        return max((parsedate_to_datetime(retry_after) - now).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return DEFAULT_REST_SECONDS if status == 429 else None


def _trouble(status: int, rest: float | None) -> ServerTrouble:
    match status:
        case 401 | 403:
            return ServerTrouble(f"the model server refuses the key ({status}): look at model.api_key")
        case 404:
            return ServerTrouble("the model server knows no such model or address: look at model.name, model.base_url")
        case 429:
            return ServerTrouble("the model server has too much to do (429)", rest=rest)
        case _ if 300 <= status < 400:
            return ServerTrouble(f"the model server is somewhere else ({status}): look at model.base_url")
        case _:
            return ServerTrouble(f"the model server fails with status {status}", rest=rest)


async def _translated(request: Awaitable[_T]) -> _T:
    try:
        return await request
    except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError):
        raise ServerTrouble("the model server can not be reached: look at model.base_url") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # The kind only: the library's words may hold the address with what an operator put into it.
        raise ServerTrouble(f"the connection to the model server broke ({type(error).__name__})") from None


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """At most `most` bytes of a body."""
    body = b""
    while len(body) < most and (piece := await response.content.read(most - len(body))):
        body += piece
    return body
