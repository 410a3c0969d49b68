"""F17 on WeCom's AI bot: lines slow, cut, reset, a byte at a time, half-open. Everything arrives, nothing grows."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes.tcp_proxy import CLEAN, Behaviour, TcpProxy
from tests.faults import seeds
from tests.faults.processes import free_port
from tests.faults.slack_rig import until
from tests.faults.wecom_bot_rig import CALLBACK, WEBSOCKET, BotRig, bot_rig, faster
from tests.faults.wecom_rig import once

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
HASTY = faster(ping=0.3, silent=1.0, connect=0.5, ack=0.5)
PEOPLE = 6
SPARE_FILES, SPARE_TASKS = 24, 12
"""Connections of a pool that is as warm as it gets, in the bot, the proxy and the fake: all of them live here."""


class Line:
    """A bot behind a proxy, and what it holds."""

    def __init__(self, rig: BotRig, proxy: TcpProxy) -> None:
        self.rig = rig
        self.proxy = proxy
        self.written = 0

    def write(self) -> None:
        """Everybody writes; some answers take a while."""
        for number in range(PEOPLE):
            self.written += 1
            slow = f"slow {0.3 * (1 + number % 3)} " if number % 2 else ""
            self.rig.says(self.written, f"{slow}T{self.written}")

    async def spoilt(self, behaviour: Behaviour, seconds: float) -> None:
        """People write into a line that is spoilt for so long. Over the long connection they write a moment before:
        what WeCom says into a line that is dead it does not say again, and nobody could answer it."""
        if self.rig.aibot is not None:
            self.write()
            while await self.rig.unread():
                await asyncio.sleep(0.02)
        self.proxy.behave(behaviour)
        if behaviour.reset or behaviour.refuse or behaviour.cut_after is not None:
            self.proxy.drop_all(reset=behaviour.reset)
        if self.rig.aibot is None:
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

    def check(self, name: str) -> None:
        """Everybody has an answer. Where an acknowledgement was lost with its connection it may stand there twice."""
        found = self.rig.said()
        copies = 2 if self.rig.aibot is not None else 1
        assert set(found) == set(once(*range(1, self.written + 1))), name
        assert max(found.values()) <= copies, (name, found)


@asynccontextmanager
async def _line(folder: Path, transport: str) -> AsyncIterator[Line]:
    async with bot_rig(folder, transport, timing=HASTY) as rig:
        port = int(rig.wecom.ws_url.rpartition(":")[2]) if transport == WEBSOCKET else free_port()
        async with TcpProxy(port) as proxy:
            if transport == WEBSOCKET:
                rig.ws_url = f"ws://127.0.0.1:{proxy.port}"
                rig.wecom.rates.subscribes = (60.0, 1000)
            else:
                rig.port, rig.door = port, proxy.url
                rig.caller.feed.attempts, rig.caller.feed.pause = 1000, 0.2
                rig.caller.feed.ack_seconds = 1.0
            async with rig.life():
                yield Line(rig, proxy)


async def _run(folder: Path, transport: str, rounds: int, seconds: float) -> None:
    _, report = seeds.begin(f"F17 wecom_bot {transport}")
    async with _line(folder, transport) as line:
        line.write()
        files, tasks = await line.held()
        for _ in range(rounds):
            for name, behaviour in SPOILT.items():
                before = line.proxy.spoiled
                await line.spoilt(behaviour, seconds)
                assert line.proxy.spoiled > before, name
                line.check(name)
                await until(line.rig.is_heard)
        line.write()
        more_files, more_tasks = await line.held()
        found, states = line.rig.said(), await line.rig.states()
        report.counts |= {"messages": line.written, "said": found.total(), "spoilt": line.proxy.spoiled}
        report.counts |= {"files": f"{files}->{more_files}", "tasks": f"{tasks}->{more_tasks}"}
        report.print()
        line.check("the end")
        assert set(states) == {"sent"}
        assert line.rig.is_heard()
        assert more_files <= files + SPARE_FILES
        assert more_tasks <= tasks + SPARE_TASKS


@pytest.mark.parametrize("transport", [WEBSOCKET, CALLBACK])
async def test_a_spoilt_line_costs_nobody_an_answer(tmp_path: Path, transport: str) -> None:
    await _run(tmp_path, transport, rounds=1, seconds=0.4)


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("transport", [WEBSOCKET, CALLBACK])
async def test_lines_that_are_spoilt_again_and_again(tmp_path: Path, transport: str) -> None:
    """Longer than connections and frames are waited for, and more often: nothing grows with it."""
    await _run(tmp_path, transport, rounds=3, seconds=3.0)
