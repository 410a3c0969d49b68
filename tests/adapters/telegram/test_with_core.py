"""The channel in its place: the real inbox, lanes, turns and outbox on a real database, and the fake Bot API."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.telegram.channel import TelegramChannel
from bot.clock import SystemClock
from tests.adapters.telegram.conftest import Build, Until
from tests.core.house import _template, new_database, open_house
from tests.fakes.dialogue import ScriptedDialogue
from tests.fakes.telegram_api import FakeTelegram, Fault

GROUP = -1001234567890


@pytest.fixture(scope="module", autouse=True)
def _empty_database() -> None:
    """Made outside the event loop; every test copies it."""
    _template()


async def test_a_question_is_answered_once_however_often_it_is_delivered(
    fake: FakeTelegram, channel: TelegramChannel, tmp_path: Path, until: Until
) -> None:
    said = fake.people.says(5, "T1 密码忘了怎么办")
    async with open_house(new_database(tmp_path), [channel], ScriptedDialogue(), clock=SystemClock()):
        await until(lambda: fake.texts(5) == ["T1 完"])
        for _ in range(3):
            fake.people.redelivers(said["update_id"], fresh_id=True)
        fake.people.says(5, "T2")
        await until(lambda: len(fake.texts(5)) == 2 and not fake.unconfirmed())
    assert fake.texts(5) == ["T1 完", "T2 完"]


async def test_the_offset_survives_a_restart(fake: FakeTelegram, make: Build, tmp_path: Path, until: Until) -> None:
    path = new_database(tmp_path)
    for so_far in (1, 2):
        fake.people.says(5, f"T{so_far}")
        # Drained at the end: a send that is cut off would be repeated by the next start.
        async with open_house(path, [await make()], ScriptedDialogue(), clock=SystemClock(), drain_seconds=5.0):
            await until(lambda: not fake.unconfirmed() and len(fake.texts(5)) == len(fake.state.updates))
    assert fake.texts(5) == ["T1 完", "T2 完"]


async def test_a_slow_answer_grows_before_the_readers_eyes(
    fake: FakeTelegram, channel: TelegramChannel, tmp_path: Path, until: Until
) -> None:
    async with open_house(new_database(tmp_path), [channel], ScriptedDialogue(), clock=SystemClock()):
        fake.people.says(5, "T1 slow 2")
        fake.people.opens_chat(GROUP)
        fake.people.says(GROUP, f"@{fake.username} T2 slow 2", sender=6)
        await until(lambda: fake.texts(5) == ["T1 完"] and fake.texts(GROUP) == ["T2 完"])
    assert [call.text for call in fake.calls("sendMessageDraft", chat=5)][:1] == ["回答"]
    assert [call.method for call in fake.calls(chat=GROUP) if call.method != "sendChatAction"] == [
        "sendMessage", "editMessageText",
    ]  # fmt: skip


async def test_the_stop_button_stops_the_running_answer(
    fake: FakeTelegram, channel: TelegramChannel, tmp_path: Path, until: Until
) -> None:
    dialogue = ScriptedDialogue()
    async with open_house(new_database(tmp_path), [channel], dialogue, clock=SystemClock()):
        fake.people.says(5, "T1 hang")
        await until(lambda: fake.calls("sendMessageDraft"))
        fake.people.stops(5, int(fake.calls("sendMessageDraft")[0].params["draft_id"]))
        await until(lambda: fake.texts(5) == ["已停止 T1 完"])
    assert dialogue.cancelled == 1


async def test_the_stop_command_stops_it_too(
    fake: FakeTelegram, channel: TelegramChannel, tmp_path: Path, until: Until
) -> None:
    async with open_house(new_database(tmp_path), [channel], ScriptedDialogue(), clock=SystemClock()):
        fake.people.says(5, "T1 hang")
        await until(lambda: fake.calls("sendMessageDraft"))
        fake.people.says(5, "/stop")
        await until(lambda: fake.texts(5) == ["已停止 T1 完"])


async def test_an_edit_before_the_answer_is_what_is_answered_and_a_reaction_changes_nothing(
    fake: FakeTelegram, channel: TelegramChannel, tmp_path: Path, until: Until
) -> None:
    dialogue = ScriptedDialogue()
    async with open_house(new_database(tmp_path), [channel], dialogue, clock=SystemClock()):
        asked = fake.people.says(5, "T1 hang")
        await until(lambda: dialogue.seen)
        fake.people.edits(5, asked["message_id"], "T1 hang")
        fake.people.says(6, "T9")
        await until(lambda: fake.texts(6))
        assert dialogue.cancelled == 0
        fake.people.edits(5, asked["message_id"], "T2")
        await until(lambda: fake.texts(5) == ["T2 完"])


async def test_a_429_in_one_chat_delays_no_other_and_the_answer_arrives(
    fake: FakeTelegram, channel: TelegramChannel, tmp_path: Path, until: Until
) -> None:
    fake.faults.add(Fault(kind="flood", method="sendMessage", chat=5, retry_after=1, times=1))
    async with open_house(new_database(tmp_path), [channel], ScriptedDialogue(), clock=SystemClock()):
        fake.people.says(5, "T1")
        fake.people.says(6, "T2")
        await until(lambda: fake.texts(6) == ["T2 完"])
        await until(lambda: fake.texts(5) == ["T1 完"])


async def test_a_group_that_becomes_a_supergroup_is_answered_there(
    fake: FakeTelegram, channel: TelegramChannel, tmp_path: Path, until: Until
) -> None:
    async with open_house(new_database(tmp_path), [channel], ScriptedDialogue(), clock=SystemClock()):
        fake.people.opens_chat(-55)
        fake.people.says(-55, f"@{fake.username} T1 slow 1", sender=6)
        await until(lambda: fake.calls(chat=-55))
        fake.people.migrates(-55, GROUP)
        await until(lambda: fake.texts(GROUP) == ["T1 完"])


async def test_who_blocks_us_gets_nothing_more_and_is_welcome_back(
    fake: FakeTelegram, channel: TelegramChannel, tmp_path: Path, until: Until
) -> None:
    async with open_house(new_database(tmp_path), [channel], ScriptedDialogue(), clock=SystemClock()):
        fake.people.says(5, "T1 slow 1")
        await until(lambda: fake.calls(chat=5))
        fake.people.blocks(5)
        fake.people.says(6, "T2 slow 1")
        await until(lambda: fake.texts(6) == ["T2 完"])
        fake.people.unblocks(5)
        fake.people.says(5, "T3")
        await until(lambda: "T3 完" in fake.texts(5))


async def test_a_button_press_is_judged_in_its_own_conversation(
    fake: FakeTelegram, channel: TelegramChannel, tmp_path: Path, until: Until
) -> None:
    async with open_house(new_database(tmp_path), [channel], ScriptedDialogue(), clock=SystemClock()):
        fake.people.says(5, "T1")
        await until(lambda: fake.texts(5))
        press = fake.people.presses(5, fake.messages(5)[0]["message_id"], "fb:up:unknown")
        await until(lambda: fake.state.callbacks[press["id"]]["answered"])
        assert not fake.unconfirmed()
