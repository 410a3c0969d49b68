"""Answers that grow in Slack, from the core to what people read: not mixed, not twice, not cut, whatever Slack says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.dialogue import END
from tests.fakes.slack_api import Fault
from tests.faults.slack_rig import SlackRig, Storyteller, slack_rig, squeezed, story

pytestmark = pytest.mark.usefixtures("quick_repeats")


def _asks(rig: SlackRig, count: int) -> dict[str, tuple[str, str]]:
    """So many people ask for a story, half of them in one channel, each in a thread of their own."""
    places: dict[str, tuple[str, str]] = {}
    for number in range(1, count + 1):
        token, user = f"T{number}", f"U{number}"
        if number % 2:
            channel = "C1"
            told = rig.slack.people.mentions(channel, f"tell {token}", user=user)
        else:
            channel = f"D{number}"
            told = rig.slack.people.says(channel, f"tell {token}", user=user)
        places[token] = (channel, told["thread"])
    return places


def _whole_once(rig: SlackRig, place: tuple[str, str], text: str) -> None:
    found = rig.slack.texts(*place)
    assert [squeezed(words) for words in found] == [squeezed(text)], f"{place}: {found}"


async def _told(folder: Path, count: int, *faults: Fault, seconds: float = 1.5) -> tuple[SlackRig, int]:
    """Everybody is told their own story, once and whole; how many additions to streams there were."""
    stories = {f"T{number}": story(f"T{number}") for number in range(1, count + 1)}
    async with slack_rig(folder, dialogue=Storyteller(stories=stories, seconds=seconds)) as rig:
        for fault in faults:
            rig.slack.faults.add(fault)
        async with rig.life():
            places = _asks(rig, count)
            await rig.rest()
        for token, place in places.items():
            _whole_once(rig, place, stories[token])
        assert not any(message.streaming for message in rig.slack.messages())
        assert await rig.states() == {"sent": count}
        assert await rig.query("SELECT id FROM deliveries WHERE attempts > 1") == []
        return rig, len(rig.slack.calls("chat.appendStream", applied=True))


async def test_twenty_threads_that_stream_at_once_do_not_mix(tmp_path: Path) -> None:
    rig, additions = await _told(tmp_path, 20)
    assert len(rig.slack.calls("chat.startStream", applied=True)) >= 15, "they have to stream"
    assert additions >= 15


async def test_patience_asked_for_at_every_third_addition_costs_no_word(tmp_path: Path) -> None:
    fault = Fault(kind="ratelimited", method="chat.appendStream", every=3, retry_after=1)
    _, additions = await _told(tmp_path, 6, fault, seconds=3.0)
    assert fault.fired >= 2
    assert additions >= 4


async def test_a_stream_that_dies_half_way_ends_with_the_whole_text_once(tmp_path: Path) -> None:
    fault = Fault(kind="stream_dies", method="chat.appendStream", skip=2, every=2)
    rig, _ = await _told(tmp_path, 6, fault, seconds=1.5)
    assert fault.fired >= 2
    assert rig.slack.calls("chat.update", applied=True), "a dead stream is written over"


async def test_a_workspace_that_knows_no_streams_is_shown_edits(tmp_path: Path) -> None:
    fault = Fault(kind="error", method="chat.startStream", error="unknown_method")
    rig, additions = await _told(tmp_path, 4, fault)
    assert fault.fired <= 4, "it is remembered"
    assert additions == 0
    assert rig.slack.calls("chat.update", applied=True)


async def test_thirty_thousand_characters_arrive_whole_and_well_formed(tmp_path: Path) -> None:
    sections = []
    for number in range(1, 31):
        table = "\n".join(
            ["| 项目 | 数量 |", "| --- | --- |", *(f"| 第{number}-{row}项 | {row} |" for row in range(9))]
        )
        code = "```python\n" + "\n".join(f"print({number}, {row})  # 一行代码" for row in range(12)) + "\n```"
        sections.append(f"## 第 {number} 节\n\n" + "这一节说明怎么办。" * 65 + f"\n\n{table}\n\n{code}")
    text = "\n\n".join([*sections, f"T1 {END}"])
    assert len(text) >= 30_000
    async with slack_rig(tmp_path, dialogue=Storyteller(stories={"T1": text}, steps=40)) as rig:
        async with rig.life():
            told = rig.slack.people.says("D1", "tell T1")
            await rig.rest(60)
        parts = rig.slack.messages("D1", told["thread"])
        assert len(parts) >= 3
        assert all(part.text.count("```") % 2 == 0 for part in parts), "a fence is open"
        whole = "\n".join(part.text for part in parts)
        for number in range(1, 31):
            assert whole.count(f"第 {number} 节") == 1
            assert all(whole.count(f"第{number}-{row}项") == 1 for row in range(9))
            assert all(whole.count(f"print({number}, {row})") == 1 for row in range(12))
        assert whole.count("这一节说明怎么办。") == 30 * 65
        assert whole.rstrip().endswith(END)
        assert await rig.states() == {"sent": 1}


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_a_hundred_threads_stream_at_the_rates_of_slack(tmp_path: Path) -> None:
    """The workspace's rates are enforced: those for whom there is no room see their answer when it is ready."""
    stories = {f"T{number}": story(f"T{number}") for number in range(1, 101)}
    dialogue = Storyteller(stories=stories, seconds=20.0)
    async with slack_rig(tmp_path, rate_limits=True, dialogue=dialogue) as rig:
        async with rig.life():
            places = _asks(rig, 100)
            await rig.rest(400)
        for token, place in places.items():
            _whole_once(rig, place, stories[token])
        refused = [call for call in rig.slack.calls() if call.status == 429]
        print(f"\nF19 slack streams=100 calls={len(rig.slack.calls())} refused={len(refused)}")
        assert len(refused) <= len(rig.slack.calls()) / 20


@pytest.mark.parametrize("transport", ["socket", "http"])
async def test_slacks_own_stop_ends_the_answer(tmp_path: Path, transport: str) -> None:
    dialogue = Storyteller(snapshots=40)
    async with slack_rig(tmp_path, transport=transport, dialogue=dialogue) as rig, rig.life():
        told = rig.slack.people.mentions("C1", "slow 30 T1", user="U1")
        await rig.slack.until(lambda: rig.slack.calls("chat.appendStream", applied=True), timeout=10)
        assert rig.slack.session("C1", told["thread"]) == "processing"
        stopped = rig.slack.people.stops("C1", told["thread"], user="U1")
        await rig.rest(5)
        assert stopped["streams"]
        assert dialogue.cancelled == 1, "nothing is generated for nobody"
        assert rig.slack.texts("C1", told["thread"]) == [f"已停止 T1 {END}"]
        await rig.slack.until(lambda: rig.slack.session("C1", told["thread"]) == "active")


async def test_only_threads_older_than_the_process_are_looked_into(tmp_path: Path) -> None:
    """A look costs one of some fifty calls a minute: after a restart nobody's new question may wait for it."""
    async with slack_rig(tmp_path) as rig:
        async with rig.life():
            threads = [rig.slack.people.says(f"D{number}", f"T{number}")["thread"] for number in range(1, 6)]
            rig.slack.people.mentions("C1", "slow 0.5 T6", user="U6")
            await rig.rest()
            assert not rig.slack.calls("conversations.replies")
        async with rig.life():
            rig.slack.people.says("D1", "T7", thread=threads[0])
            rig.slack.people.says("D2", "T8")
            await rig.rest()
            looks = rig.slack.calls("conversations.replies")
            assert [call.channel for call in looks] == ["D1"]
