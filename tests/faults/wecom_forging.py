"""Calls that WeCom did not make, or not now, or not like this, made out of true ones, in either of its two forms."""

from __future__ import annotations

import asyncio
import base64
import functools
import gzip
import hashlib
import io
import random
import secrets
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
from multidict import MultiDict
from yarl import URL

from tests.fakes.wecomapi.sealing import Endpoint, Sealed

_SIDE_BY_SIDE = 20
_PACKED_BYTES = 3_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it goes out."""

    query: list[tuple[str, str]]
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    verb: str = "POST"


class Forger(ABC):
    """Makes requests out of true ones: of one who has seen some, one who guesses, one who has the token but not the
    key, and one with a broken pen."""

    content_type: str

    def __init__(self, endpoint: Endpoint, plain: str, chance: random.Random) -> None:
        """:param plain: what WeCom would say."""
        self.endpoint = endpoint
        self.plain = plain
        self.chance = chance

    def make(self, number: int) -> tuple[str, Asked]:
        """(kind, request)."""
        kinds: tuple[Callable[[], Asked], ...] = (
            self._unsigned, self._altered, self._stale, self._keyless, self._nonsense, self._other_shape, self._packed,
            self._challenge,
        )  # fmt: skip
        make = kinds[number % len(kinds)]
        return make.__name__, make()

    # -- What the two forms have each of its own --

    @abstractmethod
    def encrypted_in(self, body: bytes) -> str:
        """The ciphertext in an envelope."""

    @abstractmethod
    def envelope(self, encrypted: str) -> bytes:
        """An envelope around this, whatever it is."""

    @abstractmethod
    def nonsense(self) -> Sequence[str]:
        """What WeCom would never say."""

    @abstractmethod
    def other_shapes(self, sealed: Sealed, encrypted: bytes) -> Sequence[bytes]:
        """Anything but an envelope around what is signed."""

    @abstractmethod
    def opening(self) -> bytes:
        """How a long body begins."""

    def damaged(self, raw: bytes) -> Sequence[bytes]:
        """A ciphertext with one bit turned, where the plain words can not survive that."""
        return ()

    def for_others(self) -> Sequence[str]:
        """More ciphertexts that are for somebody else."""
        return ()

    # -- Each kind --

    def _sealed(self, plain: str | None = None, **other: Any) -> Sealed:
        return replace(self.endpoint, **other).seal(self.plain if plain is None else plain)

    def _encrypted(self, **other: Any) -> str:
        return self.encrypted_in(self._sealed(**other).body)

    def _asked(self, query: Sequence[tuple[str, str]], body: bytes, *more: tuple[str, str]) -> Asked:
        return Asked(query=list(query), body=body, headers=(("Content-Type", self.content_type), *more))

    def _enveloped(self, encrypted: str, timestamp: str) -> Asked:
        """Truly signed, whatever it is."""
        nonce = "17"
        parts = "".join(sorted((self.endpoint.token, timestamp, nonce, encrypted)))
        signature = hashlib.sha1(parts.encode(), usedforsecurity=False).hexdigest()
        query = [("msg_signature", signature), ("timestamp", timestamp), ("nonce", nonce)]
        return self._asked(query, self.envelope(encrypted))

    def _unsigned(self) -> Asked:
        """Signatures that are nearly right, or not there."""
        sealed = self._sealed()
        right = sealed.query["msg_signature"]
        place = self.chance.randrange(len(right))
        near = right[:place] + ("0" if right[place] != "0" else "1") + right[place + 1 :]
        other = self._sealed(token="AnotherToken").query["msg_signature"]
        rest = [(name, value) for name, value in sealed.query.items() if name != "msg_signature"]
        wrong = {
            "", near, other, right[:-1], right + "0", right.upper(), f"{right} ", "签名", "f" * 3000, "\0" * 40,
            "0" * 40, hashlib.sha256(sealed.body).hexdigest(),
        } - {right}  # fmt: skip
        options: list[list[tuple[str, str]]] = [
            [], rest, [("msg_signature", right)], [("msg_signature", right), rest[0]], [("signature", right), *rest],
            [("msg_signature", near), ("msg_signature", right), *rest], [("msg_signature", right), *rest, *rest],
            *([("msg_signature", one), *rest] for one in sorted(wrong)),
        ]  # fmt: skip
        return self._asked(self.chance.choice(options), sealed.body)

    def _altered(self) -> Asked:
        """A true signature, and another ciphertext, time or number than were signed."""
        sealed = self._sealed()
        query = dict(sealed.query)
        if self.chance.random() < 0.3:
            name = self.chance.choice(["timestamp", "nonce"])
            query[name] = str(int(query[name]) - self.chance.randrange(1, 9))
            return self._asked(list(query.items()), sealed.body)
        encrypted = self.encrypted_in(sealed.body)
        # The last group's spare bits say nothing: two texts may be one ciphertext.
        place = self.chance.randrange(len(encrypted) - 4)
        other = "A" if encrypted[place] != "A" else "B"
        words = [
            encrypted[:place] + other + encrypted[place + 1 :], encrypted[:place] + encrypted[place + 1 :],
            encrypted[:place], self._encrypted(), encrypted + encrypted,
        ]  # fmt: skip
        bodies = [*map(self.envelope, words), sealed.body[: self.chance.randrange(len(sealed.body))]]
        return self._asked(list(query.items()), self.chance.choice(bodies))

    def _stale(self) -> Asked:
        """Truly signed, long ago or not yet; and times that are none."""
        if self.chance.random() < 0.5:
            sealed = self._sealed(skew=self.chance.choice([-3700, -86400, -(10**8), 3700, 10**8]))
            return self._asked(list(sealed.query.items()), sealed.body)
        now = int(time.time())
        times = ["0", "-1", "abc", "", "1e9", "nan", "9" * 400, f"{now}.5", f" {now}", f"0x{now:x}", f"-{now}", "①②"]
        return self._enveloped(self._encrypted(), self.chance.choice(times))

    def _keyless(self) -> Asked:
        """Truly signed by one who has the token, and encrypted by one who has not the key, or for somebody else."""
        raw = bytearray(base64.b64decode(self._encrypted()))
        cut = raw[: 16 * self.chance.randrange(1, len(raw) // 16)]
        raw[self.chance.randrange(16, len(raw))] ^= 1 << self.chance.randrange(8)
        noise = self.chance.randbytes(self.chance.choice([1, 16, 31, 32, 64, 320]))
        options = [*self.damaged(bytes(raw)), bytes(cut), noise, bytes(raw) + noise, b"\0" * 64]
        encoded = base64.b64encode(self.chance.choice(options)).decode()
        words = [
            encoded, encoded[:-1], "=" * 8, "密文", "AAAA AAAA", "*" * 64,
            self._encrypted(aes_key=secrets.token_hex(22)[:42] + "A"), self._encrypted(receive_id="wwSomebodyElse"),
            *self.for_others(),
        ]  # fmt: skip
        return self._enveloped(self.chance.choice(words), str(int(time.time())))

    def _nonsense(self) -> Asked:
        """Truly encrypted and signed, and nothing that WeCom would say."""
        sealed = self._sealed(self.chance.choice(self.nonsense()))
        return self._asked(list(sealed.query.items()), sealed.body)

    def _other_shape(self) -> Asked:
        """A true signature, and no envelope around what is signed."""
        sealed = self._sealed()
        body = self.chance.choice(self.other_shapes(sealed, self.encrypted_in(sealed.body).encode()))
        return self._asked(list(sealed.query.items()), body)

    def _packed(self) -> Asked:
        """What unpacks to a hundred times its size, or is not packed as it says."""
        sealed = self._sealed()
        bomb = _bomb(self.opening())
        body, how = self.chance.choice([(bomb, "gzip"), (sealed.body, "gzip"), (sealed.body, "deflate")])
        return self._asked(list(sealed.query.items()), body, ("Content-Encoding", how))

    def _challenge(self) -> Asked:
        """A GET that asks whether we can decrypt: somebody else's, an old one, one with a message of WeCom's."""
        stale, true = replace(self.endpoint, skew=-4000), self.endpoint.challenge("1288432023552776189")
        query = self.chance.choice([
            {}, {**true, "msg_signature": "0" * 40}, {**true, "echostr": true["echostr"][:-4]}, {**true, "nonce": "1"},
            {name: value for name, value in true.items() if name != "echostr"}, stale.challenge("12884320235527"),
            replace(self.endpoint, token="AnotherToken").challenge("12884320235527"),
            replace(self.endpoint, receive_id="wwSomebodyElse").challenge("12884320235527"),
            self.endpoint.challenge(self.plain),
        ])  # fmt: skip
        return Asked(query=list(query.items()), verb="GET")


@functools.cache
def _bomb(opening: bytes) -> bytes:
    return gzip.compress(opening + b" " * _PACKED_BYTES)


async def fuzz(
    session: aiohttp.ClientSession, forgers: Sequence[tuple[str, Forger]], count: int
) -> Counter[tuple[str, int]]:
    """Sends so many, in turns to each address; how often each kind got which status."""
    statuses: Counter[tuple[str, int]] = Counter()

    async def one(number: int) -> None:
        url, forger = forgers[number % len(forgers)]
        kind, asked = forger.make(number // len(forgers))
        statuses[kind, await _send(session, url, asked)] += 1

    for start in range(0, count, _SIDE_BY_SIDE):
        await asyncio.gather(*(one(number) for number in range(start, min(start + _SIDE_BY_SIDE, count))))
    return statuses


async def _send(session: aiohttp.ClientSession, url: str, asked: Asked) -> int:
    address = URL(url).with_query(MultiDict(asked.query))
    body = io.BytesIO(asked.body) if asked.body else None
    async with session.request(asked.verb, address, data=body, headers=asked.headers) as response:
        await response.read()
        return response.status
