"""Who has a customer: silence while a colleague does, the hand-over, and the way back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.adapters.wecom.kf.house import Rig, open_rig
from tests.fakes.wecom_api import KF, FakeWeCom, Fault
from tests.fakes.wecomapi.sessions import ASSISTANT, ENDED, PERSON, QUEUED


async def settled(rig: Rig) -> None:
    """Everything that WeCom holds has been read."""
    fake = rig.fake
    await rig.until(lambda: not fake.feed.unacknowledged())
    read = len(fake.calls("kf/sync_msg", applied=True))
    fake.customers.tells()
    await rig.until(lambda: len(fake.calls("kf/sync_msg", applied=True)) > read)
    await asyncio.sleep(0.15)


def said_to_us(rig: Rig) -> list[str]:
    return [message.text for turn in rig.dialogue.seen for message in turn.messages]


async def test_while_a_colleague_has_the_customer_the_bot_is_silent_and_answers_again_after(
    fake: FakeWeCom, path: Path
) -> None:
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "T1")
        await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完"])
        fake.customers.is_taken("wmA")
        await settled(rig)
        fake.customers.says("wmA", "T2")
        fake.customers.is_answered("wmA", "我来帮您")
        fake.customers.says("wmA", "T3")
        await settled(rig)
        assert said_to_us(rig) == ["T1"]
        fake.customers.is_over("wmA")
        fake.customers.says("wmA", "T4")
        await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完", "T4 完"])
    assert fake.violations == []


async def test_a_page_is_read_as_it_happened(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: fake.calls("kf/sync_msg", applied=True))
        people = fake.customers
        people.says("wmA", "T1", quiet=True)
        people.is_taken("wmA", quiet=True)
        people.says("wmA", "T2", quiet=True)
        people.is_answered("wmA", "T9", quiet=True)
        people.is_over("wmA", quiet=True)
        people.says("wmA", "T3", quiet=True)
        people.tells()
        await rig.until(lambda: "T3" in "".join(fake.texts("kf", "wmA")))
        assert said_to_us(rig) == ["T1", "T3"]
    assert fake.violations == []


async def test_a_session_that_ended_by_itself_is_noticed(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "T1")
        await rig.until(lambda: fake.texts("kf", "wmA"))
        fake.customers.is_taken("wmA")
        await settled(rig)
        fake.sessions.session(KF, "wmA").state = ENDED  # of this nothing tells
        fake.customers.says("wmA", "T2")
        await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完", "T2 完"])
    assert fake.violations == []


async def test_a_customer_who_was_with_a_colleague_before_we_came_stays_there(fake: FakeWeCom, path: Path) -> None:
    session = fake.sessions.session(KF, "wmA")
    session.state, session.servicer = PERSON, "zhangsan"
    session.said_at = fake.clock.now()
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "T1")
        await settled(rig)
        assert said_to_us(rig) == []
    assert fake.violations == []


async def test_while_wecom_does_not_say_who_has_a_stranger_nothing_is_lost(fake: FakeWeCom, path: Path) -> None:
    outage = fake.faults.add(Fault(kind="close", method="kf/service_state/get", times=3))
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "T1")
        await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完"])
        assert outage.fired == 3
    assert fake.violations == []


async def test_an_app_that_may_not_ask_who_has_a_customer_answers(fake: FakeWeCom, path: Path) -> None:
    fake.faults.add(Fault(kind="error", method="kf/service_state/get", errcode=48002))
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "T1")
        await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完"])


async def test_an_answer_that_comes_after_a_colleague_is_not_sent_and_operators_see_it(
    fake: FakeWeCom, path: Path
) -> None:
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "T1 slow 0.6")
        await rig.until(lambda: rig.dialogue.seen)
        fake.customers.is_taken("wmA")
        await rig.until(lambda: fake.calls("kf/service_state/get")[1:])  # asked when the answer was ready
        await asyncio.sleep(0.1)
        row = await rig.delivery(1)
        assert row.state == "failed"
        assert "a colleague has this customer" in row.error
    assert fake.texts("kf", "wmA") == []
    assert fake.violations == []


async def test_a_colleague_who_came_unheard_is_told_by_the_refusal(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "T1 slow 0.4")
        await rig.until(lambda: rig.dialogue.seen)
        session = fake.sessions.session(KF, "wmA")
        session.state, session.servicer = PERSON, "lisi"
        await rig.until(lambda: [call for call in fake.calls("kf/send_msg") if call.errcode == 95018])
        await asyncio.sleep(0.2)
        assert (await rig.delivery(1)).state == "failed"
        fake.customers.says("wmA", "T2")
        await settled(rig)
        assert said_to_us(rig) == ["T1 slow 0.4"]
    assert fake.texts("kf", "wmA") == []


# -- Handing over --


@pytest.mark.parametrize(
    ("settings", "state", "servicer"),
    [
        pytest.param({}, QUEUED, "", id="to-the-pool"),
        pytest.param({"hand_over_to": "lisi"}, PERSON, "lisi", id="to-a-colleague"),
        pytest.param({"hand_over_to": "nobody"}, QUEUED, "", id="to-the-pool-where-the-colleague-is-away"),
    ],
)
async def test_who_asks_for_a_person_is_told_and_then_handed_over(
    fake: FakeWeCom, path: Path, settings: dict[str, str], state: int, servicer: str
) -> None:
    async with open_rig(fake, path, **settings) as rig:
        fake.customers.says("wmA", "person please")
        session = fake.sessions.session(KF, "wmA")
        await rig.until(lambda: session.state == state)
        assert session.servicer == servicer
        [told] = fake.texts("kf", "wmA")
        assert told.startswith("为您转人工 TICKET-")
        await rig.until(lambda: not fake.feed.unacknowledged())
        fake.customers.says("wmA", "T2 are you there?")
        await settled(rig)
        assert said_to_us(rig) == []
        fake.customers.is_taken("wmA", "lisi")
        fake.customers.is_over("wmA")
        fake.customers.says("wmA", "T3")
        await rig.until(lambda: "T3 完" in fake.texts("kf", "wmA"))
        async with asyncio.timeout(5):
            while {row.state for row in await rig.rows("SELECT state FROM deliveries")} != {"sent"}:
                await asyncio.sleep(0.02)
    assert fake.violations == []


async def test_a_desk_of_our_own_keeps_the_customer(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path, hand_over_to="desk") as rig:
        fake.customers.says("wmA", "person please")
        await rig.until(lambda: fake.texts("kf", "wmA"))
        await asyncio.sleep(0.1)
        delivery = await rig.agent_says("wmA", "我是小林")
        await rig.until(lambda: len(fake.texts("kf", "wmA")) == 2)
        assert "客服 小林" in fake.texts("kf", "wmA")[1]
        async with asyncio.timeout(5):
            while (await rig.delivery(delivery)).state != "sent":
                await asyncio.sleep(0.02)
    assert fake.calls("kf/service_state/trans") == []
    assert fake.violations == []


async def test_the_words_are_said_once_however_often_the_hand_over_fails(fake: FakeWeCom, path: Path) -> None:
    outage = fake.faults.add(Fault(kind="close", method="kf/service_state/trans", times=2))
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "person please")
        await rig.until(lambda: fake.sessions.session(KF, "wmA").state == QUEUED, 15.0)
        assert outage.fired == 2
        await asyncio.sleep(0.1)
        assert (await rig.delivery(1)).state == "sent"
    assert len(fake.texts("kf", "wmA")) == 1
    assert len(fake.calls("kf/send_msg")) == 1
    assert fake.violations == []


async def test_a_hand_over_whose_end_was_not_written_down_is_not_done_again(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "person please")
        await rig.until(lambda: fake.sessions.session(KF, "wmA").state == QUEUED)
        await asyncio.sleep(0.2)
    # Killed before the reply was marked as sent.
    async with open_rig(fake, path) as rig:
        await rig.house.database.write(
            lambda connection: connection.exec_driver_sql("UPDATE deliveries SET state = 'sending', parts_sent = 0")
        )
    async with open_rig(fake, path) as rig:
        async with asyncio.timeout(5):
            while (await rig.delivery(1)).state != "sent":
                await asyncio.sleep(0.02)
    assert len(fake.texts("kf", "wmA")) == 1
    assert len(fake.calls("kf/service_state/trans")) == 1
    assert fake.violations == []


async def test_a_hand_over_that_wecom_refuses_leaves_the_ticket_and_is_logged(
    fake: FakeWeCom, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.faults.add(Fault(kind="error", method="kf/service_state/trans", errcode=48002))
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "person please")
        await rig.until(lambda: fake.calls("kf/service_state/get")[1:])
        await asyncio.sleep(0.1)
        assert (await rig.delivery(1)).state == "sent"
        assert len(await rig.rows("SELECT * FROM tickets")) == 1
    assert "wecom.not_handed_over" in capsys.readouterr().out


async def test_an_assistant_session_is_ours_too(fake: FakeWeCom, path: Path) -> None:
    fake.sessions.session(KF, "wmA").state = ASSISTANT
    fake.sessions.session(KF, "wmA").said_at = fake.clock.now()
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "T1")
        await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完"])
    assert fake.violations == []
