"""Receiving by webhook: what Telegram posts is stored, what anybody else posts is refused unread."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from adapters.telegram.channel import TelegramChannel
from adapters.telegram.settings import WEBHOOK_PATH
from adapters.telegram.webhook import SECRET_HEADER
from tests.adapters.telegram.conftest import Build, Running, Until
from tests.adapters.telegram.doubles import SECRET, message, update
from tests.fakes.intake import MemoryIntake
from tests.fakes.telegram_api import FakeTelegram, Fault

Client = TestClient[web.Request, web.Application]
URL = f"https://bot.example.com{WEBHOOK_PATH}"
HOOK = {"transport": "webhook", "webhook_url": URL, "webhook_secret": SECRET}
TRUE = {SECRET_HEADER: SECRET}


@pytest.fixture
async def hooked(make: Build) -> TelegramChannel:
    return await make(**HOOK)


@asynccontextmanager
async def serving(channel: TelegramChannel, intake: MemoryIntake) -> AsyncIterator[Client]:
    app = web.Application()
    app.add_routes(channel.routes(intake))
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture
async def client(
    hooked: TelegramChannel, intake: MemoryIntake, running: Running, fake: FakeTelegram, until: Until
) -> AsyncIterator[Client]:
    async with serving(hooked, intake) as made, running(hooked):
        await until(lambda: hooked.health().up)
        yield made


async def posted(client: Client, body: Any = None, **options: Any) -> int:
    data = body if isinstance(body, bytes) else json.dumps(body if body is not None else update()).encode()
    async with client.post(WEBHOOK_PATH, data=data, **{"headers": TRUE, **options}) as response:
        assert await response.read() == b"", "nobody is told anything"
        return response.status


# -- From Telegram --


async def test_a_posted_update_is_stored_before_it_is_acknowledged(client: Client, intake: MemoryIntake) -> None:
    assert await posted(client, update(payload=message("密码忘了怎么办"))) == 200
    assert intake.texts == ["密码忘了怎么办"]


async def test_a_redelivered_update_is_acknowledged_and_recognised(client: Client, intake: MemoryIntake) -> None:
    assert [await posted(client) for _ in range(4)] == [200] * 4
    assert (len(intake.messages), intake.duplicates) == (1, 3)


async def test_while_the_database_is_locked_telegram_is_asked_to_come_again(
    client: Client, intake: MemoryIntake
) -> None:
    intake.failures = 2
    assert [await posted(client) for _ in range(3)] == [503, 503, 200]
    assert len(intake.messages) == 1


async def test_what_needs_no_answer_is_acknowledged(client: Client, intake: MemoryIntake) -> None:
    assert await posted(client, update("channel_post")) == 200
    assert intake.attempts == 0


async def test_an_update_of_another_shape_is_acknowledged_so_that_it_blocks_no_other(
    client: Client, intake: MemoryIntake
) -> None:
    assert await posted(client, {"update_id": 7, "message": {"message_id": "x"}}) == 200
    assert intake.attempts == 0


async def test_an_edit_and_an_album_are_remembered_across_calls(client: Client, intake: MemoryIntake) -> None:
    for number, caption in ((1, "哪个是真的？"), (2, ""), (3, "")):
        part = message(message_id=number, photo=[{}], media_group_id="a", caption=caption)
        await posted(client, update(payload=part, update_id=number))
    assert intake.texts == ["哪个是真的？"]


async def test_a_press_is_answered(client: Client, fake: FakeTelegram, until: Until) -> None:
    fake.people.opens_chat(5)
    press = fake.people.presses(5, 44, "fb:up:abc")
    assert await posted(client, fake.state.updates[press["update_id"]].update) == 200
    await until(lambda: fake.state.callbacks[press["id"]]["answered"])


async def test_before_we_know_who_we_are_telegram_is_asked_to_come_again(
    hooked: TelegramChannel, intake: MemoryIntake
) -> None:
    async with serving(hooked, intake) as client:
        assert await posted(client) == 503
        assert await posted(client, headers={}) == 401


# -- From anybody else --

FORGED = [
    pytest.param({}, id="no secret"),
    pytest.param({SECRET_HEADER: ""}, id="empty"),
    pytest.param({SECRET_HEADER: SECRET[:-1]}, id="one letter short"),
    pytest.param({SECRET_HEADER: f"{SECRET}x"}, id="one letter long"),
    pytest.param({SECRET_HEADER: SECRET.upper()}, id="capitals"),
    pytest.param({SECRET_HEADER: "密" * 24}, id="not ASCII"),
    pytest.param([(SECRET_HEADER, SECRET), (SECRET_HEADER, SECRET)], id="twice"),
    pytest.param([(SECRET_HEADER, SECRET), (SECRET_HEADER, "x")], id="right and wrong"),
    pytest.param([(SECRET_HEADER, "x"), (SECRET_HEADER, SECRET)], id="wrong and right"),
    pytest.param({"Authorization": f"Bearer {SECRET}"}, id="another header"),
]


@pytest.mark.parametrize("headers", FORGED)
async def test_without_the_secret_nothing_is_taken(client: Client, intake: MemoryIntake, headers: Any) -> None:
    assert await posted(client, headers=headers) == 401
    assert intake.attempts == 0


async def test_a_forged_call_is_refused_before_its_body_arrives(client: Client) -> None:
    raw = (
        f"POST {WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\n{SECRET_HEADER}: \xff\xfe\r\n"
        "Content-Length: 90000\r\nContent-Type: application/json\r\n\r\n{"
    )
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(raw.encode("latin-1"))
    async with asyncio.timeout(2):
        status = await reader.readline()
    writer.close()
    assert b" 401 " in status


async def test_without_the_secret_telegrams_other_refusals_can_not_be_probed(client: Client) -> None:
    for body in (b"{", b"x" * 200_000, b""):
        assert await posted(client, body, headers={SECRET_HEADER: "x"}) == 401


# -- Bodies --

BODIES = [
    pytest.param(b"", 400, id="empty"),
    pytest.param(b"{", 400, id="half"),
    pytest.param(b"[]", 400, id="a list"),
    pytest.param(b"7", 400, id="a number"),
    pytest.param(b'{"message": {}}', 400, id="no number"),
    pytest.param(b'{"update_id": true}', 400, id="a number that is none"),
    pytest.param(b'{"update_id": "7"}', 400, id="a number in quotes"),
    pytest.param(b"\xff\xfe\x00", 400, id="not UTF-8"),
    pytest.param(b"[" * 90_000, 400, id="deep"),
    pytest.param(b"1" * 90_000, 400, id="an endless number"),
    pytest.param(b'{"update_id": 1' + b"0" * 80 + b"}", 200, id="a huge number"),
    pytest.param(b" " * 200_000, 413, id="too large"),
]


@pytest.mark.parametrize(("body", "status"), BODIES)
async def test_a_body_that_is_no_update_is_refused(
    client: Client, intake: MemoryIntake, body: bytes, status: int
) -> None:
    assert await posted(client, body) == status
    assert intake.attempts == 0


async def test_a_body_without_a_length_is_counted_while_it_arrives(client: Client, intake: MemoryIntake) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 10_000

    async with client.post(WEBHOOK_PATH, data=endless(), headers=TRUE) as response:
        assert response.status == 413
    assert intake.attempts == 0


async def test_a_body_is_counted_as_it_unpacks(client: Client, intake: MemoryIntake) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 100_000
    assert await posted(client, bomb, headers={**TRUE, "Content-Encoding": "gzip"}) == 413
    good = gzip.compress(json.dumps(update()).encode())
    assert await posted(client, good, headers={**TRUE, "Content-Encoding": "gzip"}) == 200
    assert await posted(client, good[:-20], headers={**TRUE, "Content-Encoding": "gzip"}) == 400
    assert await posted(client, b"no gzip", headers={**TRUE, "Content-Encoding": "gzip"}) == 400
    assert len(intake.messages) == 1


async def test_a_large_update_does_not_hold_up_the_loop(
    make: Build, intake: MemoryIntake, running: Running, until: Until
) -> None:
    channel = await make(max_body_bytes=2_000_000, **HOOK)
    async with serving(channel, intake) as client, running(channel):
        await until(lambda: channel.health().up)
        large = update(payload=message("hi", extra=list(range(100_000))))
        assert await posted(client, large) == 200
    assert intake.texts == ["hi"]


@pytest.mark.parametrize("seed", [20261122])
async def test_two_thousand_mutated_calls_are_refused_and_none_is_stored(
    client: Client, intake: MemoryIntake, seed: int
) -> None:
    """F24 in its quick form: the secret, the body and the framing, each changed at random."""
    dice = random.Random(seed)
    statuses: dict[int, int] = {}
    gate = asyncio.Semaphore(50)

    async def one() -> None:
        headers, body = _mutated(dice)
        async with gate:
            status = await _raw(client, headers, body)
        statuses[status] = statuses.get(status, 0) + 1

    await asyncio.gather(*(one() for _ in range(2000)))
    assert intake.attempts == 0
    assert sum(statuses.values()) == 2000
    assert set(statuses) <= {400, 401, 403, 413}, statuses
    assert statuses[401] > 1000


def _mutated(dice: random.Random) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """A call that differs from a true one in its secret, or has the secret and no update."""
    good = json.dumps(update()).encode()
    name = SECRET_HEADER.encode()
    secret = bytearray(SECRET.encode())
    changed = bytearray(good)
    for _ in range(dice.randint(1, 4)):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    forged: list[list[tuple[bytes, bytes]]] = []
    if dice.random() < 0.5:
        secret[dice.randrange(len(secret))] ^= dice.choice([1, 2, 4, 8, 32, 128])
    else:
        secret = bytearray(dice.randbytes(dice.randint(0, 40)).translate(bytes(range(256)), b"\r\n\0"))
    if bytes(secret).strip(b" \t") == SECRET.encode():
        secret = bytearray(b"x")
    forged.append([(name, bytes(secret))])
    forged.append([(name, SECRET.encode()), (name, bytes(secret))])
    forged.append([(b"X-Telegram-Bot-Api-Secret", SECRET.encode())])
    if dice.random() < 0.7:
        return dice.choice(forged), dice.choice([good, bytes(changed), b"", dice.randbytes(500)])
    return [(name, SECRET.encode())], dice.choice([good[: dice.randrange(len(good))], b"", b"[%s]" % good, b"\xff" * 9])


async def _raw(client: Client, headers: list[tuple[bytes, bytes]], body: bytes) -> int:
    """Bytes on a socket: an HTTP client would not send half of these headers."""
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n" % (
        WEBHOOK_PATH.encode(),
        len(body),
    )
    head += b"".join(b"%s: %s\r\n" % header for header in headers)
    reader, writer = await asyncio.open_connection(client.host, client.port)
    try:
        writer.write(head + b"\r\n" + body)
        async with asyncio.timeout(10):
            line = await reader.readline()
            await reader.read()
    finally:
        writer.close()
    return int(line.split()[1])


# -- Registering --


async def test_the_webhook_is_registered_with_its_secret_and_drops_nothing(client: Client, fake: FakeTelegram) -> None:
    (call,) = fake.calls("setWebhook")
    assert call.params["url"] == URL
    assert call.params["secret_token"] == SECRET
    assert call.params["drop_pending_updates"] == "false"
    assert "stopped_message_generation" in call.params["allowed_updates"]
    assert fake.calls("getUpdates") == []


async def test_a_webhook_that_was_lost_is_registered_again(client: Client, fake: FakeTelegram, until: Until) -> None:
    async with aiohttp.ClientSession() as http:
        await http.post(f"{fake.url}/bot{fake.token}/deleteWebhook")
    await until(lambda: fake.state.webhook is not None and fake.state.webhook.url == URL)


async def test_what_waited_during_an_outage_arrives_by_the_webhook(
    make: Build, fake: FakeTelegram, intake: MemoryIntake, running: Running, until: Until
) -> None:
    channel = await make(**HOOK)
    fake.people.says(5, "hello")
    intake.failures = 2
    async with serving(channel, intake) as client:
        fake.sender.proxies["https://bot.example.com"] = f"http://{client.host}:{client.port}"
        async with running(channel):
            await until(lambda: intake.texts == ["hello"] and not fake.unconfirmed())
    assert {status for _, status in fake.sender.answers} == {200, 503}


async def test_trouble_with_registering_is_told_and_passes(
    make: Build, fake: FakeTelegram, running: Running, until: Until
) -> None:
    fake.faults.add(Fault(kind="error", method="setWebhook", code=400, description="Bad Request: bad webhook", times=2))
    channel = await make(**HOOK)
    async with running(channel):
        await until(lambda: "bad webhook" in channel.health().detail)
        await until(lambda: channel.health().up)
        revoked = fake.faults.add(Fault(kind="error", method="getWebhookInfo", code=401, description="Unauthorized"))
        await until(lambda: revoked.fired and "token" in channel.health().detail)
        fake.faults.clear()
        await until(lambda: channel.health().up)


async def test_a_polling_channel_serves_no_route(make: Build, intake: MemoryIntake) -> None:
    assert list((await make()).routes(intake)) == []
