"""F17 on WeCom: lines slow, cut, reset, a byte at a time, half-open. Everything arrives once, nothing grows."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.tcp_proxy import CLEAN, Behaviour, TcpProxy
from tests.fakes.wecom_api import FakeWeCom
from tests.faults import seeds
from tests.faults.processes import free_port
from tests.faults.wecom_rig import BOTH, QUICK, WeComRig, new_rig, once

pytestmark = pytest.mark.usefixtures("quick_repeats")

SPOILT: dict[str, Behaviour] = {
    "slow": Behaviour(latency=0.15),
    "cut half-way": Behaviour(cut_after=120),
    "reset half-way": Behaviour(cut_after=120, reset=True),
    "reset at once": Behaviour(reset=True),
    "refused": Behaviour(refuse=True),
    "a trickle": Behaviour(trickle=600.0),
    "half-open": Behaviour(half_open=True),
}
HASTY = replace(QUICK, connect=1.0, answer=1.0, call=3.0)
PEOPLE = 8
SPARE_FILES, SPARE_TASKS = 24, 12
"""Connections of a pool that is as warm as it gets, in the bot, the proxies and the fake: all of them live here."""


class Line:
    """A bot between two proxies: it calls WeCom through one, and is called through the other."""

    def __init__(self, rig: WeComRig, out: TcpProxy, door: TcpProxy) -> None:
        self.rig = rig
        self._proxies = (out, door)
        self.count = 0

    @property
    def spoiled(self) -> list[int]:
        return [proxy.spoiled for proxy in self._proxies]

    def write(self) -> None:
        """Everybody writes, half of them customers."""
        for _ in range(PEOPLE):
            self.count += 1
            self.rig.says(BOTH[self.count % 2], self.count % PEOPLE, f"T{self.count}")

    async def spoilt(self, behaviour: Behaviour, seconds: float) -> None:
        """People write into a line that is spoilt for so long; WeCom comes until it is heard."""
        for proxy in self._proxies:
            proxy.behave(behaviour)
            if behaviour.reset or behaviour.refuse or behaviour.cut_after is not None:
                proxy.drop_all(reset=behaviour.reset)
        self.write()
        await asyncio.sleep(seconds)
        for proxy in self._proxies:
            proxy.behave(CLEAN)
        await self.rig.rest(60)

    async def held(self) -> tuple[int, int]:
        """Open files and tasks, once it is quiet."""
        await self.rig.rest()
        await asyncio.sleep(0.3)
        gc.collect()
        return len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())

    def answered_once(self) -> bool:
        return self.rig.said() == once(*range(1, self.count + 1))


@asynccontextmanager
async def _line(folder: Path) -> AsyncIterator[Line]:
    port = free_port()
    async with FakeWeCom() as wecom, TcpProxy(int(wecom.api_url.rpartition(":")[2])) as out, TcpProxy(port) as door:
        rig = await new_rig(wecom, folder, timing=HASTY, api_url=out.url, port=port, door=door.url)
        wecom.feed.attempts, wecom.feed.pause, wecom.feed.ack_seconds = 1000, 0.3, 1.0
        wecom.tokens.per_minute = 1000
        async with rig.life():
            yield Line(rig, out, door)
        assert wecom.violations == []


async def _run(folder: Path, rounds: int, seconds: float) -> None:
    _, report = seeds.begin("F17 wecom")
    async with _line(folder) as line:
        line.write()
        files, tasks = await line.held()
        for _ in range(rounds):
            for name, behaviour in SPOILT.items():
                before = line.spoiled
                await line.spoilt(behaviour, seconds)
                assert all(now > then for now, then in zip(line.spoiled, before, strict=True)), name
                assert line.answered_once(), name
        line.write()
        more_files, more_tasks = await line.held()
        states = await line.rig.states()
        report.counts |= {"messages": line.count, "said": line.rig.said().total(), "spoilt": line.spoiled}
        report.counts |= {"files": f"{files}->{more_files}", "tasks": f"{tasks}->{more_tasks}"}
        report.print()
        assert line.answered_once()
        assert set(states) == {"sent"}
        assert all(channel.health().up for channel in line.rig.channels.values())
        assert more_files <= files + SPARE_FILES
        assert more_tasks <= tasks + SPARE_TASKS


async def test_a_spoilt_line_costs_nobody_an_answer(tmp_path: Path) -> None:
    await _run(tmp_path, rounds=1, seconds=0.3)


@pytest.mark.faults
@pytest.mark.timeout(900)
async def test_lines_that_are_spoilt_again_and_again(tmp_path: Path) -> None:
    """Longer than calls are waited for, and more often: nothing grows with it."""
    await _run(tmp_path, rounds=6, seconds=3.0)
