"""Receiving by long polls, against the fake Bot API."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import aiohttp
import pytest
import structlog

from adapters.telegram.timing import Timing
from bot.messages import MessageKind
from tests.adapters.telegram.conftest import QUICK, Build, Running, Until
from tests.adapters.telegram.doubles import BOT_ID, TOKEN, message
from tests.fakes.intake import MemoryIntake
from tests.fakes.telegram_api import FakeTelegram, Fault

CURSOR = ("telegram", str(BOT_ID))


async def test_a_question_is_stored_and_only_then_confirmed(
    fake: FakeTelegram, make: Build, running: Running, intake: MemoryIntake, until: Until
) -> None:
    said = fake.people.says(5, "密码忘了怎么办")
    async with running(await make()):
        await until(lambda: intake.texts == ["密码忘了怎么办"])
        assert intake.cursors[CURSOR] == str(said["update_id"] + 1)
        await until(lambda: fake.unconfirmed() == [])


async def test_nothing_is_confirmed_while_the_database_is_locked(
    fake: FakeTelegram, make: Build, running: Running, intake: MemoryIntake, until: Until
) -> None:
    said = fake.people.says(5, "hello")
    intake.failures = 4
    async with running(await make()):
        await until(lambda: intake.attempts == 4)
        assert fake.unconfirmed() == [said["update_id"]]
        await until(lambda: intake.texts == ["hello"] and not fake.unconfirmed())
    assert intake.duplicates == 0


async def test_a_defect_behind_the_intake_makes_nobody_deaf(
    fake: FakeTelegram, make: Build, running: Running, intake: MemoryIntake, until: Until
) -> None:
    fake.people.says(5, "hello")
    intake.defects = 2
    channel = await make()
    async with running(channel):
        await until(lambda: intake.texts == ["hello"])
        await until(lambda: channel.health().up)


async def test_a_restart_goes_on_where_the_database_stands(
    fake: FakeTelegram, make: Build, running: Running, intake: MemoryIntake, until: Until
) -> None:
    first = fake.people.says(5, "one")
    async with running(await make()):
        await until(lambda: intake.texts == ["one"])
    fake.people.says(5, "two")
    async with running(await make()):
        await until(lambda: intake.texts == ["one", "two"])
    offsets = [int(call.params.get("offset", 0)) for call in fake.calls("getUpdates")]
    assert offsets[0] == 0
    assert first["update_id"] + 1 in offsets
    assert intake.duplicates == 0


async def test_what_was_stored_but_not_confirmed_is_recognised_when_it_comes_again(
    fake: FakeTelegram, make: Build, running: Running, intake: MemoryIntake, until: Until
) -> None:
    said = fake.people.says(5, "one")
    async with running(await make()):
        await until(lambda: not fake.unconfirmed() and intake.texts == ["one"])
        fake.people.redelivers(said["update_id"], fresh_id=True)
        await until(lambda: intake.duplicates == 1)
    assert intake.texts == ["one"]


async def test_a_malformed_update_among_good_ones_is_passed_over(
    fake: FakeTelegram, make: Build, running: Running, intake: MemoryIntake, until: Until
) -> None:
    fake.people.says(5, "before")
    fake.people.happens("message", {"message_id": "x", "chat": 5})
    fake.people.happens("message", {"message_id": 3, "date": 1, "chat": {"id": 5}, "from": {}})
    fake.people.says(5, "after")
    async with running(await make()):
        await until(lambda: intake.texts == ["before", "after"] and not fake.unconfirmed())


async def test_every_kind_of_update_that_we_read_is_asked_for(
    fake: FakeTelegram, make: Build, running: Running, intake: MemoryIntake, until: Until
) -> None:
    async with running(await make()):
        await until(lambda: fake.calls("getUpdates"))
        fake.people.says(5, "hi")
        fake.people.stops(5, 31)
        fake.people.blocks(5)
        await until(lambda: len(intake.messages) == 3)
    assert [found.kind for found in intake.messages] == [MessageKind.TEXT, MessageKind.STOP, MessageKind.GONE]


async def test_a_webhook_that_was_left_behind_is_removed_with_nothing_lost(
    fake: FakeTelegram, make: Build, running: Running, intake: MemoryIntake, until: Until
) -> None:
    async with aiohttp.ClientSession() as http:
        url = f"{fake.url}/bot{TOKEN}/setWebhook"
        await http.post(url, json={"url": "https://elsewhere.invalid/telegram/webhook"})
        fake.people.says(5, "waiting")
        channel = await make()
        async with running(channel):
            await until(lambda: intake.texts == ["waiting"])
            await http.post(url, json={"url": "https://elsewhere.invalid/telegram/webhook"})
            await until(lambda: not channel.health().up)
            await until(lambda: channel.health().up)


async def test_commands_are_offered_in_english_and_chinese(
    fake: FakeTelegram, make: Build, running: Running, until: Until
) -> None:
    async with running(await make()):
        await until(lambda: fake.calls("setChatMenuButton"))
    for language in ("", "zh"):
        offered = [command["command"] for command in fake.state.settings[f"commands:default::{language}"]]
        assert offered == ["start", "help", "ticket", "reset", "stop"]


# -- Pressed buttons --


async def test_a_thumb_is_thanked_for_and_every_press_is_answered(
    fake: FakeTelegram, make: Build, running: Running, intake: MemoryIntake, until: Until
) -> None:
    fake.people.opens_chat(5)
    judged = fake.people.presses(5, 44, "fb:up:abc")
    strange = fake.people.presses(5, 44, "something else")
    async with running(await make()):
        await until(lambda: all(fake.state.callbacks[press["id"]]["answered"] for press in (judged, strange)))
    assert fake.state.callbacks[judged["id"]]["answered"]["text"] == "谢谢您的反馈！"
    assert fake.state.callbacks[strange["id"]]["answered"]["text"] == ""
    assert [found.kind for found in intake.messages] == [MessageKind.FEEDBACK]


async def test_a_press_that_can_not_be_answered_any_more_stops_nothing(
    fake: FakeTelegram, make: Build, running: Running, intake: MemoryIntake, until: Until
) -> None:
    fake.people.opens_chat(5)
    lost = fake.people.presses(5, 44, "fb:up:abc")
    del fake.state.callbacks[lost["id"]]
    later = fake.people.presses(5, 44, "fb:down:abc")
    async with running(await make()):
        await until(lambda: fake.state.callbacks[later["id"]]["answered"])


# -- Trouble --

PASSING = [
    pytest.param(Fault(kind="close", method="getUpdates", times=3), id="connection closed"),
    pytest.param(Fault(kind="reset", method="getUpdates", times=3), id="connection reset"),
    pytest.param(Fault(kind="cut", method="getUpdates", times=2), id="answer cut off"),
    pytest.param(Fault(kind="html", method="getUpdates", times=3, code=502), id="a proxy's page"),
    pytest.param(Fault(kind="html", method="getUpdates", times=2, code=200), id="a captive portal"),
    pytest.param(Fault(kind="truncated", method="getUpdates", times=2), id="half of the JSON"),
    pytest.param(Fault(kind="shape", method="getUpdates", times=2, body={"ok": True}), id="no result"),
    pytest.param(Fault(kind="shape", method="getUpdates", times=2, body={"ok": True, "result": 7}), id="no list"),
    pytest.param(Fault(kind="error", method="getUpdates", times=2), id="500"),
    pytest.param(Fault(kind="flood", method="getUpdates", times=1, retry_after=1), id="429"),
    pytest.param(Fault(kind="flood", method="getUpdates", times=1, retry_after=0), id="429 with 0"),
    pytest.param(Fault(kind="error", method="getMe", times=2), id="a bad start"),
]


@pytest.mark.parametrize("fault", PASSING)
async def test_the_poll_survives_and_goes_on(
    fault: Fault, fake: FakeTelegram, make: Build, running: Running, intake: MemoryIntake, until: Until
) -> None:
    fake.faults.add(fault)
    fake.people.says(5, "hello")
    channel = await make()
    async with running(channel):
        await until(lambda: intake.texts == ["hello"])
        await until(lambda: channel.health().up)
    assert fault.fired == fault.times


async def test_an_unreachable_server_is_down_and_comes_back(
    fake: FakeTelegram, make: Build, running: Running, intake: MemoryIntake, until: Until
) -> None:
    channel = await make(api_url="http://127.0.0.1:9")
    async with running(channel):
        await until(lambda: "can not be reached" in channel.health().detail)
        assert not channel.health().up


async def test_another_poller_costs_one_line_and_is_waited_out(
    fake: FakeTelegram, make: Build, running: Running, intake: MemoryIntake, until: Until
) -> None:
    conflict = Fault(kind="error", method="getUpdates", code=409, description="Conflict: terminated by other", times=4)
    fake.faults.add(conflict)
    channel = await make()
    with structlog.testing.capture_logs() as logs:
        async with running(channel):
            await until(lambda: conflict.fired == 2)
            assert "another process" in channel.health().detail
            await until(lambda: channel.health().up)
    assert len([line for line in logs if line["event"] == "telegram.down"]) == 1


async def test_a_stuck_poll_is_noticed_and_started_again(
    fake: FakeTelegram, make: Build, running: Running, intake: MemoryIntake, until: Until
) -> None:
    channel = await make()
    with structlog.testing.capture_logs() as logs:
        async with running(channel):
            await until(lambda: channel.health().up)
            stuck = fake.faults.add(Fault(kind="hang", method="getUpdates", times=1))
            await until(lambda: stuck.fired)
            fake.people.says(5, "is anybody there?")
            began = time.monotonic()
            await until(lambda: not channel.health().up)
            await until(lambda: intake.texts == ["is anybody there?"] and channel.health().up)
            assert time.monotonic() - began < 8.0
    events = [line["event"] for line in logs if line["event"] in ("telegram.down", "telegram.up")]
    assert events == ["telegram.up", "telegram.down", "telegram.up"]


def test_a_deaf_receiver_is_noticed_in_thirty_seconds_and_started_again_in_sixty() -> None:
    timing = Timing()
    assert timing.poll + timing.patience + 2 <= 30, "from the last good answer to health().up == False"
    assert timing.poll + timing.patience + timing.first_pause <= 60


async def test_a_receiver_that_was_killed_ends_the_run_so_that_the_channel_is_started_again(
    fake: FakeTelegram, make: Build, intake: MemoryIntake, until: Until
) -> None:
    channel = await make()
    run = asyncio.create_task(channel.run(intake))
    await until(lambda: channel.health().up)
    receivers = [task for task in asyncio.all_tasks() if "Poller.run" in repr(task)]
    assert len(receivers) == 1
    receivers[0].cancel()
    with pytest.raises(ExceptionGroup):
        await run
    fake.people.says(5, "hello")
    again = asyncio.create_task(channel.run(intake))
    await until(lambda: intake.texts == ["hello"])
    again.cancel()
    with pytest.raises(asyncio.CancelledError):
        await again


async def test_a_revoked_token_is_tried_seldom_and_resumes_by_itself(
    fake: FakeTelegram, make: Build, running: Running, intake: MemoryIntake, until: Until
) -> None:
    channel = await make()
    with structlog.testing.capture_logs() as logs:
        async with running(channel):
            await until(lambda: channel.health().up)
            revoked = fake.faults.add(Fault(kind="error", method="getUpdates", code=401, description="Unauthorized"))
            fake.people.says(5, "wake")
            await until(lambda: revoked.fired >= 1)
            fired, began = revoked.fired, time.monotonic()
            await asyncio.sleep(0.8)
            attempts = (revoked.fired - fired) / (time.monotonic() - began)
            assert attempts <= 1 / 0.3, "not more often than refused_pause"
            assert "token" in channel.health().detail
            fake.faults.clear()
            fake.people.says(5, "back")
            await until(lambda: "back" in intake.texts and channel.health().up)
    assert len([line for line in logs if line["event"] == "telegram.down"]) == 1
    assert Timing().refused_pause > 30, "two calls a minute at most"


async def test_an_outage_of_many_faces_is_one_line_down_and_one_up(
    fake: FakeTelegram, make: Build, running: Running, intake: MemoryIntake, until: Until
) -> None:
    channel = await make()
    with structlog.testing.capture_logs() as logs:
        async with running(channel):
            await until(lambda: channel.health().up)
            for kind in ("reset", "html", "truncated", "error", "close", "cut"):
                fake.faults.add(Fault(kind=kind, method="getUpdates", times=1))
            fake.people.says(5, "wake")
            await until(lambda: intake.texts == ["wake"])
            fake.people.says(5, "again")
            await until(lambda: all(fault.fired for fault in fake.faults.program))
            await until(lambda: intake.texts == ["wake", "again"] and channel.health().up)
    events = [line["event"] for line in logs if line["event"] in ("telegram.down", "telegram.up")]
    assert events == ["telegram.up", "telegram.down", "telegram.up"]


async def test_numbers_that_start_anew_after_a_quiet_week_are_received(
    fake: FakeTelegram, make: Build, running: Running, intake: MemoryIntake, until: Until
) -> None:
    fake.people.says(5, "before")
    async with running(await make(timing=replace(QUICK, quiet=0.1))):
        await until(lambda: intake.texts == ["before"])
        await until(lambda: "offset" not in fake.calls("getUpdates")[-1].params and len(fake.calls("getUpdates")) > 2)
        fake.people.happens("message", message("after", message_id=99), update_id=17)
        await until(lambda: intake.texts == ["before", "after"])
        await until(lambda: not fake.unconfirmed())
    assert intake.cursors[CURSOR] == "18"


async def test_a_malformed_token_is_down_and_not_dead(make: Build, running: Running, until: Until) -> None:
    channel = await make(token="123456789:AAAnotherBotsToken_0123456789")
    async with running(channel):
        await until(lambda: "token" in channel.health().detail)


async def test_before_the_first_answer_the_channel_is_not_up(make: Build) -> None:
    channel = await make()
    assert not channel.health().up
