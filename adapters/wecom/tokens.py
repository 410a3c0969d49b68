"""The access token of an app: one for each secret, fetched once however many ask for it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from adapters.wecom.failures import TOO_OFTEN, is_busy
from adapters.wecom.timing import Timing
from adapters.wecom.wire import NotReached, Refused, Transport, WeComError
from bot.ports import Clock
from bot.telemetry import get_logger

METHOD = "cgi-bin/gettoken"
_LIFE = 7200.0
_MOST_FETCHES, _IN_SECONDS = 10, 60.0
"""Should WeCom hand out tokens that it then refuses, every call would fetch another: no more often than this."""
_LONGEST_TOKEN = 512

log = get_logger(__name__)


class AccessToken:
    """The token that calls are made with.

    While WeCom refuses corp id or secret, `get` fails at once with what it said, and asks again after a pause
    (`Timing.refused_pause`): whoever asks for tokens too often is blocked.
    """

    def __init__(self, corp_id: str, secret: str, *, transport: Transport, clock: Clock, timing: Timing) -> None:
        self._query = {"corpid": corp_id, "corpsecret": secret}
        self._transport = transport
        self._clock = clock
        self._timing = timing
        self._asking = asyncio.Lock()
        self._token = ""
        self._refresh_at = self._ends_at = 0.0
        self._not_before = 0.0
        self._failure: WeComError | None = None
        self._attempts = 0
        self._fetches: deque[float] = deque(maxlen=_MOST_FETCHES)

    def __repr__(self) -> str:
        return f"AccessToken(known={bool(self._token)})"

    async def get(self) -> str:
        """A token that should work.

        :raises Refused: WeCom gives us none; the operator has to do something, or it asks for patience.
        :raises NotReached: it could not be asked. What the token was wanted for has not been done.
        """
        if token := self._fresh():
            return token
        seen = self._attempts
        async with self._asking:
            if token := self._fresh():
                return token
            if seen != self._attempts and self._failure is not None:
                raise self._failure.with_traceback(None)  # it was asked while we waited
            if self._clock.monotonic() < self._not_before:
                return self._usable_or(self._failure or Refused(METHOD, TOO_OFTEN))
            try:
                await self._fetch()
            except WeComError as error:
                return self._usable_or(error)
            return self._token

    def drop(self, token: str) -> None:
        """WeCom has refused this token. Where another one is here already, nothing happens."""
        if token == self._token:
            self._token = ""

    def _fresh(self) -> str:
        return self._token if self._clock.monotonic() < self._refresh_at else ""

    def _usable_or(self, failure: WeComError) -> str:
        """The token that was to be replaced early, while it lasts."""
        if self._token and self._clock.monotonic() < self._ends_at:
            return self._token
        raise failure.with_traceback(None)

    async def _fetch(self) -> None:
        try:
            answer = await self._transport.get(METHOD, self._query)
        except Refused as refused:
            self._attempts += 1
            self._failure = refused
            if not is_busy(refused):
                self._not_before = self._clock.monotonic() + self._timing.refused_pause
            raise
        except WeComError as error:
            self._attempts += 1
            # Whether WeCom made a token does not matter: the call that it was for never left.
            self._failure = NotReached(METHOD, "no token: " + str(error).partition(": ")[2])
            raise self._failure from None
        self._attempts += 1
        self._take(answer)

    def _take(self, answer: Any) -> None:
        token, life = answer.get("access_token"), answer.get("expires_in", _LIFE)
        if not isinstance(token, str) or not 0 < len(token) <= _LONGEST_TOKEN:
            self._failure = NotReached(METHOD, "an answer without a token")
            raise self._failure
        if not isinstance(life, int | float) or isinstance(life, bool) or not 0 < life <= 10 * _LIFE:
            life = _LIFE
        now = self._clock.monotonic()
        self._token = token
        self._ends_at = now + life
        # Of a short life the second half, or it would be fetched again for every call.
        self._refresh_at = now + max(life - self._timing.token_early, life / 2)
        self._fetches.append(now)
        if len(self._fetches) == _MOST_FETCHES:
            self._not_before = self._fetches[0] + _IN_SECONDS
        if self._failure is not None:
            log.info("wecom.token_accepted", after=str(self._failure))
        self._failure = None
