"""WeCom's API as one app calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from adapters.wecom.failures import is_busy, is_dead_token
from adapters.wecom.standing import Standing
from adapters.wecom.timing import Backoff, Timing
from adapters.wecom.tokens import AccessToken
from adapters.wecom.wire import NoAnswer, NotReached, Refused, Transport, WeComError
from bot.ports import Clock, Sleep

AT_ONCE = 16
"""Calls of one app side by side: WeCom refuses too many (45033) and does not say how many those are."""
_BUSY_REPEATS = 3


class Client:
    """Calls methods by their paths below cgi-bin, such as "message/send".

    A call whose token has ended is made once more with a new one; one that finds WeCom busy (-1) up to three times.
    Both were refused, so nothing is done twice.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        token: AccessToken,
        standing: Standing,
        timing: Timing,
        sleep: Sleep = asyncio.sleep,
        at_once: int = AT_ONCE,
    ) -> None:
        self._transport = transport
        self._token = token
        self._standing = standing
        self._timing = timing
        self._sleep = sleep
        self._places = asyncio.Semaphore(at_once)

    async def get(self, method: str, **query: str) -> Mapping[str, Any]:
        """As `post`."""
        return await self._call(method, query, None)

    async def post(self, method: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """WeCom's answer, whose errcode is 0. What it says beside that (`invaliduser`) is the caller's to read.

        :raises Refused: WeCom says no, or has said so of everything a moment ago.
        :raises NotReached: nothing has happened.
        :raises NoAnswer: nobody knows what has.
        """
        return await self._call(method, {}, body)

    async def close(self) -> None:
        """Ends every connection."""
        await self._transport.close()

    async def _call(self, method: str, query: Mapping[str, str], body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        path = f"cgi-bin/{method}"
        begun = self._standing.require(path)
        attempt = _Attempt()
        try:
            async with asyncio.timeout(self._timing.call), self._places:
                answer = await self._repeated(path, query, body, attempt)
        except TimeoutError:
            kind = NoAnswer if attempt.under_way else NotReached
            failure: WeComError = kind(path, "no answer in time")
        except WeComError as error:
            failure = error
        else:
            self._standing.heard(path)
            return answer
        self._standing.failed(failure, begun=begun)
        raise failure

    async def _repeated(
        self, path: str, query: Mapping[str, str], body: Mapping[str, Any] | None, attempt: _Attempt
    ) -> Mapping[str, Any]:
        backoff = Backoff(self._timing)
        busy, renewed = 0, False
        while True:
            token = ""
            try:
                token = await self._token.get()
                attempt.under_way = True
                return await self._once(path, {**query, "access_token": token}, body)
            except Refused as refused:
                attempt.under_way = False
                if token and is_dead_token(refused):
                    self._token.drop(token)
                    if renewed:
                        raise
                    renewed = True
                elif is_busy(refused) and busy < _BUSY_REPEATS:
                    busy += 1
                    await self._sleep(backoff.pause())
                else:
                    raise

    async def _once(self, path: str, query: Mapping[str, str], body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        if body is None:
            return await self._transport.get(path, query)
        return await self._transport.post(path, query, body)


class _Attempt:
    """What is known of a call while it runs."""

    __slots__ = ("under_way",)

    def __init__(self) -> None:
        self.under_way = False
        """A request is out whose answer has not come."""


def make_client(
    *, url: str, corp_id: str, secret: str, section: str, clock: Clock, timing: Timing, sleep: Sleep = asyncio.sleep
) -> tuple[Client, Standing]:
    """A client with a token of its own, and what is known of how it fares. Nothing is opened yet."""
    transport = Transport(url=url, timing=timing)
    standing = Standing(section, clock=clock, timing=timing)
    token = AccessToken(corp_id, secret, transport=transport, clock=clock, timing=timing)
    return Client(transport=transport, token=token, standing=standing, timing=timing, sleep=sleep), standing
