"""The calls that WeCom makes to us: verified, opened, and answered in the form they came in.

A handler's order is always the same: `open` (forged, stale, unreadable: a 4xx, and nothing has happened), parse,
`await intake.accept(...)`, an empty 200. WeCom gives us five seconds and comes three times, each time encrypted anew,
so a message that comes again is told by its id and not by its bytes.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, TypeAlias
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import escape

import defusedxml
from aiohttp import web
from defusedxml.ElementTree import fromstring

from adapters.bodies import BodyRefused, read_bounded
from adapters.wecom.crypto import Cipher, CryptoRefused, is_signed, sign
from adapters.wecom.timing import Timing
from bot.ports import Clock

Form: TypeAlias = Literal["xml", "json"]
"""How bodies are written: XML for apps and customer service, JSON for AI bots."""

_IN_THREAD = 64 * 1024
"""Bytes. Parsing more than this would hold up the event loop for over a millisecond."""
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_NONCE = re.compile(r"[!-~]{1,128}", re.ASCII)
_ECHOED = re.compile(rb"[0-9A-Za-z]{1,64}")
_REMEMBERED = 20_000
"""Calls of the window that are told again; past it the oldest are forgotten, and taken for what they say."""


class CallbackRefused(Exception):
    """Not WeCom's, not for us, not now, or not to be read. `status` is all that the caller is told."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A call of WeCom's."""

    plain: bytes
    """What was encrypted: XML or JSON."""
    timestamp: str
    nonce: str
    again: bool
    """The very same bytes have come before and were settled: 200, and nothing happens. A call that WeCom repeats is
    encrypted anew, so this is a proxy between us that repeats, or somebody who listens. To be answered the same way
    for as long as the answer is needed (a stream's refresh), else with an empty 200."""


class Callback:
    """One address that WeCom calls, with the token and key of the page where it was set up."""

    def __init__(
        self, *, token: str, cipher: Cipher, form: Form, clock: Clock, timing: Timing, max_body_bytes: int
    ) -> None:
        self._token = token
        self._cipher = cipher
        self._form: Form = form
        self._clock = clock
        self._timing = timing
        self._max_body_bytes = max_body_bytes
        self._settled: OrderedDict[str, float] = OrderedDict()

    # -- Verification of the address --

    def answer_verification(self, request: web.Request) -> web.Response:
        """To a GET: the number that was encrypted, alone. Costs nothing, for WeCom waits one second."""
        try:
            stamped = self._stamped(request, _only(request, "echostr"))
            plain = self._decrypted(stamped)
        except CallbackRefused as refused:
            return web.Response(status=refused.status)
        if not _ECHOED.fullmatch(plain):
            # Whoever holds a message of WeCom's but not the key would have it decrypted here.
            return web.Response(status=HTTPStatus.FORBIDDEN)
        return web.Response(body=plain, content_type="text/plain")

    # -- Calls --

    async def open(self, request: web.Request) -> Opened:
        """What WeCom says. Nothing of it is remembered before `settled` is called.

        :raises CallbackRefused: it is not WeCom's, too old, too large, or can not be read.
        """
        _refuse_unsigned(request)
        try:
            body = await read_bounded(request, limit=self._max_body_bytes, seconds=self._timing.body)
        except BodyRefused as refused:
            raise CallbackRefused(refused.status) from None
        encrypted = await _in_thread(_encrypted_xml if self._form == "xml" else _encrypted_json, body)
        stamped = self._stamped(request, encrypted)
        return Opened(
            plain=self._decrypted(stamped),
            timestamp=stamped.timestamp,
            nonce=stamped.nonce,
            again=self._is_settled(stamped.signature),
        )

    def settled(self, request: web.Request) -> None:
        """What this call said is stored: should the same bytes come again, nothing happens. To be called after the
        commit and not before, or a call that could not be stored would be lost."""
        signature = _only(request, "msg_signature")
        self._settled[signature] = self._clock.monotonic()
        self._settled.move_to_end(signature)
        if len(self._settled) > _REMEMBERED:
            self._settled.popitem(last=False)

    def sealed(self, plain: bytes, nonce: str) -> web.Response:
        """A passive reply: `plain` encrypted and signed, in the form of the call with this nonce."""
        encrypted = self._cipher.encrypt(plain)
        now = int(self._clock.now().timestamp())
        signature = sign(self._token, str(now), nonce, encrypted)
        if self._form == "json":
            fields = {"encrypt": encrypted, "msgsignature": signature, "timestamp": now, "nonce": nonce}
            return web.Response(text=json.dumps(fields), content_type="application/json")
        written = (
            f"<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt><MsgSignature><![CDATA[{signature}]]></MsgSignature>"
            f"<TimeStamp>{now}</TimeStamp><Nonce>{escape(nonce)}</Nonce></xml>"
        )
        return web.Response(text=written, content_type="text/xml")

    # -- Details --

    def _stamped(self, request: web.Request, encrypted: str) -> _Stamped:
        """:raises CallbackRefused: the signature is wrong, or it was made too long ago."""
        signature = _only(request, "msg_signature")
        timestamp, nonce = _only(request, "timestamp"), _only(request, "nonce")
        if not _TIMESTAMP.fullmatch(timestamp) or not _NONCE.fullmatch(nonce):
            raise CallbackRefused(HTTPStatus.BAD_REQUEST)
        if not is_signed(signature, token=self._token, timestamp=timestamp, nonce=nonce, encrypted=encrypted):
            raise CallbackRefused(HTTPStatus.UNAUTHORIZED)
        if abs(self._clock.now().timestamp() - int(timestamp)) > self._timing.replay_window:
            raise CallbackRefused(HTTPStatus.FORBIDDEN)
        return _Stamped(signature=signature, timestamp=timestamp, nonce=nonce, encrypted=encrypted)

    def _decrypted(self, stamped: _Stamped) -> bytes:
        try:
            return self._cipher.decrypt(stamped.encrypted)
        except CryptoRefused:
            raise CallbackRefused(HTTPStatus.FORBIDDEN) from None

    def _is_settled(self, signature: str) -> bool:
        at = self._settled.get(signature)
        return at is not None and self._clock.monotonic() - at <= 2 * self._timing.replay_window


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stamped:
    """What stood around a ciphertext, verified."""

    signature: str
    timestamp: str
    nonce: str
    encrypted: str


# -- Bodies --


def read_xml(plain: bytes) -> Mapping[str, Any]:
    """The elements of a callback by their names: text, or a mapping of the same kind; of elements with one name that
    stand side by side a tuple. Comes after `open`, and trusts it no more than a stranger's.

    :raises CallbackRefused: 400; no XML, with a DTD or entities of its own, nested too deep, or no elements.
    """
    try:
        root = fromstring(plain, forbid_dtd=True)
    except (ParseError, defusedxml.DefusedXmlException, ValueError, RecursionError, LookupError):
        raise CallbackRefused(HTTPStatus.BAD_REQUEST) from None
    found = _element(root, 0)
    if not isinstance(found, Mapping):
        raise CallbackRefused(HTTPStatus.BAD_REQUEST)
    return found


def read_json(plain: bytes) -> Mapping[str, Any]:
    """The object of a callback.

    :raises CallbackRefused: 400; no JSON, or no object.
    """
    try:
        found = json.loads(plain)
    except (ValueError, RecursionError):
        raise CallbackRefused(HTTPStatus.BAD_REQUEST) from None
    if not isinstance(found, dict):
        raise CallbackRefused(HTTPStatus.BAD_REQUEST)
    return found


_DEEPEST = 6


def _element(element: Any, depth: int) -> Any:
    if not len(element):
        return element.text or ""
    if depth == _DEEPEST:
        raise CallbackRefused(HTTPStatus.BAD_REQUEST)
    found: dict[str, Any] = {}
    several: dict[str, list[Any]] = {}
    for child in element:
        several.setdefault(child.tag, []).append(_element(child, depth + 1))
    for tag, values in several.items():
        found[tag] = values[0] if len(values) == 1 else tuple(values)
    return found


def _encrypted_xml(body: bytes) -> str:
    return _text(read_xml(body).get("Encrypt"))


def _encrypted_json(body: bytes) -> str:
    return _text(read_json(body).get("encrypt"))


def _text(found: object) -> str:
    if not isinstance(found, str) or not found.strip():
        raise CallbackRefused(HTTPStatus.BAD_REQUEST)
    return found.strip()


async def _in_thread(work: Callable[[bytes], str], body: bytes) -> str:
    return await asyncio.to_thread(work, body) if len(body) > _IN_THREAD else work(body)


# -- Addresses --


def _only(request: web.Request, name: str) -> str:
    """The one value of a parameter: which of two would be the true one?"""
    values = request.query.getall(name, [])
    if len(values) != 1 or not values[0]:
        raise CallbackRefused(HTTPStatus.BAD_REQUEST)
    # Not every sender escapes the plus signs of base64, and a query turns those into spaces.
    return values[0].replace(" ", "+") if name == "echostr" else values[0]


def _refuse_unsigned(request: web.Request) -> None:
    """Before a byte of the body is read."""
    for name in ("msg_signature", "timestamp", "nonce"):
        _only(request, name)
