"""What customers of 微信客服 say comes in: every item of every page, in order, once, whatever happens in between."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from adapters.wecom.client import make_client
from adapters.wecom.kf.accounts import Accounts
from adapters.wecom.kf.syncing import Puller
from bot.ports import Intake
from tests.adapters.wecom.kf.house import QUICK, ShiftedClock, open_rig
from tests.core.house import copy_database
from tests.fakes.intake import MemoryIntake
from tests.fakes.wecom_api import KF, FakeWeCom, Fault


async def test_three_customers_on_one_page_are_all_answered_each_in_order(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        for number in range(3):
            for customer in ("wmA", "wmB", "wmC"):
                fake.customers.says(customer, f"T{number} {customer}", quiet=True)
        fake.customers.tells()
        await rig.until(lambda: sum(len(turn.messages) for turn in rig.dialogue.seen) == 9)
        for customer in ("wmA", "wmB", "wmC"):
            await rig.until(lambda customer=customer: "T2" in "".join(fake.texts("kf", customer)))
            said = [m.text for t in rig.dialogue.seen if t.conversation.thread == customer for m in t.messages]
            assert said == [f"T{number} {customer}" for number in range(3)]
    assert fake.violations == []
    assert {call.params["open_kfid"] for call in fake.calls("kf/sync_msg")} == {KF}


async def test_pages_are_read_to_the_end_the_empty_ones_too(fake: FakeWeCom, path: Path) -> None:
    fake.kf_api.page = 2
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: fake.calls("kf/sync_msg", applied=True))
        fake.kf_api.empty_pages = 3
        for number in range(7):
            fake.customers.says(f"wm{number}", f"T{number}", quiet=True)
        fake.customers.tells()
        await rig.until(lambda: len(fake.texts("kf")) == 7)
    assert sorted(fake.texts("kf")) == [f"T{number} 完" for number in range(7)]
    assert fake.violations == []


async def test_a_crash_between_two_pages_loses_and_repeats_nothing(fake: FakeWeCom, path: Path, tmp_path: Path) -> None:
    for number in range(4):
        fake.customers.says(f"wm{number}", f"T{number}", quiet=True)
    fake.kf_api.page = 2
    # The second page never comes: what the database holds then is what a crash would leave.
    hung = fake.faults.add(Fault(kind="hang", method="kf/sync_msg", skip=1))
    left = tmp_path / "left"
    left.mkdir()
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: len(fake.texts("kf")) == 2 and hung.fired)
        await asyncio.sleep(0.1)  # the last reply is marked as sent
        after = await asyncio.to_thread(copy_database, path, left)
    fake.faults.clear()
    async with open_rig(fake, after) as rig:
        await rig.until(lambda: len(fake.texts("kf")) == 4)
        await asyncio.sleep(0.2)
        assert len(rig.dialogue.seen) == 2
    assert sorted(fake.texts("kf")) == [f"T{number} 完" for number in range(4)]
    assert fake.kf_api.repeated == []
    assert fake.violations == []


async def test_a_page_that_could_not_be_stored_is_read_again(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: fake.calls("kf/sync_msg", applied=True))
        await rig.house.database.write(
            lambda connection: connection.exec_driver_sql(
                "CREATE TRIGGER no BEFORE INSERT ON inbound BEGIN SELECT RAISE(ABORT, 'database is locked'); END"
            )
        )
        fake.customers.says("wmA", "T1")
        before = len(fake.calls("kf/sync_msg"))
        await rig.until(lambda: len(fake.calls("kf/sync_msg")) > before + 2)
        await rig.house.database.write(lambda connection: connection.exec_driver_sql("DROP TRIGGER no"))
        await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完"])
    assert fake.feed.unacknowledged() == []


async def test_repeated_and_simultaneous_calls_are_read_one_at_a_time_and_nothing_twice(
    fake: FakeWeCom, path: Path
) -> None:
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: fake.calls("kf/sync_msg", applied=True))
        fake.faults.add(Fault(kind="slow", method="kf/sync_msg", seconds=0.1, times=6))
        for number in range(5):
            fake.customers.says(f"wm{number}", f"T{number}")
        told = fake.customers.tells()
        assert all(await fake.feed.again(told.id, 4))
        await rig.until(lambda: len(fake.texts("kf")) == 5)
        await asyncio.sleep(0.3)
        counted = await rig.rows("SELECT count(*) AS n FROM inbound")
        assert counted[0].n == 5
    assert sorted(fake.texts("kf")) == [f"T{number} 完" for number in range(5)]
    # Each of the slow ones ended before the next began.
    begun = [call.at for call in fake.calls("kf/sync_msg") if call.fault == "slow"]
    assert all(later - earlier >= 0.09 for earlier, later in itertools.pairwise(begun))
    assert fake.kf_api.repeated == []
    assert fake.violations == []


async def test_a_token_that_has_expired_is_done_without(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: fake.calls("kf/sync_msg", applied=True))
        outage = fake.faults.add(Fault(kind="close", method="kf/sync_msg"))
        fake.customers.says("wmA", "T1")
        await rig.until(lambda: outage.fired)
        fake.clock.advance(601)
        fake.faults.clear()
        await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完"])
    refused = [call for call in fake.calls("kf/sync_msg") if call.errcode == 95007]
    assert len(refused) == 1


async def test_what_was_missed_while_we_were_away_is_read_at_the_start(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "T1")
        await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完"])
        await asyncio.sleep(0.1)
    fake.customers.says("wmA", "T2", quiet=True)
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完", "T2 完"])
    assert fake.violations == []


async def test_what_nobody_called_for_is_found_by_looking_within_the_rate(path: Path) -> None:
    async with FakeWeCom(rate_limits=True) as fake:
        timing = replace(QUICK, look=0.1, looks=4)
        async with open_rig(fake, path, timing=timing) as rig:
            await rig.until(lambda: fake.calls("kf/sync_msg", applied=True))
            fake.customers.says("wmA", "T1", quiet=True)
            await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完"])
            await asyncio.sleep(0.5)
        assert [call.errcode for call in fake.calls("kf/sync_msg")] == [0] * 4


async def test_who_waits_for_a_look_is_woken_by_a_call(path: Path) -> None:
    async with FakeWeCom(rate_limits=True) as fake:
        fake.sessions.accounts.update({f"wk{number}": f"第{number}店" for number in range(9)})
        async with open_rig(fake, path, timing=replace(QUICK, looks=2)) as rig:
            await rig.until(lambda: len(fake.calls("kf/sync_msg", applied=True)) == 2)
            await asyncio.sleep(0.1)
            fake.customers.says("wmA", "T1", kf="wk8")
            await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完"])
        assert fake.violations == []


async def test_an_account_that_is_new_in_the_list_is_read_without_a_call(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: fake.calls("kf/sync_msg", applied=True))
        fake.sessions.accounts["wkNEW"] = "售后"
        fake.customers.says("wmA", "T1", kf="wkNEW", quiet=True)
        await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完"])
        [message] = fake.messages("kf", "wmA")
        assert message.kf == "wkNEW"
    assert fake.violations == []


async def test_what_was_said_long_before_our_first_start_is_left_alone(fake: FakeWeCom, path: Path) -> None:
    fake.clock.advance(-7200)
    fake.customers.says("wmOLD", "T1", quiet=True)
    fake.clock.advance(7200)
    fake.customers.says("wmNEW", "T2", quiet=True)
    fake.kf_api.page = 1
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: fake.texts("kf", "wmNEW") == ["T2 完"])
        assert [turn.text for turn in rig.dialogue.seen] == ["T2"]
    assert fake.texts("kf", "wmOLD") == []


async def test_answers_that_are_none_are_asked_for_again_and_move_no_cursor(fake: FakeWeCom, path: Path) -> None:
    for fault in (
        Fault(kind="html", method="kf/sync_msg", times=1),
        Fault(kind="truncated", method="kf/sync_msg", times=1),
        Fault(kind="shape", method="kf/sync_msg", body={"errcode": 0, "msg_list": "x"}, times=1),
        Fault(kind="shape", method="kf/sync_msg", body={"errcode": 0, "next_cursor": ""}, times=1),
        Fault(kind="error", method="kf/sync_msg", errcode=45009, times=1),
    ):
        fake.faults.add(fault)
    fake.customers.says("wmA", "T1", quiet=True)
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完"])
    assert fake.violations == []


async def test_two_processes_on_one_database_answer_once(fake: FakeWeCom, path: Path) -> None:
    # As two replicas: each has its own channel, and a call reaches either. Only the first has lanes that know of it.
    async with open_rig(fake, path) as one:
        first = fake.kf.url
        async with open_rig(fake, path) as other:
            for number in range(6):
                fake.kf.url = (first, str(other.server.make_url("/wecom/kf/callback")))[number % 2]
                fake.customers.says(f"wm{number}", f"T{number}")
            await one.until(lambda: len(fake.texts("kf")) == 6)
            await asyncio.sleep(0.3)
            assert (await one.rows("SELECT count(*) AS n FROM inbound"))[0].n == 6
    assert sorted(fake.texts("kf")) == [f"T{number} 完" for number in range(6)]
    assert fake.violations == []


async def test_a_cursor_that_wecom_has_forgotten_is_done_without(
    fake: FakeWeCom, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_rig(fake, path) as rig:
        fake.customers.says("wmA", "T1")
        await rig.until(lambda: fake.texts("kf", "wmA"))
        await asyncio.sleep(0.1)
        await rig.house.database.write(
            lambda connection: connection.exec_driver_sql("UPDATE cursors SET value = 'forgotten'")
        )
        fake.customers.says("wmA", "T2")
        await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完", "T2 完"])
        assert len(rig.dialogue.seen) == 2
    assert "wecom.cursor_lost" in capsys.readouterr().out


async def test_an_account_that_was_deleted_is_not_asked_for_again_and_again(fake: FakeWeCom, path: Path) -> None:
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: fake.calls("kf/sync_msg", applied=True))
        told = fake.customers.tells("wkGONE")
        await rig.until(lambda: told.fate == "acknowledged")
        await asyncio.sleep(0.5)
        gone = [call for call in fake.calls("kf/sync_msg") if call.params["open_kfid"] == "wkGONE"]
        assert [call.errcode for call in gone] == [95000]
        fake.customers.says("wmA", "T1")
        await rig.until(lambda: fake.texts("kf", "wmA") == ["T1 完"])


async def test_a_campaign_of_strangers_is_read_in_little_time(fake: FakeWeCom, path: Path) -> None:
    for number in range(300):
        fake.customers.says(f"wm{number:03}", f"T{number}", quiet=True)
    async with open_rig(fake, path) as rig:
        await rig.until(lambda: len(fake.texts("kf")) == 300, 30.0)
    assert fake.server.most_at_once <= 16
    assert fake.violations == []


class CountingPuller:
    """Reads nothing, and knows how many run it."""

    def __init__(self) -> None:
        self.running = 0
        self.started = 0

    def call(self, token: str) -> None: ...

    async def run(self, intake: Intake) -> None:
        self.running += 1
        self.started += 1
        assert self.running == 1
        try:
            await asyncio.Event().wait()
        finally:
            self.running -= 1


async def test_a_channel_that_is_started_again_has_one_reader_an_account(fake: FakeWeCom) -> None:
    clock, puller = ShiftedClock(), CountingPuller()
    client, _ = make_client(
        url=fake.api_url,
        corp_id=fake.corp_id,
        secret=fake.kf_secret,
        section="wecom_kf",
        clock=clock,
        timing=QUICK,
    )
    accounts = Accounts(
        client=client,
        make_puller=lambda _: cast("Puller", puller),
        clock=clock,
        sleep=asyncio.sleep,
        timing=QUICK,
    )
    accounts.call(fake.open_kfid, "a token")  # before it runs, and again by the list
    for _ in range(3):
        running = asyncio.create_task(accounts.run(MemoryIntake()))
        await asyncio.sleep(0.1)
        assert puller.running == 1
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    await client.close()
    assert puller.started == 3
