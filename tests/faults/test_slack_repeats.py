"""F2 on Slack: every event comes four times, under two names, over two sockets at a time. One message, one reply."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.faults import seeds
from tests.faults.seeds import Report
from tests.faults.slack_rig import SlackRig, said, slack_rig


class Talk:
    """People who write, and the tokens of what they have written, by thread."""

    def __init__(self, rig: SlackRig, chance: random.Random) -> None:
        self._rig = rig
        self._chance = chance
        self._count = 0
        self.threads: dict[str, tuple[str, str]] = {}
        """Token → (channel, thread)."""
        self.events: list[str] = []

    def writes(self) -> None:
        """A direct message, or a mention in a channel (two events), or a word in a thread that we take part in."""
        self._count += 1
        token, number = f"T{self._count}", self._count % 40
        people = self._rig.slack.people
        text = f"ticket {token}" if self._count % 4 == 0 else token
        known = [place for place in self.threads.values() if place[0].startswith("C")]
        if self._count % 3 == 0:
            told, channel = people.mentions(f"C{number}", text, user=f"U{number}"), f"C{number}"
        elif self._count % 3 == 1 or not known:
            told, channel = people.says(f"D{number}", text, user=f"U{number}"), f"D{number}"
        else:
            channel, thread = self._chance.choice(known)
            told = people.says(channel, text, user=f"U{channel[1:]}", thread=thread)
        self.threads[token] = (channel, told["thread"])
        self.events += told["event_ids"]

    async def again(self, share: float, copies: int) -> int:
        """Slack repeats some of all there was, all copies of an event at once, and ten events; how many."""
        chosen = [event for event in self.events if self._chance.random() < share]
        for start in range(0, len(chosen), 10):
            some = chosen[start : start + 10]
            taken = await asyncio.gather(*(self._rig.slack.feed.again(event, copies) for event in some))
            assert all(all(one) for one in taken), "a repetition was not acknowledged"
        return len(chosen) * copies


async def _check(rig: SlackRig, talk: Talk, report: Report) -> None:
    once = Counter(dict.fromkeys(talk.threads, 1))
    stored, answered = await rig.stored(), said(rig.slack.messages())
    report.counts |= {"messages": len(once), "stored": stored.total(), "replies": answered.total()}
    report.print()
    assert stored == once
    assert answered == once
    for token, (channel, thread) in talk.threads.items():
        assert said(rig.slack.messages(channel, thread))[token] == 1, f"{token} is not answered in its thread"
    tickets = await rig.query("SELECT subject FROM tickets")
    assert len(tickets) == len({row["subject"] for row in tickets})
    assert set(await rig.states()) == {"sent"}  # what was written at once in one thread is answered at once


async def _run(folder: Path, transport: str, messages: int, lives: int) -> None:
    chance, report = seeds.begin(f"F2 slack {transport}")
    async with slack_rig(folder, transport=transport) as rig:
        talk = Talk(rig, chance)
        repeats = 0
        for _ in range(lives):
            async with rig.life():
                for number in range(messages // lives):
                    talk.writes()
                    if number % 8 == 7:
                        await rig.rest()  # so that there are threads to go on in
                repeats += await talk.again(1.0, 3)
                await rig.rest()
                repeats += await talk.again(0.2, 2)
                await rig.rest()
        report["repeats"] = repeats
        await _check(rig, talk, report)


@pytest.mark.parametrize("transport", ["socket", "http"])
async def test_redelivery_is_answered_once(tmp_path: Path, transport: str) -> None:
    await _run(tmp_path, transport, 24, 2)


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("transport", ["socket", "http"])
async def test_redelivery_is_answered_once_long(tmp_path: Path, transport: str) -> None:
    await _run(tmp_path, transport, 300, 3)


async def test_twins_on_two_sockets_at_the_same_time_are_one_message(tmp_path: Path) -> None:
    """Slack hands every envelope to any socket: `message` and `app_mention` of one ts race each other."""
    async with slack_rig(tmp_path, sockets=4) as rig, rig.life():
        told = [rig.slack.people.mentions(f"C{number}", f"T{number}", user=f"U{number}") for number in range(1, 13)]
        await rig.slack.until(lambda: len(rig.slack.sockets.links) == 4)
        for one in told:
            await asyncio.gather(*(rig.slack.feed.again(event, 2) for event in one["event_ids"]))
        await rig.rest()
        sockets = {attempt.socket for one in rig.slack.feed.deliveries.values() for attempt in one.attempts}
        assert len(sockets) >= 2, "it has to come over several"
        assert await rig.stored() == dict.fromkeys((f"T{number}" for number in range(1, 13)), 1)
        assert said(rig.slack.messages()) == await rig.stored()
