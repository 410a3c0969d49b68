"""F3 on WeCom's AI bot: it takes a frame and does not say so, or says it late, or says no to what it has taken."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.history import outbox
from tests.fakes.wecom_aibot import Fault
from tests.fakes.wecom_api import Fault as CallFault
from tests.faults import seeds
from tests.faults.wecom_bot_rig import CALLBACK, WEBSOCKET, BotRig, bot_rig, faster
from tests.faults.wecom_rig import once

pytestmark = pytest.mark.usefixtures("quick_repeats")

RESPOND, SEND = "aibot_respond_msg", "aibot_send_msg"
LOST = [
    Fault(kind="no_ack", apply=True),
    Fault(kind="no_ack"),
    Fault(kind="slow", seconds=1.2),
    Fault(kind="garbage", apply=True),
    Fault(kind="garbage"),
    Fault(kind="twice"),
    Fault(kind="error", apply=True, errcode=846605),
    Fault(kind="error", apply=True, errcode=846608),
    Fault(kind="error", apply=True, errcode=-1),
    Fault(kind="error", errcode=-1),
]
"""Ways to lose an acknowledgement, or to be told something else than what happened. The slow one comes after we have
given it up (1 s)."""
TOLD_NO_THOUGH_TAKEN = {7, 8}
"""846605 or 846608 to the first end that we send, though it was taken. Nothing tells it from an answer that WeCom has
ended before its time: a second copy, in a message of its own, is better than none."""


def _lose(rig: BotRig, method: str, words: str, contains: str = "") -> list[Fault]:
    """One colleague for each way; the first such frame for them goes that way."""
    faults = []
    for number, way in enumerate(LOST, start=1):
        about = {name: getattr(way, name) for name in ("kind", "apply", "errcode", "seconds")}
        chosen = f"T{number} " if contains else f"user{number}>"
        faults.append(rig.wecom.faults.add(Fault(method=method, contains=chosen, times=1, **about)))
        rig.says(number, words.format(n=number), chat=f"wrGroup{number}")
    return faults


async def test_an_end_whose_acknowledgement_is_lost_stands_there_once(tmp_path: Path) -> None:
    async with bot_rig(tmp_path, WEBSOCKET) as rig:
        async with rig.life():
            faults = _lose(rig, RESPOND, "T{n} ", contains="完")
            await rig.rest()
            await asyncio.sleep(0.5)
        assert [fault.fired for fault in faults] == [1] * len(LOST)
        found = rig.said()
        copies = {number: found[f"T{number}"] for number in range(1, len(LOST) + 1)}
        assert copies == {number: 1 + (number in TOLD_NO_THOUGH_TAKEN) for number in copies}
        assert await rig.states() == {"sent": len(LOST)}


async def test_a_state_whose_acknowledgement_is_lost_costs_no_word(tmp_path: Path) -> None:
    """The first frame of each answer, which opens its stream; the answer stands in the same one."""
    async with bot_rig(tmp_path, WEBSOCKET) as rig:
        async with rig.life():
            faults = _lose(rig, RESPOND, "slow 1.5 T{n} ")
            await rig.rest()
        assert [fault.fired for fault in faults] == [1] * len(LOST)
        assert rig.said() == once(*range(1, len(LOST) + 1))
        assert await rig.states() == {"sent": len(LOST)}
        assert len([post for post in rig.wecom.posts() if "完" in post.text]) == len(LOST)


async def test_a_message_of_its_own_without_an_acknowledgement_is_repeated_once_and_then_the_operators(
    tmp_path: Path,
) -> None:
    """Nothing tells whether it has arrived. Each has lost its stream before, with its connection."""
    async with bot_rig(tmp_path, WEBSOCKET) as rig:
        once_lost = rig.wecom.faults.add(Fault(kind="no_ack", method=SEND, contains="T1 ", apply=True, times=1))
        lost = rig.wecom.faults.add(Fault(kind="no_ack", method=SEND, contains="T2 ", apply=True))
        late = rig.wecom.faults.add(Fault(kind="slow", method=SEND, contains="T3 ", seconds=0.7, times=1))
        async with rig.life() as house:
            for number in (1, 2, 3):
                rig.says(number, f"slow 1 T{number} ")
            await rig.wecom.until(lambda: len(rig.wecom.posts()) == 3)
            rig.wecom.links.kill()
            await rig.rest(growing=False)
            stuck = await house.database.read(lambda connection: outbox.stuck(connection, 100))
        assert (once_lost.fired, lost.fired, late.fired) == (1, 2, 1)
        assert rig.said() == {"T1": 2, "T2": 2, "T3": 1}
        assert [one.text for one in stuck] == ["T2 完"]


@pytest.mark.parametrize("kind", ["close", "cut", "empty", "truncated", "html"])
async def test_a_response_whose_answer_is_lost_is_said_once(tmp_path: Path, kind: str) -> None:
    """Over callbacks an answer that comes too late is posted; a code is taken once, so a repetition tells the truth."""
    timing = faster(stream_ends=0.5)
    async with bot_rig(tmp_path, CALLBACK, timing=timing) as rig:
        rig.excused = {"response_url"}  # a code is tried a second time, to learn what became of the first
        faults = [
            rig.caller.faults.add(CallFault(kind=kind, method="aibot/response", apply=apply, times=1))
            for apply in (True, False)
        ]
        async with rig.life():
            for number in (1, 2, 3):
                rig.says(number, f"slow 1.2 T{number}")
            await rig.rest()
        assert [fault.fired for fault in faults] == [1, 1]
        assert rig.said() == once(1, 2, 3)
        assert await rig.states() == {"sent": 3}


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_a_storm_of_lost_acknowledgements(tmp_path: Path) -> None:
    """Every eleventh frame loses its acknowledgement: 200 answers stand there, and none is missing."""
    chance, report = seeds.begin("F3 wecom_bot storm")
    async with bot_rig(tmp_path, WEBSOCKET) as rig:
        for number, kind in enumerate(("no_ack", "no_ack", "slow", "garbage")):
            apply = number % 2 == 0
            rig.wecom.faults.add(Fault(kind=kind, method="aibot_*", every=31 + number, apply=apply, seconds=1.2))
        async with rig.life():
            for number in range(1, 201):
                slow = f"slow {chance.choice([0.5, 2.5])} " if number % 2 else ""
                rig.says(number, f"{slow}T{number}")
                await asyncio.sleep(0.05)
            await rig.rest(120)
        found = rig.said()
        fired = sum(fault.fired for fault in rig.wecom.faults.program)
        report.counts |= {"faults": fired, "said": found.total(), "states": dict(await rig.states())}
        report.print()
        assert fired >= 10
        assert found == once(*range(1, 201))
