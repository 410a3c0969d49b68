"""F24 on Slack: calls to the request URL that Slack did not make, or not now, or not like this. A 4xx, and no row."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import signal
import time
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from adapters.slack.settings import EVENTS_PATH
from tests.fakes.slack_api import FakeSlack
from tests.fakes.slackapi import signing
from tests.faults import oracle, seeds
from tests.faults.test_slack_kill import slack_settings
from tests.faults.zygote import Driver, zygote

STAMP, SIGNATURE = "X-Slack-Request-Timestamp", "X-Slack-Signature"
BOMB = gzip.compress(b" " * 3_000_000)
Headers = list[tuple[str, str]]


class Forger:
    """Makes requests out of true ones: of one who has seen some, one who guesses, and one who has a broken pen."""

    def __init__(self, secret: str, genuine: list[tuple[bytes, str]], chance: random.Random) -> None:
        """:param genuine: bodies and their content types."""
        self._secret = secret
        self._genuine = genuine
        self._chance = chance

    def make(self, number: int) -> tuple[str, bytes, Headers]:
        """(kind, body, headers)."""
        kinds = (self._unsigned, self._altered, self._stale, self._garbage, self._packed)
        body, kind = self._chance.choice(self._genuine)
        make = kinds[number % len(kinds)]
        body, headers = make(body)
        if make == self._garbage:
            form = body.startswith((b"payload=", b"a0=", b"%ff="))
            kind = "application/x-www-form-urlencoded" if form else "application/json"
        return make.__name__, body, [*headers, ("Content-Type", kind)]

    def _signed(self, body: bytes, at: float | str | None = None) -> Headers:
        stamp = str(int(time.time()) if at is None else at)
        return [(STAMP, stamp), (SIGNATURE, signing.signature(self._secret, stamp, body))]

    def _unsigned(self, body: bytes) -> tuple[bytes, Headers]:
        """Signatures that are nearly right, or not there."""
        stamp, right = str(int(time.time())), ""
        right = signing.signature(self._secret, stamp, body)
        place = self._chance.randrange(3, len(right))
        near = right[:place] + ("0" if right[place] != "0" else "1") + right[place + 1 :]
        other = signing.signature("another-secret-" + self._secret, stamp, body)
        options: list[Headers] = [
            [],
            [(STAMP, stamp)],
            [(SIGNATURE, right)],
            [(STAMP, stamp), (SIGNATURE, "")],
            [(STAMP, stamp), (SIGNATURE, near)],
            [(STAMP, stamp), (SIGNATURE, other)],
            [(STAMP, stamp), (SIGNATURE, right[:-1])],
            [(STAMP, stamp), (SIGNATURE, right + "0")],
            [(STAMP, stamp), (SIGNATURE, right.replace("v0=", "v1="))],
            [(STAMP, stamp), (SIGNATURE, right.removeprefix("v0="))],
            [(STAMP, stamp), (SIGNATURE, right.upper())],
            [(STAMP, stamp), (SIGNATURE, "签名".encode().decode("latin-1"))],
            [(STAMP, stamp), (SIGNATURE, "v0=" + "f" * self._chance.randrange(1, 4000))],
            [(STAMP, stamp), (SIGNATURE, near), (SIGNATURE, right)],
            [(STAMP, stamp), (STAMP, str(int(stamp) - 1)), (SIGNATURE, right)],
            [(STAMP, stamp), ("Authorization", f"Bearer {self._secret}")],
        ]
        return body, self._chance.choice(options)

    def _altered(self, body: bytes) -> tuple[bytes, Headers]:
        """A true signature, and other words than were signed, or another time."""
        headers = self._signed(body)
        place = self._chance.randrange(len(body))
        options = [
            body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :],
            body[:place],
            body + b" ",
            body.replace(b"T1", b"T2", 1) + b"\n",
            b"",
        ]
        if self._chance.random() < 0.2:
            return body, [(STAMP, str(int(time.time()) - 7)), headers[1]]
        return self._chance.choice(options), headers

    def _stale(self, body: bytes) -> tuple[bytes, Headers]:
        """Truly signed, long ago or not yet; and times that are none."""
        now = time.time()
        times: list[float | str] = [
            int(now) - 301, int(now) - 3600, int(now) - 10**8, int(now) + 310, int(now) + 10**8, 0, -1, "abc", "",
            "1e9", "nan", "inf", "9" * 400, f"{int(now)}.5", f" {int(now)}\u00a0", f"0x{int(now):x}", f"-{int(now)}",
        ]  # fmt: skip
        stamp = str(self._chance.choice(times))
        sent = stamp.encode().decode("latin-1")  # what a header can hold
        return body, [(STAMP, sent), (SIGNATURE, signing.signature(self._secret, sent, body))]

    def _garbage(self, body: bytes) -> tuple[bytes, Headers]:
        """Truly signed, and no payload at all."""
        noise = bytes(self._chance.randrange(256) for _ in range(self._chance.randrange(1, 300)))
        options = [
            body[: len(body) // 2],
            b"\xff\xfe" + noise,
            b"[" * 5000,
            b'{"event": ' + b"9" * 5000,
            b"null",
            b"[]",
            b"7",
            b'"words"',
            b"",
            b"payload=",
            b"payload=%7B",
            b"payload=1&payload=2",
            b"&".join(b"a%d=1" % number for number in range(200)),
            b"%ff=%fe",
        ]
        chosen = self._chance.choice(options)
        return chosen, self._signed(chosen)

    def _packed(self, body: bytes) -> tuple[bytes, Headers]:
        """What unpacks to a hundred times its size, or is not packed as it says."""
        options: list[tuple[bytes, Headers]] = [
            (BOMB, [*self._signed(BOMB), ("Content-Encoding", "gzip")]),
            (body, [*self._signed(body), ("Content-Encoding", "gzip")]),
            (body, [*self._signed(body), ("Content-Encoding", "deflate")]),
        ]
        return self._chance.choice(options)


def _genuine(slack: FakeSlack) -> list[tuple[bytes, str]]:
    """What Slack would send: an event, a command, a click. Nobody listens, so it gives them up."""
    said = slack.people.mentions("C1", "ticket T1", user="U1")
    ids = [*said["event_ids"], slack.hands.commands("C1", "/ask", "T1", user="U1")["id"]]
    ids.append(slack.hands.uses_shortcut("C1", said["ts"], "kefu_ticket_from_message")["id"])
    found = [slack.feed.signed(one) for one in ids]
    return [(body, headers["Content-Type"]) for body, headers in found]


async def _send(session: aiohttp.ClientSession, url: str, body: bytes, headers: Headers) -> int:
    async with session.post(url, data=body, headers=headers) as response:
        await response.read()
        return response.status


async def _fuzz(session: aiohttp.ClientSession, url: str, forger: Forger, count: int) -> Counter[tuple[str, int]]:
    statuses: Counter[tuple[str, int]] = Counter()

    async def one(number: int) -> None:
        kind, body, headers = forger.make(number)
        statuses[kind, await _send(session, url, body, headers)] += 1

    for start in range(0, count, 20):
        await asyncio.gather(*(one(number) for number in range(start, min(start + 20, count))))
    return statuses


async def _run(driver: Driver, folder: Path, count: int) -> None:
    chance, report = seeds.begin("F24 slack")
    async with (
        FakeSlack() as slack,
        zygote(driver, folder, more=slack_settings(slack, "http")) as bot,
        # A refusal may end its connection: a client that reuses one would now and then meet its end.
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
    ):
        slack.feed.transport, slack.feed.request_url, slack.feed.schedule = "http", "http://127.0.0.1:1", ()
        genuine = _genuine(slack)
        await bot.start()
        await bot.ready()
        url = bot.site.url + EVENTS_PATH
        before = await asyncio.to_thread(oracle.rows, bot.database)
        statuses = await _fuzz(session, url, Forger(slack.signing_secret, genuine, chance), count)
        after = await asyncio.to_thread(oracle.rows, bot.database)
        body, kind = genuine[0]
        signed = [*signing.headers(slack.signing_secret, int(time.time()), body).items(), ("Content-Type", kind)]
        replays = [await _send(session, url, body, signed) for _ in range(5)]
        while await asyncio.to_thread(oracle.open_work, bot.database):
            await asyncio.sleep(0.05)
        tickets = await asyncio.to_thread(oracle.query, bot.database, "SELECT number FROM tickets")
        assert await bot.kill(signal.SIGTERM) == 0
        words = bot.words(10**7)
    report.counts |= {"requests": count, "statuses": dict(Counter(status for _, status in statuses.elements()))}
    report.print()
    assert all(400 <= status < 500 for _, status in statuses), statuses
    assert statuses.total() == count
    assert after == before, "nothing forged left a row"
    assert replays == [200] * 5
    assert len(tickets) == 1, "a replay has no effect"
    assert slack.signing_secret not in words
    assert slack.bot_token not in words
    assert json.dumps("ticket T1")[1:-1] not in words, "nobody's words"
    assert "Traceback" not in words


async def test_forged_calls_are_refused(driver: Driver, tmp_path: Path) -> None:
    await _run(driver, tmp_path, 200)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_ten_thousand_forged_calls_are_refused(driver: Driver, tmp_path: Path) -> None:
    await _run(driver, tmp_path, 10_000)
