"""What goes out: at most three messages a turn, five after a customer's, each once, and what is over is seen."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from bot.errors import CredentialsRefused, DestinationGone, NotSent, PerhapsSent, Undeliverable
from bot.messages import Author, Outcome
from tests.adapters.wecom.kf.house import a_reply, conversation, open_rig
from tests.fakes.wecom_api import KF, FakeWeCom, Fault


async def test_a_long_answer_is_three_messages_and_leaves_two(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path, hand_over_to="desk") as rig:
        fake.customers.says("wmA", "long 5000")
        await rig.until(lambda: len(fake.texts("kf", "wmA")) == 3)
        await asyncio.sleep(0.2)
        assert len(fake.texts("kf", "wmA")) == 3
        assert all(len(text.encode()) <= 2048 for text in fake.texts("kf", "wmA"))
    assert fake.violations == []


async def test_five_thousand_characters_with_a_table_arrive_within_every_limit(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "table")
        await rig.until(lambda: len(fake.texts("kf", "wmA")) == 3)
        await asyncio.sleep(0.2)
    first, _, last = fake.texts("kf", "wmA")
    assert "地区：新疆\n运费：18 元\n到货：5–7 天" in first
    assert last.endswith("需要人工，请发「转人工」。）")
    assert fake.violations == []


async def test_what_the_bot_has_to_say_beyond_five_waits_for_the_customer(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        # Two questions before the first answer: WeCom counts both answers after the second question.
        fake.customers.says("wmA", "T1 slow 0.3")
        await rig.until(lambda: rig.dialogue.seen)
        fake.customers.says("wmA", "long 3000")
        await rig.until(lambda: len(fake.texts("kf", "wmA")) == 4)
        session = fake.sessions.session(KF, "wmA")
        session.heard = 4
        await rig.house.database.write(
            lambda connection: connection.exec_driver_sql("""UPDATE reply_windows SET sent = '["a", "b", "c", "d"]'""")
        )
        number = await rig.house.database.write(_one_more(3))
        rig.house.outbox.wake()
        await rig.until(lambda: len(fake.texts("kf", "wmA")) == 5)
        await asyncio.sleep(0.3)
        row = await rig.delivery(number)
        assert (row.state, row.parts_sent) == ("waiting", 1)
        assert "five messages" in row.error
        assert len(fake.texts("kf", "wmA")) == 5
        fake.customers.says("wmA", "T7")
        # They write again: first what was kept back, then the answer.
        rig.house.outbox._not_before.clear()
        await rig.until(lambda: "T7 完" in fake.texts("kf", "wmA"), 20.0)
        assert len(fake.texts("kf", "wmA")) == 8
        assert (await rig.delivery(number)).state == "sent"  # it stood before the answer
    assert fake.violations == []


async def test_quick_questions_are_all_answered(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        # Within a second or two, and WeCom's times are whole seconds.
        for number in range(8):
            fake.customers.says("wmA", f"T{number}")
            await rig.until(lambda number=number: f"T{number} 完" in fake.texts("kf", "wmA"))
    assert fake.violations == []


async def test_an_agent_learns_at_once_that_a_sixth_message_did_not_arrive(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path, hand_over_to="desk") as rig:
        fake.customers.says("wmA", "person please")
        await rig.until(lambda: fake.texts("kf", "wmA"))
        for number in range(4):
            await rig.agent_says("wmA", f"第{number}句")
        await rig.until(lambda: len(fake.texts("kf", "wmA")) == 5)
        sixth = await rig.agent_says("wmA", "第五句")
        async with asyncio.timeout(5):
            while (row := await rig.delivery(sixth)).state != "failed":
                await asyncio.sleep(0.02)
        assert "five messages" in row.error
        events = await rig.rows("SELECT kind, text FROM ticket_events WHERE kind = 'delivery'")
        assert ["five messages" in event.text for event in events] == [True]
    assert len(fake.texts("kf", "wmA")) == 5
    assert fake.violations == []


async def test_after_two_days_nobody_can_be_written_to(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path, hand_over_to="desk") as rig:
        fake.customers.says("wmA", "person please")
        await rig.until(lambda: fake.texts("kf", "wmA"))
        rig.passes(48 * 3600 + 5)
        late = await rig.agent_says("wmA", "好了")
        async with asyncio.timeout(5):
            while (row := await rig.delivery(late)).state != "failed":
                await asyncio.sleep(0.02)
        assert "48 hours" in row.error
        fake.customers.says("wmA", "T2")
        await rig.until(lambda: "T2 完" in fake.texts("kf", "wmA"))
    assert fake.violations == []


# -- One message --


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(Fault(kind="error", errcode=45009, times=1), NotSent, id="too-often"),
        pytest.param(Fault(kind="error", errcode=60020), CredentialsRefused, id="untrusted-address"),
        pytest.param(Fault(kind="error", errcode=95017), CredentialsRefused, id="switched-off"),
        pytest.param(Fault(kind="error", errcode=40096), DestinationGone, id="no-such-customer"),
        pytest.param(Fault(kind="error", errcode=95000), DestinationGone, id="no-such-account"),
        pytest.param(Fault(kind="error", errcode=95002), Undeliverable, id="too-late"),
        pytest.param(Fault(kind="error", errcode=95001), NotSent, id="five-already"),
        pytest.param(Fault(kind="error", errcode=44004), Undeliverable, id="refused-words"),
        pytest.param(Fault(kind="close"), PerhapsSent, id="no-answer"),
        pytest.param(Fault(kind="html", code=502), PerhapsSent, id="a-proxy"),
    ],
)
async def test_every_refusal_is_what_the_core_calls_it(
    fake: FakeWeCom, path: Path, fault: Fault, error: type[Exception]
) -> None:
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "T1")
        await rig.until(lambda: fake.texts("kf", "wmA"))
        fault.method = "kf/send_msg"
        fake.faults.add(fault)
        [part] = rig.channel.render(a_reply("好"))
        with pytest.raises(error):
            await rig.channel.send(conversation("wmA"), part, replaces=None, delivery_id=70, reply=a_reply("好"))
    assert fake.texts("kf", "wmA") == ["T1 完"]


async def test_a_message_is_said_once_however_often_it_is_sent(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "T1")
        await rig.until(lambda: fake.texts("kf", "wmA"))
        reply = a_reply("七天内可以退货。")
        [part] = rig.channel.render(reply)
        fake.faults.add(Fault(kind="close", method="kf/send_msg", apply=True, times=1))
        with pytest.raises(PerhapsSent):
            await rig.channel.send(conversation("wmA"), part, replaces=None, delivery_id=70, reply=reply)
        first = await rig.channel.send(conversation("wmA"), part, replaces=None, delivery_id=70, reply=reply)
        assert first == await rig.channel.send(conversation("wmA"), part, replaces=None, delivery_id=70, reply=reply)
        # The same words in another delivery are another message.
        other = await rig.channel.send(conversation("wmA"), part, replaces=None, delivery_id=71, reply=reply)
        assert other != first
        [row] = await rig.rows("SELECT sent FROM reply_windows")
        assert len(json.loads(row.sent)) == 3
    assert fake.texts("kf", "wmA") == ["T1 完", "七天内可以退货。", "七天内可以退货。"]
    assert fake.violations == []


async def test_a_process_that_died_while_it_sent_says_it_again_to_no_effect(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "table")
        await rig.until(lambda: len(fake.texts("kf", "wmA")) == 3)
        await asyncio.sleep(0.1)
        await rig.house.database.write(
            lambda connection: connection.exec_driver_sql("UPDATE deliveries SET state = 'sending', parts_sent = 1")
        )
    async with open_rig(fake, path) as rig:
        async with asyncio.timeout(5):
            while (await rig.delivery(1)).state != "sent":
                await asyncio.sleep(0.02)
    assert len(fake.kf_api.repeated) == 2
    assert len(fake.texts("kf", "wmA")) == 3
    assert fake.violations == []


async def test_a_name_that_wecom_refuses_because_it_knows_it_has_arrived(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "T1")
        await rig.until(lambda: fake.texts("kf", "wmA"))
        reply = a_reply("七天内可以退货。")
        [part] = rig.channel.render(reply)
        fake.faults.add(Fault(kind="close", method="kf/send_msg", apply=True, times=1))
        fake.faults.add(Fault(kind="error", method="kf/send_msg", errcode=40058, times=1))
        with pytest.raises(PerhapsSent):
            await rig.channel.send(conversation("wmA"), part, replaces=None, delivery_id=70, reply=reply)
        await rig.channel.send(conversation("wmA"), part, replaces=None, delivery_id=70, reply=reply)
    assert fake.texts("kf", "wmA") == ["T1 完", "七天内可以退货。"]


async def test_a_database_made_anew_gives_other_names(fake: FakeWeCom, path: Path, tmp_path: Path) -> None:
    from tests.core.house import new_database

    (tmp_path / "anew").mkdir()
    for database in (path, new_database(tmp_path / "anew")):
        fake.customers.says("wmA", "T1", quiet=True)
        async with open_rig(fake, database) as rig:
            before = len(fake.texts("kf", "wmA"))
            await rig.until(lambda before=before: len(fake.texts("kf", "wmA")) > before)
            await asyncio.sleep(0.1)
    assert fake.kf_api.repeated == []


async def test_a_menu_that_wecom_refuses_becomes_words(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "long 20")
        await rig.until(lambda: fake.messages("kf", "wmA"))
        assert fake.messages("kf", "wmA")[0].msgtype == "msgmenu"
        fake.faults.add(Fault(kind="error", method="kf/send_msg", errcode=40008, contains="msgmenu"))
        fake.customers.says("wmA", "long 30")
        await rig.until(lambda: len(fake.messages("kf", "wmA")) == 2)
        assert fake.messages("kf", "wmA")[1].msgtype == "text"
    assert fake.violations == []


async def test_a_person_s_words_that_hand_nobody_over(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "T1")
        await rig.until(lambda: fake.texts("kf", "wmA"))
        for reply in (
            a_reply("有同事在跟进。", outcome=Outcome.HANDOFF),
            a_reply("我来了", outcome=Outcome.HANDOFF, author=Author.AGENT, agent="小林"),
        ):
            [part] = rig.channel.render(reply)
            await rig.channel.send(conversation("wmA"), part, replaces=None, delivery_id=80, reply=reply)
    assert fake.calls("kf/service_state/trans") == []


def _one_more(parts: int):  # type: ignore[no-untyped-def]
    """A reply of so many messages that waits to be sent, as a turn would leave it."""
    from datetime import UTC, datetime

    from bot.history.codec import reply_to_json
    from bot.history.tables import deliveries

    words = "".join(f"第{number}句话很长，请慢慢看。" for number in range(1000))[: parts * 600]
    now = datetime.now(UTC)
    row = {
        "conversation_id": 1,
        "person_id": "wecom_kf:wmA",
        "author": "bot",
        "reply": reply_to_json(a_reply(words)),
        "state": "waiting",
        "created_at": now,
        "updated_at": now,
    }

    def work(connection):  # type: ignore[no-untyped-def]
        return connection.execute(deliveries.insert().values(row)).inserted_primary_key[0]

    return work
