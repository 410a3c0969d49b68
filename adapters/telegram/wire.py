"""HTTP as python-telegram-bot speaks it, made safe to rely on.

The library's own transport leaves four things to be desired, and its `BaseRequest` is the place it offers to mend them:
errors carry no hint whether the request went out; 404 (an unknown method) and 401 (a revoked token) become one error;
a server that sends a byte a minute is waited for without end; and whole answers, customers' words included, are logged
when they can not be read. Here every failure is one of three, whose text is free of the token and of customers' words.
"""

from __future__ import annotations

import asyncio
import json
import math
from http import HTTPStatus
from typing import Any

from telegram.error import NetworkError, TelegramError
from telegram.request import HTTPXRequest

CONNECT_TIMEOUT = 5.0
CONNECTIONS = 64
_MAX_PATIENCE = 3600.0
"""Seconds. A longer `retry_after` is taken as this; asking again then costs one call."""

# What httpx raises before the first byte of a request has left. Told by name: httpx is the library's business.
_NOTHING_LEFT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError"})


class NotReached(TelegramError):
    """The request surely never reached Telegram."""


class NoAnswer(TelegramError):
    """The request went out, and no answer came back that can be read."""


class Refused(TelegramError):
    """Telegram (or a proxy in front of it) answered with an error."""

    def __init__(
        self, code: int, description: str, *, retry_after: float | None = None, moved_to: int | None = None
    ) -> None:
        super().__init__(f"{code} {description}".strip())
        self.code = code
        self.description = description.lower()
        """The server's words in lower case; "" where the answer had no body at all."""
        self.retry_after = retry_after
        """Seconds, at least 1, on 429."""
        self.moved_to = moved_to
        """The chat's new id."""


class Transport(HTTPXRequest):
    """One pool of connections. `limit`: seconds from the beginning of a request to the last byte of its answer."""

    def __init__(self, *, tls: bool, limit: float, connections: int = CONNECTIONS) -> None:
        super().__init__(
            connection_pool_size=connections,
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=limit,
            write_timeout=limit,
            pool_timeout=CONNECT_TIMEOUT,
            # A server of one's own without TLS needs no certificates; reading them takes a tenth of a second.
            httpx_kwargs=None if tls else {"verify": False},
        )
        self._limit = limit

    async def do_request(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        failure: TelegramError
        try:
            async with asyncio.timeout(self._limit):
                code, payload = await super().do_request(*args, **kwargs)
        except TimeoutError:
            failure = NoAnswer("no answer in time")
        except NetworkError as error:
            cause = type(error.__cause__).__name__
            failure = NotReached(cause) if cause in _NOTHING_LEFT else NoAnswer(cause)
        except (ValueError, RuntimeError) as error:  # text that is no UTF-8; a pool that was closed
            failure = NotReached(type(error).__name__)
        else:
            if 200 <= code <= 299:
                return code, payload
            failure = refusal(code, payload)
        # Raised here and not above, so that no URL (which holds the token) hangs on it as a context.
        raise failure

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        answer = _as_object(payload)
        if answer is None or "result" not in answer:
            raise NoAnswer("an answer that is no Bot API answer")
        return answer


class PollTransport(Transport):
    """The transport of getUpdates: keeps the batch as it came.

    The library turns a batch into objects all at once, so that one malformed update would lose the other ninety-nine.
    It is handed an empty batch; `take` gives the true one.
    """

    def __init__(self, *, tls: bool, limit: float) -> None:
        super().__init__(tls=tls, limit=limit, connections=2)
        self._batch: list[Any] = []

    async def do_request(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        self._batch = []
        code, payload = await super().do_request(*args, **kwargs)
        batch = self.parse_json_payload(payload)["result"]
        if not isinstance(batch, list):
            raise NoAnswer("an answer without a list of updates")
        self._batch = batch
        return code, b'{"ok":true,"result":[]}'

    def take(self) -> list[Any]:
        """The updates of the last answer."""
        batch, self._batch = self._batch, []
        return batch


def refusal(code: int, payload: bytes) -> Refused:
    """What an error answer says."""
    answer = _as_object(payload)
    if answer is None:
        return Refused(code, "an answer of something in between" if payload else "", retry_after=_patience(code, None))
    parameters = answer.get("parameters")
    told = parameters if isinstance(parameters, dict) else {}
    description, moved_to = answer.get("description"), told.get("migrate_to_chat_id")
    return Refused(
        code,
        description[:300] if isinstance(description, str) else "an error without words",
        retry_after=_patience(code, told.get("retry_after")),
        moved_to=moved_to if isinstance(moved_to, int) else None,
    )


def _patience(code: int, asked: object) -> float | None:
    """Seconds to wait, whatever a server makes of the field: nothing, 0, a negative or an absurd number, text."""
    if not isinstance(asked, int | float) or not math.isfinite(asked):
        return 1.0 if code == HTTPStatus.TOO_MANY_REQUESTS else None
    return min(max(float(asked), 1.0), _MAX_PATIENCE)


def _as_object(payload: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None
