"""F3 on Slack: it takes a message and does not say so. The thread is looked at, and it stands there once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.history import outbox
from tests.fakes.slack_api import Fault
from tests.fakes.slackapi.faults import Kind
from tests.faults import seeds
from tests.faults.slack_rig import SlackRig, Storyteller, said, slack_rig, squeezed, story

pytestmark = pytest.mark.usefixtures("quick_repeats")

LOST: Sequence[tuple[Kind, int]] = (
    ("close", 0), ("reset", 0), ("cut", 0), ("truncated", 0), ("empty", 0), ("shape", 0), ("html", 500), ("html", 502),
    ("error", 0),
)  # fmt: skip
"""Ways to lose an answer. The page and the error (`fatal_error`) say it went wrong, although it was taken."""


def _lose(rig: SlackRig, method: str, *, times: int = 1, apply: bool = True, words: str = "T{n} ") -> list[Fault]:
    """One message in a place of its own for each way; the answer to that call is lost there so often."""
    faults = []
    for number, (kind, code) in enumerate(LOST, start=1):
        channel = f"C{number}" if number % 2 else f"D{number}"
        rig.slack.people.opens_channel(channel)
        fault = Fault(kind=kind, method=method, code=code or 500, channel=channel, times=times, apply=apply)
        faults.append(rig.slack.faults.add(fault))
        text = words.format(n=f"{number}")
        if channel.startswith("C"):
            rig.slack.people.mentions(channel, text, user=f"U{number}")
        else:
            rig.slack.people.says(channel, text, user=f"U{number}")
    return faults


def _copies(rig: SlackRig) -> list[int]:
    found = said(rig.slack.messages())
    return [found[f"T{number}"] for number in range(1, len(LOST) + 1)]


@pytest.mark.parametrize("apply", [True, False], ids=["taken", "not taken"])
async def test_a_post_whose_answer_is_lost_stands_there_once(tmp_path: Path, apply: bool) -> None:
    _, report = seeds.begin("F3 slack")
    async with slack_rig(tmp_path) as rig:
        async with rig.life():
            faults = _lose(rig, "chat.postMessage", apply=apply)
            await rig.rest(60)
        looks = rig.slack.calls("conversations.replies")
        report.counts |= {"faults": sum(fault.fired for fault in faults), "copies": _copies(rig), "looks": len(looks)}
        report.print()
        assert [fault.fired for fault in faults] == [1] * len(LOST)
        assert _copies(rig) == [1] * len(LOST)
        assert await rig.states() == {"sent": len(LOST)}
        assert len(looks) >= len(LOST)


@pytest.mark.parametrize("method", ["chat.startStream", "chat.appendStream", "chat.stopStream"])
async def test_a_stream_whose_answer_is_lost_ends_with_the_whole_text_once(tmp_path: Path, method: str) -> None:
    stories = {f"T{number}": story(f"T{number}") for number in range(1, len(LOST) + 1)}
    async with slack_rig(tmp_path, dialogue=Storyteller(stories=stories)) as rig:
        async with rig.life():
            faults = _lose(rig, method, words="tell T{n} ")
            await rig.rest(60)
        assert [fault.fired for fault in faults] == [1] * len(LOST)
        found = [squeezed(message.text) for message in rig.slack.messages()]
        assert sorted(found) == sorted(squeezed(text) for text in stories.values())
        assert not any(message.streaming for message in rig.slack.messages())
        assert await rig.states() == {"sent": len(LOST)}


async def test_an_edit_whose_answer_is_lost_leaves_one_message(tmp_path: Path) -> None:
    """Without streams the answer is a post that is edited: repeating that changes nothing."""
    async with slack_rig(tmp_path) as rig:
        rig.slack.faults.add(Fault(kind="error", method="chat.startStream", error="unknown_method"))
        async with rig.life():
            faults = _lose(rig, "chat.update", words="slow 0.5 T{n} ")
            await rig.rest(60)
        assert all(fault.fired for fault in faults)
        assert _copies(rig) == [1] * len(LOST)
        assert len(rig.slack.messages()) == len(LOST)


async def test_where_the_thread_can_not_be_read_there_is_one_repeat_and_then_an_operator(tmp_path: Path) -> None:
    """Without the scope nobody can look whether it has arrived."""
    async with slack_rig(tmp_path) as rig:
        for kind in ("channels", "im"):
            rig.slack.tokens.loses(f"{kind}:history")
        async with rig.life() as house:
            _lose(rig, "chat.postMessage", times=9)
            await rig.rest(60)
            stuck = await house.database.read(lambda connection: outbox.stuck(connection, 100))
        assert max(_copies(rig)) <= 2
        assert {(one.state, one.text) for one in stuck} == {
            ("failed", f"T{number} 完") for number in range(1, len(LOST) + 1)
        }


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_a_storm_of_lost_answers(tmp_path: Path) -> None:
    """Every seventh call of any kind loses its answer, after or before it was taken: 200 messages stand there once."""
    chance, report = seeds.begin("F3 slack storm")
    stories = {f"T{number}": story(f"T{number}") for number in range(1, 201, 2)}
    async with slack_rig(tmp_path, dialogue=Storyteller(stories=stories)) as rig:
        for number, (kind, code) in enumerate(LOST):
            method = chance.choice(["chat.*", "*"])
            rig.slack.faults.add(
                Fault(kind=kind, method=method, code=code or 500, every=31 + number, apply=number % 2 == 0)
            )
        async with rig.life():
            for number in range(1, 201):
                user, word = f"U{number}", "tell " if number % 2 else ""
                rig.slack.people.says(f"D{number}", f"{word}T{number}", user=user)
                await asyncio.sleep(0.2)
            await rig.rest(300)
        found = said(rig.slack.messages())
        fired = sum(fault.fired for fault in rig.slack.faults.program)
        report.counts |= {"faults": fired, "messages": 200, "said": found.total(), "states": dict(await rig.states())}
        report.print()
        assert found == dict.fromkeys((f"T{number}" for number in range(1, 201)), 1)
