"""What happens beside words: welcomes, messages that did not arrive, withdrawals, taps."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.adapters.wecom.kf.house import QUICK, open_rig
from tests.fakes.wecom_api import FakeWeCom, Fault


async def test_who_enters_is_welcomed_once(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        fake.customers.enters("wmA")
        await rig.until(lambda: fake.messages("kf", "wmA"))
        told = fake.customers.tells()
        await fake.feed.again(told.id, 2)
        await asyncio.sleep(0.3)
        [welcome] = fake.messages("kf", "wmA")
        assert welcome.on_event
        assert welcome.text.startswith("您好，我是智能客服")
        assert "[转人工]" in welcome.text
        # It is none of the five.
        assert fake.sessions.session(rig.fake.open_kfid, "wmA").heard == 0
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: len(fake.calls("kf/sync_msg", applied=True)) > 3)
    assert len(fake.calls("kf/send_msg_on_event")) == 1
    assert fake.violations == []


async def test_a_page_that_comes_again_welcomes_nobody_again(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: fake.calls("kf/sync_msg", applied=True))
        fake.customers.enters("wmA")
        await rig.until(lambda: fake.messages("kf", "wmA"))
        await rig.house.database.write(lambda connection: connection.exec_driver_sql("DELETE FROM cursors"))
        fake.customers.tells()
        await asyncio.sleep(0.3)
    assert len(fake.calls("kf/send_msg_on_event")) == 1
    assert fake.violations == []


async def test_a_welcome_that_comes_too_late_is_left_out(fake: FakeWeCom, path: Path) -> None:
    fake.customers.enters("wmA", quiet=True)
    fake.customers.says("wmB", "T1", quiet=True)
    async with open_rig(fake, path, timing=replace(QUICK, welcome=-1.0)) as rig:
        await rig.until(lambda: fake.texts("kf", "wmB"))
        await asyncio.sleep(0.1)
    assert fake.calls("kf/send_msg_on_event") == []


async def test_a_refused_welcome_harms_nobody(fake: FakeWeCom, path: Path) -> None:
    fake.faults.add(Fault(kind="error", method="kf/send_msg_on_event", errcode=40029))
    async with open_rig(fake, path) as rig:
        fake.customers.enters("wmA")
        await rig.until(lambda: fake.calls("kf/send_msg_on_event"))
        fake.customers.says("wmA", "T1")
        await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完"])


async def test_a_message_that_did_not_arrive_is_seen_by_operators(
    fake: FakeWeCom, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "T1")
        await rig.until(lambda: fake.texts("kf", "wmA"))
        fake.customers.refuses("wmA", fail_type=10)
        fake.customers.says("wmA", "T2")
        await rig.until(lambda: fake.calls("kf/send_msg")[1:])
        fake.customers.tells()
        async with asyncio.timeout(5):
            while (row := await rig.delivery(2)).state != "failed":
                await asyncio.sleep(0.02)
        assert "the customer refuses messages (fail_type 10)" in row.error
        assert (await rig.delivery(1)).state == "sent"
        # Told again, it changes nothing: an operator may have dropped it.
        await rig.house.database.write(
            lambda connection: connection.exec_driver_sql("UPDATE deliveries SET state = 'dropped' WHERE id = 2")
        )
        await rig.house.database.write(lambda connection: connection.exec_driver_sql("DELETE FROM cursors"))
        fake.customers.tells()
        await asyncio.sleep(0.3)
        assert (await rig.delivery(2)).state == "dropped"
    assert "did not reach a customer" in capsys.readouterr().out
    assert fake.violations == []


async def test_an_agents_words_that_did_not_arrive_stand_at_the_ticket(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path, hand_over_to="desk") as rig:
        fake.customers.says("wmA", "person please")
        await rig.until(lambda: fake.texts("kf", "wmA"))
        fake.customers.refuses("wmA", fail_type=13)
        delivery = await rig.agent_says("wmA", "您好")
        await rig.until(lambda: fake.calls("kf/send_msg")[1:])
        fake.customers.tells()
        async with asyncio.timeout(5):
            while (await rig.delivery(delivery)).state != "failed":
                await asyncio.sleep(0.02)
        [event] = await rig.rows("SELECT text FROM ticket_events WHERE kind = 'delivery'")
        assert "WeCom's safety rules" in event.text


async def test_what_is_said_of_messages_that_are_not_ours_is_only_logged(fake: FakeWeCom, path: Path) -> None:
    session = fake.sessions.session(fake.open_kfid, "wmA")
    for name in ("somebody-elses", "kzz-0-0123456789abcd"):
        fake.sessions.record(session, 4, "event", event_type="msg_send_fail", fail_msgid=name, fail_type=0)
    fake.customers.says("wmA", "T1", quiet=True)
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完"])
        await asyncio.sleep(0.2)
        assert [row.state for row in await rig.rows("SELECT state FROM deliveries")] == ["sent"]


async def test_withdrawn_words_leave_history(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        msgid = fake.customers.says("wmA", "T1 my secret")
        await rig.until(lambda: fake.texts("kf", "wmA"))
        await asyncio.sleep(0.1)
        fake.customers.recalls("wmA", msgid)
        async with asyncio.timeout(5):
            while any("secret" in row.text for row in await rig.rows("SELECT text FROM history")):
                await asyncio.sleep(0.02)
        assert [row.text for row in await rig.rows("SELECT text FROM inbound")] == [""]
    assert fake.texts("kf", "wmA") == ["T1 完"]
    assert fake.violations == []


async def test_taps_are_actions_and_judgements(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "long 20")
        await rig.until(lambda: fake.messages("kf", "wmA"))
        lines = fake.messages("kf", "wmA")[0].body["msgmenu"]["list"]
        up = lines[0]["click"]
        fake.customers.says("wmA", up["content"], menu_id=up["id"])
        async with asyncio.timeout(5):
            while not (rated := await rig.rows("SELECT rating FROM feedback")):
                await asyncio.sleep(0.02)
        assert rated[0].rating == "up"
        fake.customers.says("wmA", "转人工", menu_id="kefu_act:person|")
        await rig.until(lambda: "为您转人工" in "".join(fake.texts("kf", "wmA")))
    assert fake.violations == []


async def test_operators_read_what_a_customer_is_called(fake: FakeWeCom, path: Path) -> None:
    fake.sessions.customers["wmA"] = "王小二 \u202e"
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "T1")
        await rig.until(lambda: fake.texts("kf", "wmA"))
        fake.customers.says("wmA", "T2")
        await rig.until(lambda: len(fake.texts("kf", "wmA")) == 2)
        [person] = await rig.rows("SELECT id, name FROM people")
        assert (person.id, person.name) == ("wecom_kf:wmA", "王小二")
    assert len(fake.calls("kf/customer/batchget")) == 1
