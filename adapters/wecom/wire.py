"""HTTP to WeCom's API, made safe to rely on.

A request holds its token in the address, and an answer may hold people's words: no error here holds either. Every
failure is one of three, which say whether anything can have happened. A server that sends a byte a minute is not waited
for, an answer is bounded in bytes, redirects are not followed, and nothing is repeated behind our back.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import aiohttp

from adapters.wecom.timing import Timing

CONNECTIONS = 64
_ANSWER_BYTES = 4 * 1024 * 1024
"""A page of a thousand messages is smaller."""
_IN_THREAD = 64 * 1024
"""Bytes. Decoding more than this would hold up the event loop for over a millisecond."""
_FROM_IP = re.compile(r"from ip:\s*([0-9A-Fa-f.:]{3,45})")


class WeComError(Exception):
    """A call that did not surely succeed. The text names the method, and holds neither token nor words."""

    def __init__(self, method: str, words: str) -> None:
        super().__init__(f"{method}: {words}")
        self.method = method


class NotReached(WeComError):
    """The request surely never reached WeCom."""


class NoAnswer(WeComError):
    """The request went out, and no answer came back that can be used."""


class Refused(WeComError):
    """WeCom (or a proxy in front of it) answered with an error, and did nothing."""

    def __init__(self, method: str, errcode: int, *, status: int = 200, address: str = "") -> None:
        super().__init__(method, f"errcode {errcode}" if errcode else f"HTTP {status}")
        self.errcode = errcode
        """WeCom's code, the only thing to judge by; 0 where something in between answered."""
        self.status = status
        self.address = address
        """Our own address as WeCom saw it, where it says that it does not trust it (60020)."""


class Transport:
    """One pool of connections to one address. The session is made on the loop that uses it first."""

    def __init__(self, *, url: str, timing: Timing) -> None:
        """:param url: such as https://qyapi.weixin.qq.com, with or without a slash at its end."""
        self._url = url.rstrip("/") + "/"
        self._timing = timing
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        """As `post`."""
        return await self._request("GET", path, query, None)

    async def post(self, path: str, query: Mapping[str, str], body: Mapping[str, Any]) -> Mapping[str, Any]:
        """WeCom's answer, whose errcode is 0.

        :param path: such as "cgi-bin/message/send"; it names the call in every error.
        :raises Refused: WeCom says no.
        :raises NotReached: nothing has happened.
        :raises NoAnswer: nobody knows what has.
        """
        return await self._request("POST", path, query, body)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _request(
        self, verb: str, path: str, query: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> Mapping[str, Any]:
        failure: WeComError
        try:
            data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
            async with asyncio.timeout(self._timing.answer):
                status, payload = await self._exchanged(verb, path, query, data)
            answer = await _decoded(payload)
        except TimeoutError:
            failure = NoAnswer(path, "no answer in time")
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            failure = NotReached(path, type(error).__name__)
        except (UnicodeError, TypeError, ValueError) as error:  # words that no JSON can hold
            failure = NotReached(path, type(error).__name__)
        except (aiohttp.ClientError, OSError) as error:
            failure = NoAnswer(path, type(error).__name__)
        else:
            found = _failure(path, status, answer)
            if found is None:
                assert answer is not None
                return answer
            failure = found
        # Raised here and not above, so that no address (which holds the token) hangs on it as a context.
        raise failure

    async def _exchanged(self, verb: str, path: str, query: Mapping[str, str], data: bytes | None) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json; charset=utf-8"} if data is not None else {}
        async with self._opened().request(
            verb, self._url + path, params=dict(query), data=data, headers=headers, allow_redirects=False
        ) as answer:
            payload = bytearray()
            async for chunk in answer.content.iter_any():
                payload += chunk
                if len(payload) > _ANSWER_BYTES:
                    answer.close()
                    raise aiohttp.ClientPayloadError("an answer without end")
            return answer.status, bytes(payload)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timing.connect),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


async def _decoded(payload: bytes) -> Mapping[str, Any] | None:
    """The object in an answer; None where there is none."""
    return await asyncio.to_thread(_object, payload) if len(payload) > _IN_THREAD else _object(payload)


def _object(payload: bytes) -> Mapping[str, Any] | None:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _failure(path: str, status: int, answer: Mapping[str, Any] | None) -> WeComError | None:
    """What an answer says that is no success, be it WeCom's or of something in between."""
    errcode = answer.get("errcode") if answer is not None else None
    if isinstance(errcode, int) and not isinstance(errcode, bool):
        if errcode:
            return Refused(path, errcode, status=status, address=_our_address(errcode, answer))
        if 200 <= status <= 299:
            return None
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        # What became of the request behind whatever answered, nobody knows.
        return NoAnswer(path, f"HTTP {status}")
    if 200 <= status <= 299:
        return NoAnswer(path, "an answer that is none")
    return Refused(path, 0, status=status)


def _our_address(errcode: int, answer: Mapping[str, Any] | None) -> str:
    """The address that an operator has to add to 企业可信IP. WeCom says "not allow to access from your ip, …, from ip:
    1.2.3.4", and more that is nobody's business."""
    if errcode != UNTRUSTED_ADDRESS or answer is None:
        return ""
    found = _FROM_IP.search(str(answer.get("errmsg", ""))[:1000])
    if found is None:
        return ""
    try:
        return str(ipaddress.ip_address(found[1].rstrip(".:")))
    except ValueError:
        return ""


UNTRUSTED_ADDRESS = 60020
