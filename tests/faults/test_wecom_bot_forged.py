"""F24 and P25 on WeCom's AI bot: calls to its address that WeCom did not make, or not now, or not like this.

A 4xx, and no row. Where somebody repeats WeCom's very bytes, nothing happens a second time.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters.wecom.bot.settings import CALLBACK_PATH
from tests.fakes.wecom_api import FakeWeCom
from tests.fakes.wecomapi.sealing import Sealed
from tests.faults import oracle, seeds
from tests.faults.slack_rig import NOBODY
from tests.faults.wecom_bot_office import bot_settings
from tests.faults.wecom_forging import Forger, fuzz
from tests.faults.zygote import Driver, zygote


class JsonForger(Forger):
    """Of calls to an AI bot."""

    content_type = "application/json"

    def encrypted_in(self, body: bytes) -> str:
        return str(json.loads(body)["encrypt"])

    def envelope(self, encrypted: str) -> bytes:
        return json.dumps({"encrypt": encrypted}).encode()

    def nonsense(self) -> Sequence[str]:
        return [
            "", " ", "null", "[]", "7", '"words"', "[" * 5000, "{", "{}}", "<xml></xml>", '{"a": ' + "9" * 5000,
            self.plain[: len(self.plain) // 2], self.plain + "}", '{"msgtype": }', "\0", '{"a":1}{"b":2}',
        ]  # fmt: skip

    def other_shapes(self, sealed: Sealed, encrypted: bytes) -> Sequence[bytes]:
        return [
            b"", b" ", b"{}", b"null", b"[]", b"7", encrypted, b'"' + encrypted + b'"', b'["' + encrypted + b'"]',
            b'{"Encrypt": "' + encrypted + b'"}', b'{"encrypt": ["' + encrypted + b'"]}', b'{"encrypt": ""}',
            b'{"encrypt": null}', b'{"encrypt": {"a": "' + encrypted + b'"}}', b"\xff\xfe" + sealed.body, b"\0" * 400,
            sealed.body[:-1], sealed.body * 2, b"[" * 5000, b"<xml><Encrypt>" + encrypted + b"</Encrypt></xml>",
            b'{"a": "' + b"x" * 1_200_000 + b'"}', b'{"a": ' + b"9" * 5000,
        ]  # fmt: skip

    def opening(self) -> bytes:
        return b'{"a": "'


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
        before = await asyncio.to_thread(oracle.rows, bot.database)
        statuses = await fuzz(session, [(url, JsonForger(wecom.bot, genuine.plain, chance))], count)
        after = await asyncio.to_thread(oracle.rows, bot.database)
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
    await _run(driver, tmp_path, 200)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_ten_thousand_forged_calls_are_refused(driver: Driver, tmp_path: Path) -> None:
    await _run(driver, tmp_path, 10_000)
