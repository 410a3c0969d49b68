"""F24 on WeCom: calls to its addresses that it did not make, or not now, or not like this. A 4xx, and no row."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import io
import random
import re
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
from multidict import MultiDict
from yarl import URL

from tests.fakes.wecom_api import FakeWeCom
from tests.fakes.wecomapi.sealing import Endpoint, Sealed
from tests.faults import oracle, seeds
from tests.faults.test_wecom_kill import wecom_settings
from tests.faults.wecom_rig import BOTH, PATHS, told_to_call
from tests.faults.zygote import Driver, zygote

BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_ENCRYPTED = re.compile(rb"(?<=<Encrypt><!\[CDATA\[)[^\]]+")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it goes out."""

    query: list[tuple[str, str]]
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "text/xml"),)
    verb: str = "POST"


class Forger:
    """Makes requests out of true ones: of one who has seen some, one who guesses, one who has the token and not the
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

    def _sealed(self, plain: str | None = None, **other: object) -> Sealed:
        return replace(self._endpoint, **other).seal(self._plain if plain is None else plain)  # type: ignore[arg-type]

    def _signed(self, encrypted: str, timestamp: str = "", nonce: str = "17") -> list[tuple[str, str]]:
        timestamp = timestamp or str(int(time.time()))
        parts = "".join(sorted((self._endpoint.token, timestamp, nonce, encrypted)))
        signature = hashlib.sha1(parts.encode(), usedforsecurity=False).hexdigest()
        return [("msg_signature", signature), ("timestamp", timestamp), ("nonce", nonce)]

    def _enveloped(self, encrypted: str, timestamp: str = "") -> Asked:
        """Truly signed, whatever it is."""
        body = f"<xml><ToUserName><![CDATA[ww]]></ToUserName><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
        return Asked(self._signed(encrypted, timestamp), body.encode())

    def _unsigned(self) -> Asked:
        """Signatures that are nearly right, or not there."""
        sealed = self._sealed()
        right = sealed.query["msg_signature"]
        place = self._chance.randrange(len(right))
        near = right[:place] + ("0" if right[place] != "0" else "1") + right[place + 1 :]
        other = self._sealed(token="AnotherToken").query["msg_signature"]
        rest = [(name, value) for name, value in sealed.query.items() if name != "msg_signature"]
        wrong = [
            "", near, other, right[:-1], right + "0", right.upper(), f"{right} ", "签名", "f" * 3000, "\0" * 40,
            hashlib.sha256(sealed.body).hexdigest(), "0" * 40,
        ]  # fmt: skip
        options: list[list[tuple[str, str]]] = [
            [], rest, [("msg_signature", right)], [("msg_signature", right), rest[0]], [("signature", right), *rest],
            [("msg_signature", near), ("msg_signature", right), *rest], [("msg_signature", right), *rest, *rest],
            *([("msg_signature", one), *rest] for one in wrong),
        ]  # fmt: skip
        return Asked(self._chance.choice(options), sealed.body)

    def _altered(self) -> Asked:
        """A true signature, and another ciphertext, time or number than were signed."""
        sealed = self._sealed()
        found = _ENCRYPTED.search(sealed.body)
        assert found is not None
        place = self._chance.randrange(*found.span())
        other = self._chance.choice([one for one in BASE64.encode() if one != sealed.body[place]])
        bodies = [
            sealed.body[:place] + bytes([other]) + sealed.body[place + 1 :],
            sealed.body[:place] + sealed.body[place + 1 :],
            sealed.body[: self._chance.randrange(len(sealed.body))],
            _ENCRYPTED.sub(_ENCRYPTED.search(self._sealed().body)[0], sealed.body),  # type: ignore[index]
        ]
        query = dict(sealed.query)
        if self._chance.random() < 0.3:
            name = self._chance.choice(["timestamp", "nonce"])
            query[name] = str(int(query[name]) - self._chance.randrange(1, 9))
            return Asked(list(query.items()), sealed.body)
        return Asked(list(query.items()), self._chance.choice(bodies))

    def _stale(self) -> Asked:
        """Truly signed, long ago or not yet; and times that are none."""
        if self._chance.random() < 0.5:
            sealed = self._sealed(skew=self._chance.choice([-3700, -86400, -(10**8), 3700, 10**8]))
            return Asked(list(sealed.query.items()), sealed.body)
        now = int(time.time())
        times = ["0", "-1", "abc", "", "1e9", "nan", "9" * 400, f"{now}.5", f" {now}", f"0x{now:x}", f"-{now}", "①②"]
        encrypted = _ENCRYPTED.search(self._sealed().body)
        assert encrypted is not None
        stamp = self._chance.choice(times)
        made = self._enveloped(encrypted[0].decode(), stamp or "0")
        return replace(made, query=[(name, stamp if name == "timestamp" else value) for name, value in made.query])

    def _keyless(self) -> Asked:
        """Truly signed by one who has the token, and encrypted by one who has not the key, or for somebody else."""
        found = _ENCRYPTED.search(self._sealed().body)
        assert found is not None
        raw = bytearray(base64.b64decode(found[0]))
        raw[self._chance.randrange(16, len(raw))] ^= 1 << self._chance.randrange(8)
        other_key = secrets.token_hex(22)[:42] + "A"
        foreign = [
            self._sealed(aes_key=other_key),
            self._sealed(receive_id="wwSomebodyElse"),
            self._sealed(receive_id=""),
        ]
        theirs = _ENCRYPTED.search(self._chance.choice(foreign).body)
        assert theirs is not None
        cut = raw[: 16 * self._chance.randrange(1, len(raw) // 16)]
        noise = self._chance.randbytes(self._chance.choice([1, 16, 31, 32, 64, 320]))
        options = [bytes(raw), bytes(cut), noise, bytes(raw) + noise, b"\0" * 64]
        encoded = base64.b64encode(self._chance.choice(options)).decode()
        words = [encoded, theirs[0].decode(), encoded[:-1], "=" * 8, "密文", "AAAA AAAA", "*" * 64]
        return self._enveloped(self._chance.choice([encoded, *words]))

    def _nonsense(self) -> Asked:
        """Truly encrypted and signed, and nothing that WeCom would say."""
        bomb = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 9))
        plain = self._chance.choice([
            "", " ", "null", "{}", "[" * 3000, "<xml>", "<xml><a>", "</xml>", "<xml/>", "<xml></xml>", "just words",
            self._plain[: len(self._plain) // 2], self._plain + "<", f"<!DOCTYPE xml [{bomb}]><xml><a>&a8;</a></xml>",
            '<!DOCTYPE xml [<!ENTITY x SYSTEM "file:///etc/passwd">]><xml><a>&x;</a></xml>',
            "<xml>" + "<a>" * 3000 + "</a>" * 3000 + "</xml>", "<xml><a>&#0;</a></xml>", "<xml>\0</xml>",
            f'<?xml version="1.0" encoding="klingon"?>{self._plain}',
        ])  # fmt: skip
        sealed = self._sealed(plain)
        return Asked(list(sealed.query.items()), sealed.body)

    def _other_shape(self) -> Asked:
        """A true signature, and no envelope around what is signed."""
        sealed = self._sealed()
        found = _ENCRYPTED.search(sealed.body)
        assert found is not None
        inner = found[0]
        body = self._chance.choice([
            b"", b" ", b"<xml></xml>", b'{"encrypt": "' + inner + b'"}', b"<Encrypt>" + inner + b"</Encrypt>",
            b"<xml><Encrypt></Encrypt></xml>", b"<xml><encrypt>" + inner + b"</encrypt></xml>",
            b"<xml><Encrypt>" + inner + b"</Encrypt><Encrypt>" + inner + b"</Encrypt></xml>",
            b"<xml><Encrypt><a>" + inner + b"</a></Encrypt></xml>", b"\xff\xfe" + sealed.body, b"\0" * 400,
            b"<!DOCTYPE xml>" + sealed.body, sealed.body.replace(b"</xml>", b""), b"<xml>" * 4000,
            b"<xml><a>" + b"x" * 1_200_000 + b"</a></xml>", sealed.body * 2,
        ])  # fmt: skip
        return Asked(list(sealed.query.items()), body)

    def _packed(self) -> Asked:
        """What unpacks to a hundred times its size, or is not packed as it says."""
        sealed = self._sealed()
        bomb = gzip.compress(b"<xml>" + b" " * 3_000_000)
        options = [(bomb, "gzip"), (sealed.body, "gzip"), (sealed.body, "deflate")]
        body, how = self._chance.choice(options)
        return Asked(list(sealed.query.items()), body, (("Content-Type", "text/xml"), ("Content-Encoding", how)))

    def _challenge(self) -> Asked:
        """A GET that asks whether we can decrypt: somebody else's, an old one, one with a message of WeCom's."""
        stale, true = replace(self._endpoint, skew=-4000), self._endpoint.challenge("1288432023552776189")
        query = self._chance.choice([
            {}, {**true, "msg_signature": "0" * 40}, {**true, "echostr": true["echostr"][:-4]}, {**true, "nonce": "1"},
            {name: value for name, value in true.items() if name != "echostr"}, stale.challenge("12884320235527"),
            replace(self._endpoint, token="AnotherToken").challenge("12884320235527"),
            replace(self._endpoint, receive_id="wwSomebodyElse").challenge("12884320235527"),
            self._endpoint.challenge(self._plain),
        ])  # fmt: skip
        return Asked(list(query.items()), b"", (), "GET")


async def _send(session: aiohttp.ClientSession, url: str, asked: Asked) -> int:
    address = URL(url).with_query(MultiDict(asked.query))
    body = io.BytesIO(asked.body) if asked.body else None
    async with session.request(asked.verb, address, data=body, headers=asked.headers) as response:
        await response.read()
        return response.status


async def _fuzz(
    session: aiohttp.ClientSession, urls: list[str], forgers: list[Forger], count: int
) -> Counter[tuple[str, int]]:
    statuses: Counter[tuple[str, int]] = Counter()

    async def one(number: int) -> None:
        which = number % len(forgers)
        kind, asked = forgers[which].make(number // len(forgers))
        statuses[kind, await _send(session, urls[which], asked)] += 1

    for start in range(0, count, 20):
        await asyncio.gather(*(one(number) for number in range(start, min(start + 20, count))))
    return statuses


def _rows(path: Path) -> dict[str, int]:
    """How many rows every table has."""
    tables = [row["name"] for row in oracle.query(path, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: oracle.query(path, f'SELECT count(*) AS n FROM "{name}"')[0]["n"] for name in tables}


async def _run(driver: Driver, folder: Path, count: int) -> None:
    chance, report = seeds.begin("F24 wecom")
    async with (
        FakeWeCom() as wecom,
        zygote(driver, folder, more=wecom_settings(wecom, *BOTH)) as bot,
        # A refusal may end its connection: a client that reuses one would now and then meet its end.
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
    ):
        wecom.colleagues.says("lisi", "ticket T1")  # nobody listens yet, so they are given up
        wecom.customers.tells()
        genuine = list(wecom.feed.deliveries.values())
        await wecom.until(lambda: all(one.fate for one in genuine))
        await bot.start()
        await bot.ready()
        await wecom.until(lambda: wecom.calls("kf/sync_msg", applied=True), timeout=10)
        while not await asyncio.to_thread(oracle.query, bot.database, "SELECT 1 FROM cursors"):
            await asyncio.sleep(0.02)
        told_to_call(wecom, bot.site.url)
        assert [await wecom.feed.verify(way) for way in BOTH] == [True, True]
        before, reads = await asyncio.to_thread(_rows, bot.database), len(wecom.calls("kf/sync_msg"))
        forgers = [Forger(wecom.feed.endpoints[one.endpoint], one.plain, chance) for one in genuine]
        urls = [bot.site.url + PATHS[one.endpoint] for one in genuine]
        statuses = await _fuzz(session, urls, forgers, count)
        after = await asyncio.to_thread(_rows, bot.database)
        read_after = len(wecom.calls("kf/sync_msg"))
        replays = [
            [(await wecom.feed.post(one.endpoint, sealed))[0] for _ in range(5)]
            for one in genuine
            for sealed in [wecom.feed.sealed(one.id)]
        ]
        await wecom.until(lambda: wecom.texts("app", "lisi"), timeout=10)
        while await asyncio.to_thread(oracle.open_work, bot.database):
            await asyncio.sleep(0.05)
        tickets = await asyncio.to_thread(oracle.query, bot.database, "SELECT number FROM tickets")
        assert await bot.kill(signal.SIGTERM) == 0
        words = bot.words(10**7)
        assert wecom.violations == []
    report.counts |= {"requests": count, "statuses": dict(Counter(status for _, status in statuses.elements()))}
    report.print()
    assert all(400 <= status < 500 for _, status in statuses), statuses
    assert statuses.total() == count
    assert after == before, "nothing forged left a row"
    assert read_after == reads, "nor had it us ask WeCom"
    assert replays == [[200] * 5] * 2
    assert len(tickets) == 1, "a replay has no effect"
    kept = [wecom.app_secret, wecom.kf_secret, *(one.token for one in (wecom.app, wecom.kf))]
    kept += [one.aes_key for one in (wecom.app, wecom.kf)]
    assert not [one for one in kept if one in words]
    assert "ticket T1" not in words, "nobody's words"
    assert "Traceback" not in words


async def test_forged_calls_are_refused(driver: Driver, tmp_path: Path) -> None:
    await _run(driver, tmp_path, 480)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_ten_thousand_forged_calls_are_refused(driver: Driver, tmp_path: Path) -> None:
    await _run(driver, tmp_path, 10_000)
