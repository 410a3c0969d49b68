"""F3 on WeCom: it takes a message and does not say so. It stands there once, or an operator is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bot.history import outbox
from tests.fakes.wecom_api import Fault
from tests.faults import seeds
from tests.faults.wecom_rig import BOTH, QUICK, SEND, WeComRig, once, person, wecom_rig

pytestmark = pytest.mark.usefixtures("quick_repeats")

LOST: Sequence[tuple[str, int]] = (
    ("close", 0), ("reset", 0), ("cut", 0), ("truncated", 0), ("empty", 0), ("shape", 0), ("html", 500), ("html", 502),
    ("hang", 0), ("error", 0),
)  # fmt: skip
"""Ways to lose an answer. The page and the error (-1) say it went wrong, although it was taken."""
HASTY = replace(QUICK, answer=0.6)
NUMBERS = range(1, len(LOST) + 1)


def _lose(rig: WeComRig, way: str, *, times: int = 1, apply: bool = True) -> list[Fault]:
    """One message of a person of their own for each way to lose an answer; it is lost there so often."""
    faults = []
    for number, (kind, code) in enumerate(LOST, start=1):
        faults.append(_fault(rig, way, number, kind=kind, code=code or 500, times=times, apply=apply))
        rig.says(way, number, f"T{number}")
    return faults


def _fault(rig: WeComRig, way: str, number: int, **about: object) -> Fault:
    """Of what is sent to this person."""
    to = f"'touser': '{person(way, number)}'"
    return rig.wecom.faults.add(Fault(method=SEND[way], contains=to, **about))  # type: ignore[arg-type]


@pytest.mark.parametrize("apply", [True, False], ids=["taken", "not taken"])
@pytest.mark.parametrize("way", BOTH)
async def test_a_message_whose_answer_is_lost_stands_there_once(tmp_path: Path, way: str, apply: bool) -> None:
    _, report = seeds.begin(f"F3 wecom {way}")
    async with wecom_rig(tmp_path, ways=(way,), timing=HASTY) as rig:
        async with rig.life():
            faults = _lose(rig, way, apply=apply)
            await rig.rest(60)
        again = len(rig.wecom.app_api.swallowed) + len(rig.wecom.kf_api.repeated)
        report.counts |= {"faults": sum(fault.fired for fault in faults), "kept from readers": again}
        report.print()
        assert [fault.fired for fault in faults] == [1] * len(LOST)
        assert rig.said() == once(*NUMBERS)
        assert await rig.states() == {"sent": len(LOST)}
        assert again == (len(LOST) if apply else 0), "it was sent again, under the same name"


async def test_the_same_answer_to_the_same_question_is_not_kept_from_the_reader(tmp_path: Path) -> None:
    """The app's duplicate check compares words, so it is not asked for; then one copy too many is the worst."""
    async with wecom_rig(tmp_path, ways=("app",), timing=HASTY) as rig, rig.life():
        rig.says("app", 1, "T1")
        await rig.rest()
        fault = _fault(rig, "app", 1, kind="reset", times=1, apply=True)
        rig.says("app", 1, "T1")
        await rig.rest()
        assert fault.fired == 1
        assert rig.said() in ({"T1": 2}, {"T1": 3})
        assert not rig.wecom.app_api.swallowed
        assert await rig.states() == {"sent": 2}


async def test_where_no_answer_ever_comes_operators_are_told_of_the_apps_and_customers_are_sent_on(
    tmp_path: Path,
) -> None:
    """The app's message is repeated once; a customer's, which has a name, until WeCom says something."""
    async with wecom_rig(tmp_path) as rig:
        async with rig.life() as house:
            for way, number in (("app", 1), ("kf", 2)):
                _fault(rig, way, number, kind="reset", times=5, apply=True)
                rig.says(way, number, f"T{number}")
            await rig.rest()
            stuck = await house.database.read(lambda connection: outbox.stuck(connection, 100))
        assert [(one.state, one.text) for one in stuck] == [("unknown", "T1 完")]
        assert rig.said() == once(1, 2)
        assert [len(rig.wecom.calls(SEND[way])) for way in BOTH] == [2, 6]


async def test_a_notice_in_a_group_has_one_copy_too_many_at_most(tmp_path: Path) -> None:
    """The robot knows no names: what was taken twice without a word is the operators' to look for."""
    async with wecom_rig(tmp_path, ways=("webhook",), timing=HASTY, rate_limits=True) as rig, rig.life() as house:
        lost = [
            rig.wecom.faults.add(Fault(kind=kind, code=code or 500, method=SEND["webhook"], times=1, apply=True))
            for kind, code in (("reset", 0), ("html", 502), ("shape", 0))
        ]
        await rig.tells_operators(4)
        await rig.rest()
        stuck = await house.database.read(lambda connection: outbox.stuck(connection, 100))
        assert [fault.fired for fault in lost] == [1, 1, 1]
        assert [one.state for one in stuck] == ["unknown"]
        assert rig.said() == {"T1": 2, "T2": 2, "T3": 1, "T4": 1}


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_a_storm_of_lost_answers(tmp_path: Path) -> None:
    """Every so many calls of any kind lose their answer, after or before they were taken."""
    chance, report = seeds.begin("F3 wecom storm")
    people = 200
    async with wecom_rig(tmp_path, timing=HASTY) as rig:
        rig.wecom.tokens.per_minute = 10_000
        for number, (kind, code) in enumerate(LOST):
            method = chance.choice([*SEND.values(), "*"])
            rig.wecom.faults.add(
                Fault(kind=kind, method=method, code=code or 500, every=31 + number, apply=number % 2 == 0, seconds=2)
            )
        async with rig.life(seconds=30):
            for number in range(1, people + 1):
                rig.says(BOTH[number % 2], number, f"T{number}")
            await rig.rest(300)
            states = await rig.states()
        fired = sum(fault.fired for fault in rig.wecom.faults.program)
        found = rig.said()
        report.counts |= {"faults": fired, "messages": people, "said": found.total(), "states": dict(states)}
        report.print()
        assert found == once(*range(1, people + 1))
        assert states["sent"] + states["unknown"] == people
