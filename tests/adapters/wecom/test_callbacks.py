"""Calls to our address: opened when they are WeCom's, answered with a 4xx in every other case."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from adapters.wecom.callbacks import Callback, CallbackRefused, Form, Opened, read_json, read_xml
from adapters.wecom.crypto import Cipher, sign
from adapters.wecom.timing import Timing
from tests.adapters.wecom.samples import (
    AES_KEY,
    CORP,
    ECHO,
    ECHO_SIGNATURE,
    ECHO_WORDS,
    NONCE,
    TIMESTAMP,
    TOKEN,
)
from tests.fakes.wecomapi.sealing import Endpoint, Sealed

NOW = int(TIMESTAMP) + 60
LIMIT = 20_000


class FixedClock:
    """The day of the official vectors."""

    def __init__(self) -> None:
        self.at = float(NOW)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self) -> float:
        return self.at


class Door:
    """A callback behind a real server, and WeCom's side of it."""

    def __init__(self, form: Form) -> None:
        self.form: Form = form
        self.clock = FixedClock()
        self.receiver = CORP if form == "xml" else ""
        self.callback = Callback(
            token=TOKEN,
            cipher=Cipher(AES_KEY, self.receiver),
            form=form,
            clock=self.clock,
            timing=Timing(body=1.0),
            max_body_bytes=LIMIT,
        )
        self.opened: list[Opened] = []
        self.reply = b""
        self.url = ""

    async def verify(self, request: web.Request) -> web.Response:
        return self.callback.answer_verification(request)

    async def handle(self, request: web.Request) -> web.Response:
        try:
            opened = await self.callback.open(request)
        except CallbackRefused as refused:
            return web.Response(status=refused.status)
        self.opened.append(opened)
        self.callback.settled(request)
        return self.callback.sealed(self.reply, opened.nonce) if self.reply else web.Response()

    def endpoint(self) -> Endpoint:
        return Endpoint(name="x", form=self.form, token=TOKEN, aes_key=AES_KEY, receive_id=self.receiver)

    def seal(self, plain: str, *, at: int = NOW, nonce: str = "n1") -> Sealed:
        """As WeCom would at this time."""
        encrypted = Cipher(AES_KEY, self.receiver).encrypt(plain.encode())
        query = {"msg_signature": sign(TOKEN, str(at), nonce, encrypted), "timestamp": str(at), "nonce": nonce}
        if self.form == "json":
            return Sealed(query=query, body=json.dumps({"encrypt": encrypted}).encode(), content_type="text/plain")
        written = f"<xml><ToUserName><![CDATA[{CORP}]]></ToUserName><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
        return Sealed(query=query, body=written.encode(), content_type="text/xml")


@pytest.fixture(params=["xml", "json"])
async def door(request: Any) -> AsyncIterator[Door]:
    door = Door(request.param)
    application = web.Application()
    application.add_routes([web.get("/callback", door.verify), web.post("/callback", door.handle)])
    async with TestServer(application) as server:
        door.url = str(server.make_url("/callback"))
        yield door


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def post(http: ClientSession, door: Door, sealed: Sealed, **changes: Any) -> int:
    query, body = {**sealed.query, **changes.get("query", {})}, changes.get("body", sealed.body)
    async with http.post(door.url, params={k: v for k, v in query.items() if v is not None}, data=body) as answer:
        return answer.status


# -- Verification --


async def test_the_official_verification_is_answered_with_the_bare_words(http: ClientSession) -> None:
    door = Door("xml")
    application = web.Application()
    application.add_routes([web.get("/callback", door.verify)])
    query = {"msg_signature": ECHO_SIGNATURE, "timestamp": TIMESTAMP, "nonce": NONCE, "echostr": ECHO}
    async with TestServer(application) as server:
        address = server.make_url("/callback")
        async with http.get(address, params=query) as answer:
            assert (answer.status, await answer.read()) == (200, ECHO_WORDS)
        # Not every sender escapes the plus signs of base64.
        async with http.get(address, params={**query, "echostr": ECHO.replace("+", " ")}) as answer:
            assert await answer.read() == ECHO_WORDS
        for name in query:
            async with http.get(address, params={**query, name: query[name][:-1] + "_"}) as answer:
                assert 400 <= answer.status < 500, name
            async with http.get(address, params={k: v for k, v in query.items() if k != name}) as answer:
                assert answer.status == 400, name
            async with http.get(address, params=[*query.items(), (name, query[name])]) as answer:
                assert answer.status == 400, name


