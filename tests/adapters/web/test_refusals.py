"""What is refused, with which status, and that no body whatsoever breaks the server."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from typing import Any

import pytest

from adapters.web.parsing import (
    Refused,
    largest_body,
    parse_looked,
    parse_pressed,
    parse_said,
    parse_watched,
)
from tests.adapters.web.doubles import SESSION, Scene, Site, all_events, answer

HALF_A_REQUEST = (
    b"POST /api/v1/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
)
GOOD = {"session": SESSION, "text": "Where do I pay?"}


async def _post_bytes(site: Site, path: str, body: bytes, **headers: str) -> tuple[int, Any]:
    sent = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with site.client.post(site.server.make_url(path), data=body, headers=sent) as response:
        return response.status, await response.json()


@pytest.mark.parametrize(
    ("change", "status", "code", "field"),
    [
        pytest.param({"text": None}, 400, "invalid", "text", id="text-null"),
        pytest.param({"text": 7}, 400, "invalid", "text", id="text-number"),
        pytest.param({"text": ["a"]}, 400, "invalid", "text", id="text-list"),
        pytest.param({"text": ""}, 400, "empty", "text", id="text-empty"),
        pytest.param({"text": " \n\t　"}, 400, "empty", "text", id="text-blank"),
        pytest.param({"text": "\0\0"}, 400, "empty", "text", id="text-nul"),
        pytest.param({"text": "好" * 4001}, 413, "too_long", "text", id="text-long"),
        pytest.param({"text": "x" * 100_000}, 413, "body_too_large", "text", id="text-huge"),
        pytest.param({"session": 5}, 400, "invalid", "session", id="session-number"),
        pytest.param({"session": "short"}, 400, "invalid", "session", id="session-short"),
        pytest.param({"session": "x" * 65}, 400, "invalid", "session", id="session-long"),
        pytest.param({"session": "a session with spaces"}, 400, "invalid", "session", id="session-spaces"),
        pytest.param({"session": "a" * 20 + "\n"}, 400, "invalid", "session", id="session-newline"),
        pytest.param({"session": "会" * 20}, 400, "invalid", "session", id="session-unicode"),
        pytest.param({"id": 5}, 400, "invalid", "id", id="id-number"),
        pytest.param({"id": "x" * 65}, 400, "invalid", "id", id="id-long"),
        pytest.param({"id": "a b"}, 400, "invalid", "id", id="id-space"),
        pytest.param({"language": "<script>"}, 400, "invalid", "language", id="language"),
    ],
)
async def test_a_bad_field_is_named(site: Site, change: dict[str, Any], status: int, code: str, field: str) -> None:
    async with site.post("/api/v1/chat", {**GOOD, **change}) as response:
        body = await response.json()

    assert (response.status, body["error"]["code"]) == (status, code)
    assert f"`{field}`" in body["error"]["message"]
    assert not site.core.messages


@pytest.mark.parametrize("field", ["session", "text"])
async def test_a_missing_field_is_named(site: Site, field: str) -> None:
    body = {name: value for name, value in GOOD.items() if name != field}
    async with site.post("/api/v1/chat", body) as response:
        error = (await response.json())["error"]

    assert (response.status, error["code"]) == (400, "missing")
    assert f"`{field}`" in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="broken"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'"words"', id="string"),
        pytest.param(b"\xff\xfe\x00", id="not-utf8"),
        pytest.param(json.dumps(GOOD).encode("utf-16"), id="utf-16"),
        pytest.param(b"[" * 50_000, id="deep"),
        pytest.param(b'{"a":' * 8_000, id="deep-objects"),
        pytest.param(b'{"session":' + b"9" * 40_000 + b"}", id="long-number"),
    ],
)
async def test_what_is_no_json_object_is_refused(site: Site, body: bytes) -> None:
    status, answered = await _post_bytes(site, "/api/v1/chat", body)

    assert (status, answered["error"]["code"]) == (400, "json")


async def test_a_byte_order_mark_is_harmless(site: Site) -> None:
    assert parse_said(b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), max_chars=100).text == GOOD["text"]


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/json; charset=gbk"],
)
async def test_another_content_type_is_415(site: Site, content_type: str) -> None:
    status, body = await _post_bytes(site, "/api/v1/chat", json.dumps(GOOD).encode(), Content_Type=content_type)

    assert (status, body["error"]["code"]) == (415, "content_type")


@pytest.mark.parametrize(
    "header", ["application/json", "Application/JSON; Charset=UTF-8", 'application/json;charset="utf-8"']
)
async def test_json_in_utf8_is_taken(site: Site, header: str) -> None:
    site.core.script = lambda message: Scene(reply=answer())
    body = json.dumps({**GOOD, "text": "在哪里付款？"}, ensure_ascii=False).encode()

    async with site.client.post(
        site.server.make_url("/api/v1/chat"), data=body, headers={"Content-Type": header}
    ) as response:
        assert response.status == 200
        await all_events(response)

    assert [message.text for message in site.core.messages.values()] == ["在哪里付款？"]


async def test_the_longest_allowed_message_is_taken_in_its_longest_spelling(site: Site) -> None:
    site.core.script = lambda message: Scene(reply=answer())

    async with site.chat("😀" * 4000) as response:
        assert response.status == 200
        await all_events(response)

    assert len(site.core.messages[1].text) == 4000


async def test_a_body_over_the_limit_is_not_read_to_its_end(site: Site) -> None:
    """A megabyte is announced and never sent; the refusal does not wait for it."""
    reader, writer = await asyncio.open_connection(site.server.host, site.server.port)
    writer.write(
        b"POST /api/v1/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000000\r\n\r\n{"
    )
    async with asyncio.timeout(2):
        status = await reader.readline()
    writer.close()
    await writer.wait_closed()

    assert status.split()[1] == b"413"


async def test_a_compressed_bomb_is_refused_by_what_it_unpacks_to(site: Site) -> None:
    bomb = gzip.compress(b'{"text":"' + b"x" * 20_000_000)

    status, body = await _post_bytes(site, "/api/v1/chat", bomb, Content_Encoding="gzip")

    assert (status, body["error"]["code"]) == (413, "body_too_large")


async def test_a_body_that_is_not_what_its_encoding_says_is_refused(site: Site) -> None:
    status, body = await _post_bytes(site, "/api/v1/chat", b"not gzip at all", Content_Encoding="gzip")

    assert (status, body["error"]["code"]) == (400, "body")


async def test_a_body_that_does_not_arrive_is_given_up(quick_site: Site) -> None:
    reader, writer = await asyncio.open_connection(quick_site.server.host, quick_site.server.port)
    writer.write(HALF_A_REQUEST)
    async with asyncio.timeout(5):
        status = await reader.readline()
    writer.close()
    await writer.wait_closed()

    assert status.split()[1] == b"408"


async def test_a_client_that_leaves_in_the_middle_of_its_body_stores_nothing(site: Site) -> None:
    _, writer = await asyncio.open_connection(site.server.host, site.server.port)
    writer.write(HALF_A_REQUEST)
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    async with site.post("/api/v1/chat/history", {"session": SESSION}) as response:
        assert (await response.json())["entries"] == []
    assert not site.core.messages


@pytest.mark.parametrize("after", [-1, "7", True, 1.5, 2**63, None])
async def test_a_strange_position_in_the_events_is_refused(site: Site, after: Any) -> None:
    async with site.post("/api/v1/chat/events", {"session": SESSION, "after": after}) as response:
        assert response.status == 400
        assert "`after`" in (await response.json())["error"]["message"]


@pytest.mark.parametrize("action", ["feedback", "delete", "", 3, None])
async def test_an_unknown_button_is_refused(site: Site, action: Any) -> None:
    async with site.post("/api/v1/chat/action", {"session": SESSION, "action": action}) as response:
        assert response.status == 400
        assert "`action`" in (await response.json())["error"]["message"]


async def test_a_refusal_repeats_nothing_of_the_request(site: Site) -> None:
    async with site.post("/api/v1/chat", {"session": SESSION, "text": 5, "id": "very secret"}) as response:
        assert SESSION not in await response.text()


def test_a_request_does_not_show_its_session_or_words() -> None:
    said = parse_said(json.dumps(GOOD).encode(), max_chars=100)
    pressed = parse_pressed(json.dumps({"session": SESSION, "action": "person"}).encode())

    assert SESSION not in repr(said) + repr(pressed)
    assert GOOD["text"] not in repr(said)


def test_the_largest_body_follows_the_longest_message_within_the_operators_bound() -> None:
    assert largest_body(max_message_chars=4000, max_body_bytes=1 << 20) == 52_096
    assert largest_body(max_message_chars=4000, max_body_bytes=10_000) == 10_000


def _mangled(seed: random.Random) -> bytes:
    """A body that is nearly right: bytes flipped, cut or doubled, or a field replaced by something else."""
    strange: list[Any] = [None, True, -1, 1e400, [], {}, "x" * 70, "\0", "\ud800", "好", {"session": []}, float("nan")]
    data: dict[str, Any] = {**GOOD, "id": "m-1", "after": 3, "action": "person", "value": "v", "language": "zh"}
    for _ in range(seed.randrange(3)):
        data[seed.choice([*data, "more"])] = seed.choice(strange)
    body = bytearray(json.dumps(data, ensure_ascii=True).encode())
    for _ in range(seed.randrange(4)):
        place = seed.randrange(len(body))
        match seed.randrange(3):
            case 0:
                body[place] = seed.randrange(256)
            case 1:
                del body[place : place + seed.randrange(1, 9)]
            case _:
                body[place:place] = body[place : place + seed.randrange(1, 9)]
        if not body:
            break
    return bytes(body)


def test_no_body_gets_past_the_parsers_but_as_a_value_or_a_refusal() -> None:
    """20,000 mangled bodies through every parser: a refusal with a 4xx, or a request within its bounds."""
    seed = random.Random(2)
    taken = 0
    for _ in range(5_000):
        body = _mangled(seed)
        for parse in (lambda data: parse_said(data, max_chars=100), parse_pressed, parse_watched, parse_looked):
            try:
                request = parse(body)
            except Refused as refused:
                assert refused.status in (400, 413)
                continue
            taken += 1
            assert 16 <= len(request.session) <= 64
            assert request.session.isascii()
            getattr(request, "text", "").encode()
    assert 2_000 < taken < 18_000


async def test_mangled_bodies_over_http_never_break_the_server(site: Site) -> None:
    site.core.script = lambda message: Scene(reply=answer())
    seed = random.Random(3)
    counts: dict[int, int] = {}
    for _ in range(2_000):
        async with site.client.post(
            site.server.make_url("/api/v1/chat"), data=_mangled(seed), headers={"Content-Type": "application/json"}
        ) as response:
            await response.read()
        counts[response.status] = counts.get(response.status, 0) + 1

    assert set(counts) == {200, 400}
