"""F20 and P7 on WeCom: its calls never come, it does not answer, receivers die. Made up for, noticed, said once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bot.ports import Channel
from tests.fakes.wecom_api import Fault
from tests.faults.wecom_rig import BOTH, QUICK, WeComRig, once, until, wecom_rig

pytestmark = pytest.mark.usefixtures("quick_repeats")

SHORT = replace(QUICK, answer=0.5, look=0.4)
LIMIT = 3.0
"""In which a channel has to say that it is cut off: some times `upkeep` and `answer`, for other tests run too."""


class Lines:
    """What the log says of the channels."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def since(self) -> dict[str, int]:
        """How often one went down and up since the last look."""
        words = self._capture.readouterr().out
        return {name: words.count(f"event='wecom.{name}'") for name in ("down", "up")}


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    return Lines(capsys)


async def test_calls_that_never_come_are_made_up_for(tmp_path: Path) -> None:
    """WeCom calls three times and then no more, perhaps while we were away: what it holds is looked for."""
    async with wecom_rig(tmp_path, ways=("kf",), timing=SHORT, called=False) as rig:
        for number in (1, 2, 3):
            rig.says("kf", number, f"T{number}")
        async with rig.life():
            await rig.rest(5)
            assert rig.said() == once(1, 2, 3), "what was said while we were away"
            for number in (4, 5):
                started = time.monotonic()
                rig.says("kf", number, f"T{number}")
                await rig.rest(5)
                print(f"answered after {time.monotonic() - started:.2f} s without a call")
        assert rig.said() == once(*range(1, 6))
        assert not any(call.params.get("token") for call in rig.wecom.calls("kf/sync_msg"))


async def test_a_call_with_an_old_token_or_none_is_of_use_all_the_same(tmp_path: Path) -> None:
    async with wecom_rig(tmp_path, ways=("kf",)) as rig, rig.life():
        await rig.wecom.until(lambda: rig.wecom.calls("kf/sync_msg", applied=True))
        rig.says("kf", 1, "T1", quiet=True)
        rig.wecom.customers.tells(token=False)
        await rig.rest(5)
        rig.says("kf", 2, "T2", quiet=True)
        rig.wecom.kf_api.tokens.clear()
        rig.wecom.faults.add(Fault(kind="error", errcode=95007, method="kf/sync_msg", contains="'token'", times=1))
        rig.wecom.customers.tells()
        await rig.rest(5)
        assert rig.said() == once(1, 2)


async def _goes_down_and_up(rig: WeComRig, lines: Lines, mend: float) -> float:
    """The seconds until every channel says that it is cut off; then WeCom answers again, and all is well."""
    started = time.monotonic()
    await until(lambda: not any(channel.health().up for channel in rig.channels.values()), LIMIT)
    noticed = time.monotonic() - started
    assert all(channel.health().detail for channel in rig.channels.values())
    await asyncio.sleep(mend)
    rig.wecom.faults.clear()
    await until(lambda: all(channel.health().up for channel in rig.channels.values()), LIMIT)
    assert lines.since() == {"down": 2, "up": 2}
    return noticed


async def test_silence_of_wecom_is_noticed_said_once_and_over_by_itself(tmp_path: Path, lines: Lines) -> None:
    async with wecom_rig(tmp_path, timing=SHORT) as rig, rig.life():
        await rig.wecom.until(lambda: rig.wecom.calls("agent/get", applied=True))
        lines.since()
        rig.wecom.faults.add(Fault(kind="hang", method="*"))
        rig.says("kf", 1, "T1")
        print(f"noticed after {await _goes_down_and_up(rig, lines, mend=0.7):.2f} s")
        rig.says("app", 2, "T2")  # into silence it would be sent twice, and then be the operators'
        await rig.rest()
        assert rig.said() == once(1, 2)
        assert lines.since() == {"down": 0, "up": 0}, "what still hung in the silence tells nothing new"


async def test_an_outage_of_many_faces_is_one_line(tmp_path: Path, lines: Lines) -> None:
    async with wecom_rig(tmp_path, timing=SHORT) as rig, rig.life():
        await rig.wecom.until(lambda: rig.wecom.calls("agent/get", applied=True))
        lines.since()
        for kind in ("html", "close", "shape", "empty"):
            rig.wecom.faults.add(Fault(kind=kind, method="*", every=3))
        rig.wecom.faults.add(Fault(kind="reset", method="*"))
        await _goes_down_and_up(rig, lines, mend=1.0)
        for number, way in enumerate(BOTH, start=1):
            rig.says(way, number, f"T{number}")
        await rig.rest()
        assert rig.said() == once(1, 2)


def _tasks(name: str) -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if name in repr(task.get_coro())]


async def _run_again(rig: WeComRig, channel: Channel) -> asyncio.Task[None]:
    """As `bot.app` does it for every channel whose run has ended."""
    return asyncio.create_task(channel.run(rig.house.inbox))


@pytest.mark.parametrize(
    ("way", "killed"),
    [
        ("app", "AppChannel._look_after"),
        ("app", "Presses.run"),
        ("kf", "Accounts.run"),
        ("kf", "Accounts._look_after"),
        ("kf", "Errands.run"),
    ],
)
async def test_a_part_that_is_killed_ends_the_run_and_works_again(tmp_path: Path, way: str, killed: str) -> None:
    """A task that was cancelled is no error to its group: the channel would go on without it and not know."""
    async with wecom_rig(tmp_path, ways=(way,), timing=SHORT) as rig, rig.life():
        channel = rig.channels[way]
        [run], [task] = _tasks(f"{type(channel).__name__}.run"), _tasks(killed)
        task.cancel()
        await until(run.done, LIMIT)
        assert not run.cancelled()
        assert run.exception() is not None
        again = await _run_again(rig, channel)
        try:
            await rig.wecom.until(lambda: rig.wecom.calls("agent/get", "kf/account/list", applied=True))
            rig.says(way, 1, "T1")
            await rig.rest()
            await until(lambda: channel.health().up, LIMIT)
            assert rig.said() == once(1)
        finally:
            again.cancel()
            await asyncio.gather(again, return_exceptions=True)


async def test_a_reader_that_is_killed_is_replaced(tmp_path: Path) -> None:
    """An account without a reader would be deaf, and nothing would tell: WeCom answers everything else."""
    async with wecom_rig(tmp_path, ways=("kf",)) as rig, rig.life():
        rig.says("kf", 1, "T1")
        await rig.rest()
        [reader] = _tasks("Puller.run")
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        rig.says("kf", 2, "T2")
        await rig.rest(5)
        assert rig.said() == once(1, 2)


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_silences_one_after_the_other(tmp_path: Path, lines: Lines) -> None:
    async with wecom_rig(tmp_path, timing=SHORT) as rig, rig.life():
        worst = 0.0
        for number in range(1, 21):
            lines.since()
            rig.wecom.faults.add(Fault(kind=("hang", "html", "close", "reset")[number % 4], method="*"))
            rig.says("kf", number, f"T{number}")
            worst = max(worst, await _goes_down_and_up(rig, lines, mend=0.3))
            rig.says("app", number, f"T{100 + number}")
            await rig.rest()
        print(f"\nF20 wecom silences=20 worst={worst:.2f}s")
        assert rig.said() == once(*range(1, 21), *range(101, 121))
