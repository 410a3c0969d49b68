"""The body of a call that a platform makes to us: bounded in bytes and in seconds, before anything looks into it."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from aiohttp import web


class BodyRefused(Exception):
    """It is not read to its end; `status` is what the caller is told."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


async def read_bounded(request: web.Request, *, limit: int, seconds: float) -> bytes:
    """The whole body.

    :param limit: bytes, counted after decompression: a small body may unpack to a large one.
    :raises BodyRefused: 413 too large, 408 too slow, 400 broken compression or chunks.
    """
    if request.content_length is not None and request.content_length > limit:
        raise BodyRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit:
                    raise BodyRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    except TimeoutError:
        raise BodyRefused(HTTPStatus.REQUEST_TIMEOUT) from None
    except (web.RequestPayloadError, ValueError):
        raise BodyRefused(HTTPStatus.BAD_REQUEST) from None
    return bytes(body)