async def test_nobody_has_a_message_decrypted_by_calling_it_a_verification(door: Door, http: ClientSession) -> None:
    sealed = door.seal("<xml><Content>secret words</Content></xml>")
    encrypted = json.loads(sealed.body)["encrypt"] if door.form == "json" else read_xml(sealed.body)["Encrypt"]
    async with http.get(door.url, params={**sealed.query, "echostr": encrypted}) as answer:
        assert (answer.status, await answer.read()) == (403, b"")


# -- Calls --


async def test_a_call_is_opened_and_the_reply_is_sealed_in_its_form(door: Door, http: ClientSession) -> None:
    door.reply = "好".encode()
    sealed = door.seal("words", nonce="a&b")
    async with http.post(door.url, params=sealed.query, data=sealed.body) as answer:
        assert answer.status == 200
        assert door.endpoint().read(await answer.read(), "a&b") == "好"
    [opened] = door.opened
    assert (opened.plain, opened.nonce, opened.again) == (b"words", "a&b", False)


async def test_the_same_bytes_again_are_known_and_a_new_encryption_is_not(door: Door, http: ClientSession) -> None:
    first, second = door.seal("words", nonce="1"), door.seal("words", nonce="2")
    for sealed in (first, first, second):
        assert await post(http, door, sealed) == 200
    assert [opened.again for opened in door.opened] == [False, True, False]


@pytest.mark.parametrize(("age", "status"), [(0, 200), (3500, 200), (-3500, 200), (3700, 403), (-3700, 403)])
async def test_what_is_too_old_or_too_early_is_refused(door: Door, http: ClientSession, age: int, status: int) -> None:
    assert await post(http, door, door.seal("words", at=NOW - age)) == status


@pytest.mark.parametrize(
    ("change", "status"),
    [
        pytest.param({"query": {"msg_signature": None}}, 400, id="no signature"),
        pytest.param({"query": {"msg_signature": "0" * 40}}, 401, id="a wrong signature"),
        pytest.param({"query": {"msg_signature": "é"}}, 401, id="a signature beyond ASCII"),
        pytest.param({"query": {"timestamp": "abc"}}, 400, id="a timestamp that is none"),
        pytest.param({"query": {"timestamp": "١٤٧٦٤١٦٤٣٣"}}, 400, id="Arabic digits"),
        pytest.param({"query": {"timestamp": str(NOW + 1)}}, 401, id="another timestamp"),
        pytest.param({"query": {"nonce": "n2"}}, 401, id="another nonce"),
        pytest.param({"query": {"nonce": ""}}, 400, id="an empty nonce"),
        pytest.param({"query": {"nonce": "x" * 200}}, 400, id="a long nonce"),
        pytest.param({"body": b""}, 400, id="no body"),
        pytest.param({"body": b"\xff\xfe\x00"}, 400, id="no text"),
        pytest.param({"body": b"[" * 15_000}, 400, id="deep JSON"),
        pytest.param({"body": b"<a>" * 6_000}, 400, id="deep and unclosed XML"),
        pytest.param({"body": b"<a>" * 2_000 + b"</a>" * 2_000}, 400, id="deep XML"),
        pytest.param({"body": b"<xml><Encrypt></Encrypt></xml>"}, 400, id="nothing encrypted in XML"),
        pytest.param({"body": b"<xml><Encrypt>a</Encrypt><Encrypt>b</Encrypt></xml>"}, 400, id="two of them"),
        pytest.param({"body": b'{"encrypt": 5}'}, 400, id="a number"),
        pytest.param({"body": b'<?xml version="1.0" encoding="nonsense"?><xml/>'}, 400, id="an unknown encoding"),
        pytest.param({"body": b"x" * (LIMIT + 1)}, 413, id="too large"),
    ],
)
async def test_what_is_forged_or_unreadable_is_refused(
    door: Door, http: ClientSession, change: Any, status: int
) -> None:
    assert await post(http, door, door.seal("words"), **change) == status
    assert door.opened == []


