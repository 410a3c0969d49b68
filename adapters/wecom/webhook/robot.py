"""A group's robot: one address, its key in it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from adapters.wecom.failures import is_busy
from adapters.wecom.standing import Standing
from adapters.wecom.timing import Backoff, Timing
from adapters.wecom.wire import Refused, Transport, WeComError
from bot.ports import Sleep

METHOD = "webhook/send"
_BUSY_REPEATS = 3


class Robot:
    """Posts into the group."""

    def __init__(self, url: str, *, standing: Standing, timing: Timing, sleep: Sleep = asyncio.sleep) -> None:
        parts = urlsplit(url)
        self._path = parts.path.lstrip("/")
        self._query = dict(parse_qsl(parts.query))
        self._transport = Transport(url=f"{parts.scheme}://{parts.netloc}", timing=timing)
        self._standing = standing
        self._timing = timing
        self._sleep = sleep

    def __repr__(self) -> str:
        return "Robot()"

    async def post(self, body: Mapping[str, Any]) -> None:
        """
        :raises Refused: WeCom says no, or has said so a moment ago.
        :raises NotReached: nothing has happened.
        :raises NoAnswer: nobody knows what has.
        """
        begun = self._standing.require(self._path)
        try:
            await self._repeated(body)
        except WeComError as error:
            self._standing.failed(error, begun=begun)
            raise
        self._standing.heard(self._path)

    async def close(self) -> None:
        await self._transport.close()

    async def _repeated(self, body: Mapping[str, Any]) -> None:
        """WeCom that is busy (-1) has done nothing, and is asked again."""
        backoff = Backoff(self._timing)
        for repeat in range(_BUSY_REPEATS + 1):
            try:
                await self._transport.post(self._path, self._query, body)
            except Refused as refused:
                if not is_busy(refused) or repeat == _BUSY_REPEATS:
                    raise
                await self._sleep(backoff.pause())
            else:
                return
