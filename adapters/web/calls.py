"""The edge of an API call: reading a body within its limits, refusing in JSON, writing a stream of events."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from adapters.web.cors import Cors
from adapters.web.parsing import Refused, check_content_type
from adapters.web.streams import TooManyStreams
from bot.errors import StoreUnavailable
from bot.messages import ConversationRef, Reply
from bot.ports import Records

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
T = TypeVar("T")

_API_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_RETRY_STORE_SECONDS = 5
_RETRY_STREAMS_SECONDS = 10
_DEAD_PEER_MILLISECONDS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long each wait of the channel may take, in seconds."""

    ping: float = 15.0
    """Between two comments on an idle stream, so that proxies do not close it."""
    quiet: float = 120.0
    """Without a sign of the turn: the stream ends, and the reply comes as an event of the session."""
    shed: float = 1.0
    """For the one polite sentence to arrive when a message was over a limit."""
    body: float = 20.0
    """For a request's body to arrive."""
    write: float = 30.0
    """For one write to a client that does not read."""
    store: float = 15.0
    """For the store, beyond its own patience."""


def answering(handler: Handler, cors: Cors) -> Handler:
    """The handler, with every refusal as JSON and the headers that each answer of the API carries."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refused:
            return refusal(request, refused, cors)
        except StoreUnavailable:
            return refusal(
                request,
                Refused(503, "store_unavailable", "Nothing was kept; try again.", retry_after=_RETRY_STORE_SECONDS),
                cors,
            )
        except TooManyStreams:
            return refusal(
                request,
                Refused(503, "too_many_streams", "Too many open streams.", retry_after=_RETRY_STREAMS_SECONDS),
                cors,
            )

    return handle


def refusal(request: web.Request, refused: Refused, cors: Cors) -> web.Response:
    """{"error":{"code","message"}}, as on every route of the API."""
    headers = api_headers(request, cors)
    if refused.retry_after is not None:
        headers["Retry-After"] = str(refused.retry_after)
    body = {"error": {"code": refused.code, "message": str(refused)}}
    response = web.json_response(body, status=refused.status, headers=headers)
    if refused.status in (408, 413):
        # The rest of the body is still under way; reading it all would be the work that was just refused.
        response.force_close()
    return response


def api_headers(request: web.Request, cors: Cors) -> dict[str, str]:
    return {**_API_HEADERS, **cors.headers(request)}


async def read_body(request: web.Request, *, limit: int, seconds: float) -> bytes:
    """The whole body, decompressed.

    :raises Refused: 415, 413 over `limit` bytes, 408 when it takes too long, 400 when it breaks off.
    """
    check_content_type(request.headers.get("Content-Type", ""))
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError as error:
        raise Refused(408, "slow_body", "The body took too long to arrive.") from error
    except (HttpProcessingError, web.RequestPayloadError) as error:
        raise Refused(400, "body", "The body can not be read.") from error
    return bytes(body)


async def limited(work: Awaitable[T], *, seconds: float) -> T:
    """The store's answer.

    :raises StoreUnavailable: also when the store does not answer in that time.
    """
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as error:
        raise StoreUnavailable("no answer in time") from error


async def replies_after(
    records: Records, conversation: ConversationRef, after: int, *, seconds: float
) -> AsyncIterator[tuple[int, Reply]]:
    """Everything said to the conversation after that delivery, oldest first; the store gives it in pages.

    :raises StoreUnavailable: as the store says, or when a page takes longer than that.
    """
    while page := await limited(records.replies(conversation, after=after), seconds=seconds):
        for delivery in page:
            yield delivery
        after = page[-1][0]


def alive(request: web.Request) -> bool:
    """Whether the client's connection still stands, as far as the kernel knows."""
    transport = request.transport
    return transport is not None and not transport.is_closing()


class EventWriter:
    """Writes server-sent events to one client, each within a time limit."""

    def __init__(self, request: web.Request, *, headers: Mapping[str, str], seconds: float) -> None:
        self._request = request
        self._seconds = seconds
        self.response = web.StreamResponse(
            headers={
                **headers,
                "Content-Type": "text/event-stream; charset=utf-8",
                # nginx would otherwise collect the events and hand them over together.
                "X-Accel-Buffering": "no",
            }
        )

    async def start(self, first: bytes) -> bool:
        """Sends the headers and the first bytes; False when the client is gone."""
        transport = self._request.transport
        connection = transport.get_extra_info("socket") if transport else None
        if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            # A phone that left its network never says so; the default gives up after a quarter of an hour.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_MILLISECONDS)
        try:
            async with asyncio.timeout(self._seconds):
                await self.response.prepare(self._request)
        except (ConnectionError, TimeoutError):
            return False
        return await self.write(first)

    async def write(self, data: bytes) -> bool:
        """False when the client is gone or does not read; its connection is dropped then."""
        try:
            async with asyncio.timeout(self._seconds):
                await self.response.write(data)
        except ConnectionError:
            return False
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
            return False
        return True

    async def end(self) -> None:
        """Closes the stream in good order."""
        try:
            async with asyncio.timeout(self._seconds):
                await self.response.write_eof()
        except (ConnectionError, TimeoutError):
            return


def _too_large(limit: int) -> Refused:
    return Refused(413, "body_too_large", f"The body may have at most {limit} bytes; `text` is too long.")
