"""F24 and P25 on WeCom's AI bot: calls to its address that WeCom did not make, or not now, or not like this.

A 4xx, and no row. Where somebody repeats WeCom's very bytes, nothing happens a second time.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import io
import json
import random
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from multidict import MultiDict
from yarl import URL

from adapters.wecom.bot.settings import CALLBACK_PATH
from tests.fakes.wecom_api import FakeWeCom
from tests.fakes.wecomapi.sealing import Endpoint, Sealed
from tests.faults import oracle, seeds
from tests.faults.slack_rig import NOBODY
from tests.faults.test_wecom_bot_kill import bot_settings
from tests.faults.zygote import Driver, zygote

_JSON = (("Content-Type", "application/json"),)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it goes out."""

    query: list[tuple[str, str]]
    body: bytes
    headers: tuple[tuple[str, str], ...] = _JSON
    verb: str = "POST"


class Forger:
    """Makes requests out of true ones: of one who has seen some, one who guesses, one who has the token but not the
    key, and one with a broken pen."""

    def __init__(self, endpoint: Endpoint, plain: str, chance: random.Random) -> None:
        """:param plain: what WeCom would say."""
        self._endpoint = endpoint
        self._plain = plain
        self._chance = chance

    def make(self, number: int) -> tuple[str, Asked]:
        """(kind, request)."""
        kinds: tuple[Callable[[], Asked], ...] = (
            self._unsigned, self._altered, self._stale, self._keyless, self._nonsense, self._other_shape, self._packed,
            self._challenge,
        )  # fmt: skip
        make = kinds[number % len(kinds)]
        return make.__name__, make()

    def _sealed(self, plain: str | None = None, **other: Any) -> Sealed:
        return replace(self._endpoint, **other).seal(self._plain if plain is None else plain)

    def _encrypted(self, **other: Any) -> str:
        return str(json.loads(self._sealed(**other).body)["encrypt"])

    def _enveloped(self, encrypted: Any, timestamp: str = "") -> Asked:
        """Truly signed, whatever it is."""
        timestamp, nonce = timestamp or str(int(time.time())), "17"
        parts = "".join(sorted((self._endpoint.token, timestamp, nonce, str(encrypted))))
        signature = hashlib.sha1(parts.encode(), usedforsecurity=False).hexdigest()
        query = [("msg_signature", signature), ("timestamp", timestamp), ("nonce", nonce)]
        return Asked(query, json.dumps({"encrypt": encrypted}).encode())

    def _unsigned(self) -> Asked:
        """Signatures that are nearly right, or not there."""
        sealed = self._sealed()
        right = sealed.query["msg_signature"]
        place = self._chance.randrange(len(right))
        near = right[:place] + ("0" if right[place] != "0" else "1") + right[place + 1 :]
        other = self._sealed(token="AnotherToken").query["msg_signature"]
        rest = [(name, value) for name, value in sealed.query.items() if name != "msg_signature"]
        wrong = ["", near, other, right[:-1], right + "0", right.upper(), "签名", "f" * 3000, "\0" * 40, "0" * 40]
        if right.upper() == right:
            wrong.remove(right.upper())
        options: list[list[tuple[str, str]]] = [
            [], rest, [("msg_signature", right)], [("msg_signature", right), rest[0]], [("signature", right), *rest],
            [("msg_signature", near), ("msg_signature", right), *rest], [("msg_signature", right), *rest, *rest],
            *([("msg_signature", one), *rest] for one in wrong),
        ]  # fmt: skip
        return Asked(self._chance.choice(options), sealed.body)

    def _altered(self) -> Asked:
        """A true signature, and another ciphertext, time or number than were signed."""
        sealed, encrypted = self._sealed(), ""
        encrypted = json.loads(sealed.body)["encrypt"]
        place = self._chance.randrange(len(encrypted) - 4)
        other = "A" if encrypted[place] != "A" else "B"
        words = [
            encrypted[:place] + other + encrypted[place + 1 :], encrypted[:place] + encrypted[place + 1 :],
            encrypted[:place], self._encrypted(), encrypted + encrypted,
        ]  # fmt: skip
        query = dict(sealed.query)
        if self._chance.random() < 0.3:
            name = self._chance.choice(["timestamp", "nonce"])
            query[name] = str(int(query[name]) + self._chance.randrange(1, 9))
            return Asked(list(query.items()), sealed.body)
        body = json.dumps({"encrypt": self._chance.choice(words)}).encode()
        return Asked(list(query.items()), body)

    def _stale(self) -> Asked:
        """Truly signed, long ago or not yet; and times that are none."""
        if self._chance.random() < 0.5:
            sealed = self._sealed(skew=self._chance.choice([-3700, -86400, -(10**8), 3700, 10**8]))
            return Asked(list(sealed.query.items()), sealed.body)
        now = int(time.time())
        times = ["0", "-1", "abc", "1e9", "nan", "9" * 400, f"{now}.5", f" {now}", f"0x{now:x}", f"-{now}", "①②"]
        return self._enveloped(self._encrypted(), self._chance.choice(times))

    def _keyless(self) -> Asked:
        """Truly signed by one who has the token, and encrypted by one who has not the key, or for somebody else."""
        raw = bytearray(base64.b64decode(self._encrypted()))
        raw[self._chance.randrange(16, len(raw))] ^= 1 << self._chance.randrange(8)
        noise = self._chance.randbytes(self._chance.choice([1, 16, 31, 32, 64, 320]))
        cut = raw[: 16 * self._chance.randrange(1, len(raw) // 16)]
        encoded = base64.b64encode(self._chance.choice([bytes(cut), noise, bytes(raw) + noise, b"\0" * 64])).decode()
        foreign = self._encrypted(aes_key=secrets.token_hex(22)[:42] + "A")
        theirs = self._encrypted(receive_id="wwSomebodyElse")
        return self._enveloped(
            self._chance.choice([encoded, foreign, theirs, encoded[:-1], "=" * 8, "密文", "AAAA AAAA", "*" * 64])
        )

    def _nonsense(self) -> Asked:
        """Truly encrypted and signed, and nothing that WeCom would say."""
        plain = self._chance.choice([
            "", " ", "null", "[]", "7", '"words"', "[" * 5000, "{", "{}}", "<xml></xml>", '{"a": ' + "9" * 5000,
            self._plain[: len(self._plain) // 2], self._plain + "}", '{"msgtype": }', "\0", '{"a":1}{"b":2}',
        ])  # fmt: skip
        sealed = self._sealed(plain)
        return Asked(list(sealed.query.items()), sealed.body)

    def _other_shape(self) -> Asked:
        """A true signature, and no envelope around what is signed."""
        sealed = self._sealed()
        inner = json.loads(sealed.body)["encrypt"].encode()
        body = self._chance.choice([
            b"", b" ", b"{}", b"null", b"[]", b"7", inner, b'"' + inner + b'"', b'["' + inner + b'"]',
            b'{"Encrypt": "' + inner + b'"}', b'{"encrypt": ["' + inner + b'"]}', b'{"encrypt": ""}',
            b'{"encrypt": null}', b'{"encrypt": {"a": "' + inner + b'"}}', b"\xff\xfe" + sealed.body, b"\0" * 400,
            sealed.body[:-1], sealed.body * 2, b"[" * 5000, b"<xml><Encrypt>" + inner + b"</Encrypt></xml>",
            b'{"a": "' + b"x" * 1_200_000 + b'"}', b'{"a": ' + b"9" * 5000,
        ])  # fmt: skip
        return Asked(list(sealed.query.items()), body)

    def _packed(self) -> Asked:
        """What unpacks to a hundred times its size, or is not packed as it says."""
        sealed = self._sealed()
        bomb = gzip.compress(b'{"a": "' + b" " * 3_000_000)
        body, how = self._chance.choice([(bomb, "gzip"), (sealed.body, "gzip"), (sealed.body, "deflate")])
        return Asked(list(sealed.query.items()), body, (*_JSON, ("Content-Encoding", how)))

    def _challenge(self) -> Asked:
        """A GET that wants to know whether we can decrypt: of others, of old, and with words of WeCom's to be read."""
        stale, true = replace(self._endpoint, skew=-4000), self._endpoint.challenge("1288432023552776189")
        query = self._chance.choice([
            {}, {**true, "msg_signature": "0" * 40}, {**true, "echostr": true["echostr"][:-4]}, {**true, "nonce": "1"},
            {name: value for name, value in true.items() if name != "echostr"}, stale.challenge("12884320235527"),
            replace(self._endpoint, token="AnotherToken").challenge("12884320235527"),
            replace(self._endpoint, receive_id="wwSomebodyElse").challenge("12884320235527"),
            self._endpoint.challenge(self._plain),
        ])  # fmt: skip
        return Asked(list(query.items()), b"", (), "GET")


def _nothing_of_ours(plain: str, chance: random.Random) -> str:
    """Truly WeCom's in form, and about nothing that there is: other bots, fields that are missing or of other kinds."""
    whole = json.loads(plain)
    name = chance.choice([*sorted(whole), "msgtype", "text", "from"])
    options: list[Any] = [None, 7, -1, 1e300, [], {}, "", "x" * 300, [[["x"]]], {"a": {"b": []}}, True, "event"]
    if chance.random() < 0.4:
        whole.pop(name, None)
    else:
        whole[name] = chance.choice(options)
    return json.dumps(whole)


async def _send(session: aiohttp.ClientSession, url: str, asked: Asked) -> int:
    address = URL(url).with_query(MultiDict(asked.query))
    body = io.BytesIO(asked.body) if asked.body else None
    async with session.request(asked.verb, address, data=body, headers=asked.headers) as response:
        await response.read()
        return response.status


async def _fuzz(session: aiohttp.ClientSession, url: str, forger: Forger, count: int) -> Counter[tuple[str, int]]:
    statuses: Counter[tuple[str, int]] = Counter()

    async def one(number: int) -> None:
        kind, asked = forger.make(number)
        statuses[kind, await _send(session, url, asked)] += 1

    for start in range(0, count, 20):
        await asyncio.gather(*(one(number) for number in range(start, min(start + 20, count))))
    return statuses


def _rows(path: Path) -> dict[str, int]:
    """How many rows every table has."""
    tables = [row["name"] for row in oracle.query(path, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: oracle.query(path, f'SELECT count(*) AS n FROM "{name}"')[0]["n"] for name in tables}


async def _run(driver: Driver, folder: Path, count: int) -> None:
    chance, report = seeds.begin("F24 wecom_bot")
    async with (
        FakeWeCom() as wecom,
        zygote(driver, folder, more=bot_settings(wecom)) as bot,
        # A refusal may end its connection: a client that reuses one would now and then meet its end.
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
    ):
        wecom.bot.url = NOBODY + CALLBACK_PATH
        wecom.feed.attempts = 1
        genuine = wecom.chats.says("lisi", "ticket T1").delivery
        assert genuine is not None
        await wecom.until(lambda: genuine.fate)  # nobody listens yet, so it is given up
        await bot.start()
        await bot.ready()
        wecom.bot.url = url = bot.site.url + CALLBACK_PATH
        assert await wecom.feed.verify("bot")
        before = await asyncio.to_thread(_rows, bot.database)
        statuses = await _fuzz(session, url, Forger(wecom.bot, genuine.plain, chance), count)
        after = await asyncio.to_thread(_rows, bot.database)
        sealed = wecom.feed.sealed(genuine.id)
        replays = [await wecom.feed.post("bot", sealed) for _ in range(5)]
        streams = {json.loads(wecom.bot.read(body, sealed.query["nonce"]))["stream"]["id"] for _, body in replays}
        await _until_it_ends(wecom, streams)
        tickets = await asyncio.to_thread(oracle.query, bot.database, "SELECT number FROM tickets")
        strange = Counter[int]()
        for _ in range(count // 10):
            sealed = wecom.bot.seal(_nothing_of_ours(genuine.plain, chance))
            strange[(await wecom.feed.post("bot", sealed))[0]] += 1
        assert await bot.kill(signal.SIGTERM) == 0
        words = bot.words(10**7)
    report.counts |= {"requests": count, "statuses": dict(Counter(status for _, status in statuses.elements()))}
    report["strange"] = dict(strange)
    report.print()
    assert all(400 <= status < 500 for _, status in statuses), statuses
    assert statuses.total() == count
    assert after == before, "nothing forged left a row"
    assert set(strange) <= {200, 400}
    assert [status for status, _ in replays] == [200] * 5
    assert (len(streams), len(tickets)) == (1, 1), "a replay has no effect"
    assert wecom.bot.token not in words
    assert wecom.bot.aes_key not in words
    assert "ticket T1" not in words, "nobody's words"
    assert "Traceback" not in words


async def _until_it_ends(wecom: FakeWeCom, streams: set[str]) -> None:
    """WeCom comes for the answer."""
    [exchange] = wecom.chats.exchanges.values()
    async with asyncio.timeout(10):
        for stream in streams:
            while not json.loads((await wecom.chats.refresh(exchange, stream=stream)).reply)["stream"]["finish"]:
                await asyncio.sleep(0.1)


async def test_forged_calls_are_refused(driver: Driver, tmp_path: Path) -> None:
    await _run(driver, tmp_path, 400)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_ten_thousand_forged_calls_are_refused(driver: Driver, tmp_path: Path) -> None:
    await _run(driver, tmp_path, 10_000)
