"""The address that WeCom calls: only WeCom is heard, at once, and the channel says how it fares."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import aiohttp
import pytest

from adapters.wecom.kf.checking import check
from bot.errors import CredentialsRefused, KefuError
from tests.adapters.wecom.kf.house import open_rig, settings_for
from tests.fakes.wecom_api import FakeWeCom, Fault


async def test_the_address_is_verified_within_a_second(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path):
        assert await fake.feed.verify("kf")


async def test_a_call_is_acknowledged_at_once_though_nothing_can_be_read_or_stored(fake: FakeWeCom, path: Path) -> None:
    fake.faults.add(Fault(kind="hang", method="*"))
    async with open_rig(fake, path) as rig:
        told = fake.customers.tells()
        await rig.until(lambda: told.fate == "acknowledged")
        assert told.attempts[0].seconds < 1.0
    fake.faults.clear()


async def test_forged_calls_are_refused_and_start_nothing(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: fake.calls("kf/sync_msg", applied=True))
        told = fake.customers.tells()
        await rig.until(lambda: told.fate == "acknowledged" and len(fake.calls("kf/sync_msg")) >= 2)
        await asyncio.sleep(0.1)
        reads = len(fake.calls("kf/sync_msg"))
        chance = random.Random(7)
        statuses = set()
        async with aiohttp.ClientSession() as client:
            for _ in range(300):
                sealed = fake.feed.sealed(told.id)
                query, body = dict(sealed.query), bytearray(sealed.body)
                if chance.random() < 0.5:
                    name = chance.choice(sorted(query))
                    query[name] = query[name][:-1] + chance.choice("0a%é")
                    if query[name] == sealed.query[name]:
                        continue
                else:
                    start = body.index(b"CDATA[") if b"CDATA[" in body else body.index(b"<Encrypt>")
                    body[chance.randrange(start, len(body))] ^= 1 << chance.randrange(8)
                async with client.post(fake.kf.url, params=query, data=bytes(body)) as answer:
                    statuses.add(answer.status)
        assert all(status == 200 or 400 <= status < 500 for status in statuses)
        await asyncio.sleep(0.1)
        # A changed byte beside the ciphertext leaves a call as WeCom made it.
        assert len(fake.calls("kf/sync_msg")) - reads <= 60
        assert await rig.rows("SELECT * FROM inbound") == []


async def test_another_event_and_the_same_bytes_again_change_nothing(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: fake.calls("kf/sync_msg", applied=True))
        told = fake.customers.tells()
        await rig.until(lambda: told.fate == "acknowledged" and len(fake.calls("kf/sync_msg")) >= 2)
        await asyncio.sleep(0.1)
        same = fake.feed.sealed(told.id)
        reads = len(fake.calls("kf/sync_msg"))
        assert (await fake.feed.post("kf", same))[0] == 200
        await rig.until(lambda: len(fake.calls("kf/sync_msg")) == reads + 1)
        for _ in range(3):
            assert (await fake.feed.post("kf", same))[0] == 200
        other = fake.kf.seal("<xml><MsgType>event</MsgType><Event>subscribe</Event></xml>")
        assert (await fake.feed.post("kf", other))[0] == 200
        assert (await fake.feed.post("kf", fake.kf.seal("no xml at all")))[0] == 400
        with_entities = fake.kf.seal('<!DOCTYPE x [<!ENTITY a "b">]><xml><a>&a;</a></xml>')
        assert (await fake.feed.post("kf", with_entities))[0] == 400
        await asyncio.sleep(0.2)
        assert len(fake.calls("kf/sync_msg")) == reads + 1


# -- Standing --


async def test_health_says_whether_wecom_is_heard(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: rig.channel.health().up)
        fake.faults.add(Fault(kind="close", method="*"))
        await rig.until(lambda: not rig.channel.health().up)
        fake.faults.clear()
        await rig.until(lambda: rig.channel.health().up)


async def test_a_refused_secret_says_what_to_do_and_works_again_by_itself(fake: FakeWeCom, path: Path) -> None:
    fake.tokens.ends("kf")
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: "wecom_kf.secret" in rig.channel.health().detail)
        asked = fake.tokens.count("kf")
        await asyncio.sleep(0.4)
        assert fake.tokens.count("kf") - asked <= 3
        fake.tokens.works_again("kf")
        fake.customers.says("wmA", "T1")
        await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完"])
        await rig.until(lambda: rig.channel.health().up)


async def test_a_revoked_token_is_replaced_once(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: rig.channel.health().up)
        fetched = fake.tokens.count("kf")
        fake.tokens.revoke("kf")
        for number in range(10):
            fake.customers.says(f"wm{number}", f"T{number}")
        await rig.until(lambda: len(fake.texts("kf")) == 10)
        assert fake.tokens.count("kf") == fetched + 1
    assert fake.violations == []


# -- kefu doctor --


async def test_the_doctor_names_the_accounts(fake: FakeWeCom) -> None:
    fake.sessions.accounts.update({f"wk{number}": f"第{number}店" for number in range(4)})
    said = await check(settings_for(fake))
    assert said == (
        f"{fake.corp_id}: 在线客服, 第0店, 第1店 and 2 more; hands over to pool; "
        "its callback was not tried: http.public_url is not set"
    )


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        pytest.param(Fault(kind="error", method="gettoken", errcode=40001), CredentialsRefused, "secret", id="secret"),
        pytest.param(Fault(kind="error", method="gettoken", errcode=40013), CredentialsRefused, "corp_id", id="corp"),
        pytest.param(
            Fault(kind="error", method="kf/account/list", errcode=60020), CredentialsRefused, "企业可信IP", id="address"
        ),
        pytest.param(
            Fault(kind="error", method="kf/account/list", errcode=48002), CredentialsRefused, "may not", id="api"
        ),
        pytest.param(Fault(kind="html", method="*", code=502), KefuError, "reached", id="proxy"),
        pytest.param(
            Fault(kind="shape", method="kf/account/list", body={"errcode": 0, "account_list": []}),
            KefuError, "可调用接口的应用", id="no-accounts",
        ),
    ],
)  # fmt: skip
async def test_the_doctor_says_what_to_do(fake: FakeWeCom, fault: Fault, kind: type[KefuError], words: str) -> None:
    fake.faults.add(fault)
    with pytest.raises(kind, match=words) as failure:
        await check(settings_for(fake))
    assert fake.kf_secret not in str(failure.value)
