"""F20 on Slack: sockets that are open and silent, receivers that have died. Noticed in time, said once, mended."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.slack_api import Fault
from tests.faults.slack_rig import QUICK, SlackRig, said, slack_rig, until

SHORT = replace(QUICK, ping=0.2, silent=0.6, hello=0.6)
LIMIT = 3.0
"""In which a channel that is deaf has to say so: some times `silent`, as other tests may want the processor too."""


class Lines:
    """What the log says of the channel."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def since(self) -> dict[str, int]:
        """How often it went down and up since the last look."""
        words = self._capture.readouterr().out
        return {name: words.count(f"event='slack.{name}'") for name in ("down", "up")}


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    return Lines(capsys)


async def _down_and_up(rig: SlackRig, lines: Lines, mend: float = 1.0) -> float:
    """The seconds until the channel says that it is deaf; then Slack speaks again, and so does the channel."""
    started = time.monotonic()
    await until(lambda: not rig.channel.health().up, LIMIT)
    noticed = time.monotonic() - started
    assert rig.channel.health().detail
    await asyncio.sleep(mend)
    rig.slack.sockets.mute = False
    rig.slack.faults.clear()
    await until(lambda: rig.channel.health().up, LIMIT)
    assert lines.since() == {"down": 1, "up": 1}
    rig.slack.people.says("D7", "T7", user="U7")
    await rig.rest()
    assert said(rig.slack.messages())["T7"] == 1
    return noticed


async def test_sockets_that_fall_silent_are_noticed_and_replaced(tmp_path: Path, lines: Lines) -> None:
    async with slack_rig(tmp_path, timing=SHORT) as rig, rig.life():
        await rig.slack.until(lambda: len(rig.slack.sockets.links) == 2)
        lines.since()
        rig.slack.sockets.mute = True  # new ones do not so much as greet
        rig.slack.sockets.silence()
        told = rig.slack.people.says("D1", "T1", user="U1")  # into silence: Slack sends it again
        print(f"noticed after {await _down_and_up(rig, lines):.2f} s")
        assert said(rig.slack.messages("D1", told["thread"])) == {"T1": 1}


async def test_one_silent_socket_of_two_costs_nobody_an_answer(tmp_path: Path, lines: Lines) -> None:
    async with slack_rig(tmp_path, timing=SHORT) as rig, rig.life():
        await rig.slack.until(lambda: len(rig.slack.sockets.links) == 2)
        lines.since()
        rig.slack.sockets.silence(min(rig.slack.sockets.links))
        rig.slack.feed.ack_seconds = 0.5
        for number in range(1, 5):
            rig.slack.people.says(f"D{number}", f"T{number}", user=f"U{number}")
        await rig.rest()
        await rig.slack.until(lambda: rig.slack.sockets.opened >= 3, timeout=LIMIT)
        assert said(rig.slack.messages()) == {f"T{number}": 1 for number in range(1, 5)}
        assert lines.since() == {"down": 0, "up": 0}
        assert rig.channel.health().up


async def test_connections_that_are_refused_are_one_line_and_come_back(tmp_path: Path, lines: Lines) -> None:
    async with slack_rig(tmp_path, timing=SHORT) as rig, rig.life():
        await rig.slack.until(lambda: len(rig.slack.sockets.links) == 2)
        lines.since()
        for kind in ("html", "close", "shape"):  # an outage has many faces
            rig.slack.faults.add(Fault(kind=kind, method="apps.connections.open", every=2))
        rig.slack.faults.add(Fault(kind="error", method="apps.connections.open", error="internal_error"))
        rig.slack.sockets.kill()
        await _down_and_up(rig, lines)


async def test_a_receiver_that_is_killed_ends_the_run_and_is_heard_again(tmp_path: Path) -> None:
    """A task that was cancelled is no error to its group: the channel would be deaf and not know."""
    async with slack_rig(tmp_path, timing=SHORT) as rig, rig.life() as house:
        receivers = [task for task in asyncio.all_tasks() if "Sockets.run" in repr(task.get_coro())]
        assert len(receivers) == 1
        receivers[0].cancel()
        await until(lambda: not rig.channel.health().up, LIMIT)
        again = asyncio.create_task(rig.channel.run(house.inbox))  # as `bot.app` does it for every channel
        try:
            await until(lambda: rig.channel.health().up, LIMIT)
            rig.slack.people.says("D1", "T1", user="U1")
            await rig.rest()
            assert said(rig.slack.messages()) == {"T1": 1}
        finally:
            again.cancel()
            await asyncio.gather(again, return_exceptions=True)


async def test_the_webhook_asks_whether_slack_still_knows_us(tmp_path: Path, lines: Lines) -> None:
    """Over HTTP silence says nothing; the token is tried now and then."""
    async with slack_rig(tmp_path, transport="http", timing=SHORT) as rig, rig.life():
        await until(lambda: bool(rig.slack.calls("auth.test")))
        lines.since()
        rig.slack.faults.add(Fault(kind="close", method="auth.test"))
        await _down_and_up(rig, lines, mend=0.7)


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_silences_one_after_the_other(tmp_path: Path, lines: Lines) -> None:
    async with slack_rig(tmp_path, timing=SHORT) as rig, rig.life():
        worst = 0.0
        for number in range(20):
            await rig.slack.until(lambda: len(rig.slack.sockets.links) == 2, timeout=10)
            lines.since()
            rig.slack.people.says(f"D{number + 10}", f"T{number + 10}", user="U1")
            await rig.rest()
            rig.slack.sockets.mute = True
            if number % 2:
                rig.slack.sockets.silence()
            else:
                rig.slack.sockets.kill()
            started = time.monotonic()
            await until(lambda: not rig.channel.health().up, LIMIT)
            worst = max(worst, time.monotonic() - started)
            rig.slack.sockets.mute = False
            await until(lambda: rig.channel.health().up, LIMIT)
            assert lines.since() == {"down": 1, "up": 1}
        print(f"\nF20 slack silences=20 worst={worst:.2f}s")
        assert said(rig.slack.messages()).total() == 20
