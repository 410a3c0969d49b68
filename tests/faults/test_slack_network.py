"""F17 on Slack: lines slow, cut, reset, a byte at a time, half-open. Everything arrives once, nothing grows."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.slack_api import FakeSlack
from tests.fakes.tcp_proxy import CLEAN, Behaviour, TcpProxy
from tests.faults import seeds
from tests.faults.slack_rig import QUICK, SlackRig, Storyteller, new_rig, said, story

pytestmark = pytest.mark.usefixtures("quick_repeats")

SPOILT: dict[str, Behaviour] = {
    "slow": Behaviour(latency=0.15),
    "cut half-way": Behaviour(cut_after=700),
    "reset half-way": Behaviour(cut_after=700, reset=True),
    "reset at once": Behaviour(reset=True),
    "refused": Behaviour(refuse=True),
    "a trickle": Behaviour(trickle=900.0),
    "half-open": Behaviour(half_open=True),
}
HASTY = replace(QUICK, connect=1.0, answer=1.0, ping=0.3, silent=1.2, hello=1.0)
PEOPLE = 6
SPARE_FILES, SPARE_TASKS = 24, 12
"""Connections of a pool that is as warm as it gets, in the bot, the proxy and the fake: all of them live here."""


class Line:
    """A bot behind a proxy, and what it holds."""

    def __init__(self, rig: SlackRig, proxy: TcpProxy) -> None:
        self.rig = rig
        self.proxy = proxy
        self._count = 0

    def write(self) -> None:
        """Everybody writes; every other one is told a story that grows."""
        for _ in range(PEOPLE):
            self._count += 1
            token = f"T{self._count}"
            self.rig.dialogue.stories[token] = story(token, paragraphs=3)
            words = f"tell {token}" if self._count % 2 else token
            self.rig.slack.people.says(f"D{self._count % PEOPLE}", words, user=f"U{self._count % PEOPLE}")

    async def spoilt(self, behaviour: Behaviour, seconds: float) -> None:
        """People write into a line that is spoilt for so long."""
        self.proxy.behave(behaviour)
        if behaviour.reset or behaviour.refuse or behaviour.cut_after is not None:
            self.proxy.drop_all(reset=behaviour.reset)
        self.write()
        await asyncio.sleep(seconds)
        self.proxy.behave(CLEAN)
        await self.rig.rest(60)

    async def held(self) -> tuple[int, int]:
        """Open files and tasks, once it is quiet."""
        await self.rig.rest()
        await asyncio.sleep(0.3)
        gc.collect()
        return len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())

    def answered_once(self) -> bool:
        return said(self.rig.slack.messages()) == dict.fromkeys((f"T{one}" for one in range(1, self._count + 1)), 1)


@asynccontextmanager
async def _line(folder: Path, transport: str) -> AsyncIterator[Line]:
    async with FakeSlack() as slack, TcpProxy(int(slack.url.rpartition(":")[2])) as proxy:
        slack.sockets.url = f"ws://127.0.0.1:{proxy.port}"
        dialogue = Storyteller(seconds=0.4)
        rig = await new_rig(
            slack, folder, transport=transport, timing=HASTY, api_url=f"{proxy.url}/api/", dialogue=dialogue
        )
        slack.feed.schedule = (0.05, 0.5, 1.0, *[2.0] * 10)
        async with rig.life():
            yield Line(rig, proxy)


async def _run(folder: Path, transport: str, rounds: int, seconds: float) -> None:
    _, report = seeds.begin(f"F17 slack {transport}")
    async with _line(folder, transport) as line:
        line.write()
        files, tasks = await line.held()
        for _ in range(rounds):
            for name, behaviour in SPOILT.items():
                before = line.proxy.spoiled
                await line.spoilt(behaviour, seconds)
                assert line.proxy.spoiled > before, name
                assert line.answered_once(), name
        line.write()
        more_files, more_tasks = await line.held()
        found, states = said(line.rig.slack.messages()), await line.rig.states()
        report.counts |= {"messages": line._count, "said": found.total(), "spoilt": line.proxy.spoiled}
        report.counts |= {"files": f"{files}->{more_files}", "tasks": f"{tasks}->{more_tasks}"}
        report.print()
        assert line.answered_once()
        assert set(states) == {"sent"}
        assert line.rig.channel.health().up
        assert more_files <= files + SPARE_FILES
        assert more_tasks <= tasks + SPARE_TASKS


async def test_a_spoilt_line_costs_nobody_an_answer(tmp_path: Path) -> None:
    """Over sockets both ways lead through it; over HTTP only what the bot asks, in the long form."""
    await _run(tmp_path, "socket", rounds=1, seconds=0.3)


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("transport", ["socket", "http"])
async def test_lines_that_are_spoilt_again_and_again(tmp_path: Path, transport: str) -> None:
    """Longer than sockets and calls are waited for, and more often: nothing grows with it."""
    await _run(tmp_path, transport, rounds=6, seconds=5.0)
