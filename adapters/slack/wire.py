"""HTTP as slack_sdk speaks it, made safe to rely on.

The SDK's errors do not say whether a request went out, hold whole answers (customers' words included), and an answer
that is no Slack answer raises whatever it happens to. Here every failure is one of three, whose text holds neither the
token nor anybody's words; a server that sends a byte a minute is not waited for; and nothing is repeated behind our
back: a 429 is ours to schedule.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack.timing import Timing

CONNECTIONS = 100
_MAX_PATIENCE = 3600.0
"""Seconds. A longer `Retry-After` is taken as this; asking again then costs one call."""
_CODE_CHARS = 80

UNCERTAIN = frozenset({"fatal_error", "internal_error"})
"""Slack says of both that something may have been done before they were raised."""

# What Slack reads from a form or the query and never from a JSON body.
_READS = frozenset(
    {"conversations.replies", "conversations.history", "conversations.info", "users.info", "bots.info", "team.info"}
)


class SlackError(Exception):
    """A call that did not surely succeed."""


class NotReached(SlackError):
    """The request surely never reached Slack."""


class NoAnswer(SlackError):
    """The request went out, and no answer came back that can be used."""


class Refused(SlackError):
    """Slack (or a proxy in front of it) answered with an error, and did nothing."""

    def __init__(self, method: str, error: str, *, status: int = 200, retry_after: float | None = None) -> None:
        super().__init__(f"{method}: {error or f'HTTP {status}'}")
        self.method = method
        self.error = error
        """Slack's code, e.g. "channel_not_found"; "" where something in between answered."""
        self.status = status
        self.retry_after = retry_after
        """Seconds, at least 1, where Slack asks for patience."""


class Tokens(Protocol):
    """The bot tokens of the workspaces we are installed in."""

    async def token(self, account: str) -> str:
        """The token to call with.

        :raises CredentialsRefused: there is none that works; asking again later is right.
        """

    def revoked(self, account: str, reason: str) -> None:
        """Slack has refused this account's token with this code."""


class Transport:
    """One pool of connections to one address."""

    def __init__(self, *, url: str, timing: Timing) -> None:
        self._url = url
        self._timing = timing
        self._client: AsyncWebClient | None = None
        self._session: aiohttp.ClientSession | None = None
        # At DEBUG the SDK logs what it sends and receives.
        self._logger = logging.getLogger("adapters.slack.sdk")
        self._logger.setLevel(logging.WARNING)

    async def call(self, token: str, method: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Slack's answer, which says ok.

        :raises Refused: Slack says no.
        :raises NotReached: nothing has happened.
        :raises NoAnswer: nobody knows what has.
        """
        failure: SlackError
        try:
            async with asyncio.timeout(self._timing.answer):
                return await self._call(token, method, arguments)
        except TimeoutError:
            failure = NoAnswer(f"{method}: no answer in time")
        except SlackApiError as error:
            failure = _refusal(method, error.response)
        except aiohttp.ClientConnectorError as error:
            failure = NotReached(f"{method}: {type(error).__name__}")
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, UnicodeError) as error:
            failure = NotReached(f"{method}: {type(error).__name__}")
        except (aiohttp.ClientError, OSError, SlackClientError) as error:
            failure = NoAnswer(f"{method}: {type(error).__name__}")
        except (AttributeError, TypeError, ValueError, RecursionError) as error:
            # The SDK's way of saying that an answer was no object of Slack's.
            failure = NoAnswer(f"{method}: an answer that is none ({type(error).__name__})")
        # Raised here and not above, so that no answer and no header hangs on it as a context.
        raise failure

    async def close(self) -> None:
        session, self._session, self._client = self._session, None, None
        if session is not None:
            await session.close()

    async def _call(self, token: str, method: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        given = {name: value for name, value in arguments.items() if value is not None}
        headers = {"Authorization": f"Bearer {token}"}
        client = self._opened()
        if method in _READS:
            answer = await client.api_call(method, http_verb="GET", params=given, headers=headers)
        else:
            answer = await client.api_call(method, json=given, headers=headers)
        if not isinstance(answer.data, dict):
            raise TypeError("bytes")
        return answer.data

    def _opened(self) -> AsyncWebClient:
        if self._client is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timing.connect),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            self._client = AsyncWebClient(
                base_url=self._url, session=self._session, logger=self._logger, retry_handlers=[]
            )
        return self._client


def _refusal(method: str, response: Any) -> SlackError:
    """What an answer says that is not ok, be it Slack's or of something in between."""
    # Where the SDK could not read it as JSON, it hands over aiohttp's own object.
    status = int(getattr(response, "status_code", None) or getattr(response, "status", None) or 0)
    found = getattr(response, "data", None)
    data = found if isinstance(found, dict) else {}
    code = data.get("error")
    error = code[:_CODE_CHARS] if isinstance(code, str) and code.isprintable() and code.isascii() else ""
    if status == HTTPStatus.TOO_MANY_REQUESTS or error in {"ratelimited", "rate_limited"}:
        asked = getattr(response, "headers", {}).get("Retry-After")
        return Refused(method, error or "ratelimited", status=status, retry_after=patience(asked))
    if status >= 500 or error in UNCERTAIN:
        # Slack may have done what it was asked before it fell over.
        return NoAnswer(f"{method}: {error or f'HTTP {status}'}")
    if not error and 200 <= status <= 299:
        return NoAnswer(f"{method}: an answer without ok and error")
    return Refused(method, error, status=status)


def patience(asked: object) -> float:
    """Seconds to wait, whatever a server makes of the header: nothing, 0, a negative or an absurd number, text."""
    try:
        seconds = float(asked)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 1.0
    return min(max(seconds, 1.0), _MAX_PATIENCE) if math.isfinite(seconds) else _MAX_PATIENCE
