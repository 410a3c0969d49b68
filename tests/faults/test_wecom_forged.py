"""F24 on WeCom: calls to its addresses that it did not make, or not now, or not like this. A 4xx, and no row."""

from __future__ import annotations

import asyncio
import re
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest

from tests.fakes.wecom_api import FakeWeCom
from tests.fakes.wecomapi.sealing import Sealed
from tests.faults import oracle, seeds
from tests.faults.test_wecom_kill import wecom_settings
from tests.faults.wecom_forging import Forger, fuzz
from tests.faults.wecom_rig import BOTH, PATHS, told_to_call
from tests.faults.zygote import Driver, zygote

_ENCRYPTED = re.compile(rb"(?<=<Encrypt><!\[CDATA\[)[^\]]+")


class XmlForger(Forger):
    """Of calls to apps and customer service."""

    content_type = "text/xml"

    def encrypted_in(self, body: bytes) -> str:
        found = _ENCRYPTED.search(body)
        assert found is not None
        return found[0].decode()

    def envelope(self, encrypted: str) -> bytes:
        words = f"<xml><ToUserName><![CDATA[ww]]></ToUserName><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
        return words.encode()

    def nonsense(self) -> Sequence[str]:
        bomb = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 9))
        return [
            "", " ", "null", "{}", "[" * 3000, "<xml>", "<xml><a>", "</xml>", "<xml/>", "<xml></xml>", "just words",
            self.plain[: len(self.plain) // 2], self.plain + "<", f"<!DOCTYPE xml [{bomb}]><xml><a>&a8;</a></xml>",
            '<!DOCTYPE xml [<!ENTITY x SYSTEM "file:///etc/passwd">]><xml><a>&x;</a></xml>',
            "<xml>" + "<a>" * 3000 + "</a>" * 3000 + "</xml>", "<xml><a>&#0;</a></xml>", "<xml>\0</xml>",
            f'<?xml version="1.0" encoding="klingon"?>{self.plain}',
        ]  # fmt: skip

    def other_shapes(self, sealed: Sealed, encrypted: bytes) -> Sequence[bytes]:
        return [
            b"", b" ", b"<xml></xml>", b'{"encrypt": "' + encrypted + b'"}', b"<Encrypt>" + encrypted + b"</Encrypt>",
            b"<xml><Encrypt></Encrypt></xml>", b"<xml><encrypt>" + encrypted + b"</encrypt></xml>",
            b"<xml><Encrypt>" + encrypted + b"</Encrypt><Encrypt>" + encrypted + b"</Encrypt></xml>",
            b"<xml><Encrypt><a>" + encrypted + b"</a></Encrypt></xml>", b"\xff\xfe" + sealed.body, b"\0" * 400,
            b"<!DOCTYPE xml>" + sealed.body, sealed.body.replace(b"</xml>", b""), b"<xml>" * 4000,
            b"<xml><a>" + b"x" * 1_200_000 + b"</a></xml>", sealed.body * 2,
        ]  # fmt: skip

    def opening(self) -> bytes:
        return b"<xml>"

    def damaged(self, raw: bytes) -> Sequence[bytes]:
        return (raw,)

    def for_others(self) -> Sequence[str]:
        return (self._encrypted(receive_id=""),)


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
        before, reads = await asyncio.to_thread(oracle.rows, bot.database), len(wecom.calls("kf/sync_msg"))
        forgers = [
            (bot.site.url + PATHS[one.endpoint], XmlForger(wecom.feed.endpoints[one.endpoint], one.plain, chance))
            for one in genuine
        ]
        statuses = await fuzz(session, forgers, count)
        after = await asyncio.to_thread(oracle.rows, bot.database)
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
    await _run(driver, tmp_path, 240)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_ten_thousand_forged_calls_are_refused(driver: Driver, tmp_path: Path) -> None:
    await _run(driver, tmp_path, 10_000)