async def test_a_ciphertext_for_somebody_else_is_refused_though_it_is_signed(door: Door, http: ClientSession) -> None:
    encrypted = Cipher(AES_KEY, "another").encrypt(b"words")
    query = {"msg_signature": sign(TOKEN, str(NOW), "n", encrypted), "timestamp": str(NOW), "nonce": "n"}
    written = {"xml": f"<xml><Encrypt>{encrypted}</Encrypt></xml>", "json": json.dumps({"encrypt": encrypted})}
    assert await post(http, door, Sealed(query=query, body=written[door.form].encode(), content_type="")) == 403


def mutation(sealed: Sealed, chance: random.Random) -> Sealed:
    """The same call with one thing changed."""
    body, query = bytearray(sealed.body or b" "), dict(sealed.query)
    place = chance.randrange(len(body))
    match chance.randrange(4):
        case 0:
            body[place] = chance.randrange(256)
        case 1:
            del body[place:]
        case 2:
            body.insert(place, chance.randrange(256))
        case _:
            query[chance.choice(list(query))] = chance.randbytes(8).decode("latin-1")
    return Sealed(query=query, body=bytes(body), content_type=sealed.content_type)


async def test_mutated_calls_are_refused_and_never_an_error_of_ours(door: Door, http: ClientSession) -> None:
    chance = random.Random(20_261_122)
    sealed = door.seal("words")
    for _ in range(300):
        mutated = sealed
        for _ in range(chance.randint(1, 4)):
            mutated = mutation(mutated, chance)
        status = await post(http, door, mutated)
        if status == 200:  # a byte outside of what is signed, or a space
            assert door.opened[-1].plain == b"words"
        else:
            assert 400 <= status < 500


# -- What stands in them --

_BILLION = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><xml><Content>&b;</Content></xml>'


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(_BILLION, id="entities of its own"),
        pytest.param("<!DOCTYPE xml><xml><Content>a</Content></xml>", id="an empty DTD"),
        pytest.param('<!DOCTYPE x SYSTEM "file:///etc/passwd"><xml><A>a</A></xml>', id="a DTD elsewhere"),
        pytest.param('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><xml><A>&a;</A></xml>', id="a file"),
        pytest.param("<xml>words</xml>", id="no elements"),
        pytest.param("<xml><A>&undefined;</A></xml>", id="an unknown entity"),
        pytest.param("<xml><A>\x00</A></xml>", id="a zero byte"),
        pytest.param("<xml><A>a</B></xml>", id="badly nested"),
        pytest.param("", id="nothing"),
    ],
)
def test_xml_with_a_dtd_or_without_sense_is_refused(hostile: str) -> None:
    with pytest.raises(CallbackRefused) as refused:
        read_xml(hostile.encode())
    assert refused.value.status == 400


def test_xml_is_read_with_what_is_nested_and_what_is_there_twice() -> None:
    read = read_xml(
        "<xml><A><![CDATA[a ]]]]><![CDATA[> b]]></A><B/><L><I>1</I><I>2</I></L><C>&lt;好&gt;</C></xml>".encode()
    )
    assert read == {"A": "a ]]> b", "B": "", "L": {"I": ("1", "2")}, "C": "<好>"}


def test_json_that_is_no_object_is_refused() -> None:
    assert read_json(b'{"a": 1}') == {"a": 1}
    for hostile in (b"", b"[]", b"1", b"{", b"[" * 100_000, b"\xff"):
        with pytest.raises(CallbackRefused):
            read_json(hostile)
