"""F24: calls to the webhook that Telegram did not make, or not like this. Refused, each in its way, and never a 500."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.botapi.remote import RemoteTelegram
from tests.faults import oracle, seeds
from tests.faults.processes import telegram_beside
from tests.faults.rig import ORIGIN, SECRET
from tests.faults.zygote import UNLIMITED, Driver, zygote

HEADER = "X-Telegram-Bot-Api-Secret-Token"
WEBHOOK = f'transport = "webhook"\nwebhook_url = "{ORIGIN}/telegram/webhook"\nwebhook_secret = "{SECRET}"\n'
BOMB = gzip.compress(b" " * 3_000_000)
REFUSALS = {400, 401, 403, 413, 415}


def _update(number: int) -> dict[str, Any]:
    chat = {"id": 5, "type": "private", "first_name": "P"}
    message = {
        "message_id": number,
        "date": 1_900_000_000,
        "chat": chat,
        "from": {"id": 5, "is_bot": False, "first_name": "P"},
    }
    return {"update_id": number, "message": message | {"text": "ticket T1"}}


def _wrong_secret(chance: random.Random) -> list[tuple[str, str]]:
    """Headers that are nearly right."""
    changed = list(SECRET)
    changed[chance.randrange(len(changed))] = chance.choice("abcXYZ019_-")
    near = "".join(changed)
    options: list[list[tuple[str, str]]] = [
        [],
        [(HEADER, "")],
        [(HEADER, near + "x")],
        [(HEADER, SECRET[:-1])],
        [(HEADER, SECRET.upper())],
        [(HEADER, "密钥".encode().decode("latin-1"))],
        [(HEADER, "x" * chance.randrange(1, 4000))],
        [(HEADER, SECRET), (HEADER, "second")],
        [("X-Telegram-Bot-Api-Secret", SECRET)],
        [("Authorization", f"Bearer {SECRET}")],
    ]
    return chance.choice(options)


def _spoilt(chance: random.Random, body: bytes) -> bytes:
    """A body that is no update."""
    noise = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 300)))
    options = [
        body[: chance.randrange(1, len(body))],
        noise,
        b"[" * 5000,
        b'{"update_id": ' + b"9" * 5000 + b"}",
        b'{"update_id": "7", "message": {}}',
        b'{"update_id": true}',
        b"null",
        b"",
        b'{"message": {}}',
        b"\xff\xfe" + body,
    ]
    return chance.choice(options)


async def _fuzz(session: aiohttp.ClientSession, url: str, count: int, chance: random.Random) -> Counter[int]:
    statuses: Counter[int] = Counter()

    async def one(number: int) -> None:
        body, headers = json.dumps(_update(number)).encode(), [(HEADER, SECRET), ("Content-Type", "application/json")]
        kind = number % 4
        if kind == 0:
            headers = [*_wrong_secret(chance), ("Content-Type", "application/json")]
        elif kind == 1:
            body = _spoilt(chance, body)
        elif kind == 2:
            body, headers = BOMB, [*headers, ("Content-Encoding", "gzip")]
        else:
            headers = [*headers, ("Content-Encoding", chance.choice(["gzip", "deflate"]))]  # which it is not
        async with session.post(url, data=body, headers=headers) as response:
            await response.read()
            statuses[response.status] += 1

    for start in range(0, count, 20):
        await asyncio.gather(*(one(number) for number in range(start, min(start + 20, count))))
    return statuses


async def _run(driver: Driver, folder: Path, count: int) -> None:
    chance, report = seeds.begin("F24")
    async with (
        telegram_beside() as telegram,
        zygote(driver, folder, telegram, telegram_more=WEBHOOK, more=UNLIMITED) as bot,
        # A refusal may end its connection: a client that reuses one would now and then meet its end.
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
    ):
        await bot.start()
        await bot.ready()
        await _until_webhook(telegram)
        url = f"{bot.site.url}/telegram/webhook"
        statuses = await _fuzz(session, url, count, chance)
        stored = await asyncio.to_thread(oracle.query, bot.database, "SELECT count(*) AS n FROM inbound")
        replays = [await _status(session, url, _update(10**6), {HEADER: SECRET}) for _ in range(5)]
        while await asyncio.to_thread(oracle.open_work, bot.database):
            await asyncio.sleep(0.05)
        tickets = await asyncio.to_thread(oracle.query, bot.database, "SELECT number FROM tickets")
        assert await bot.kill(signal.SIGTERM) == 0
        words = bot.words(10**7)
    report.counts |= {"requests": count, "statuses": dict(statuses), "stored": stored[0]["n"]}
    report.print()
    assert set(statuses) <= REFUSALS, statuses
    assert stored == [{"n": 0}], "nothing forged was taken"
    assert replays == [200] * 5
    assert len(tickets) == 1, "a replay has no effect"
    assert SECRET not in words
    assert telegram.token not in words
    assert "Traceback" not in words


async def _until_webhook(telegram: RemoteTelegram) -> None:
    async with asyncio.timeout(10):
        while not (await telegram.settings())["webhook"]:
            await asyncio.sleep(0.02)


async def _status(session: aiohttp.ClientSession, url: str, body: object, headers: dict[str, str]) -> int:
    async with session.post(url, json=body, headers=headers) as response:
        return response.status


async def test_forged_calls_are_refused(driver: Driver, tmp_path: Path) -> None:
    await _run(driver, tmp_path, 200)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_ten_thousand_forged_calls_are_refused(driver: Driver, tmp_path: Path) -> None:
    await _run(driver, tmp_path, 10_000)
