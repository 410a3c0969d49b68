"""F20 on WeCom's AI bot: a connection that is open and silent, a receiver that has died, a place that was taken.

Noticed in time, said once, mended; and where somebody else has taken our place, not fought for.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.faults.slack_rig import until
from tests.faults.wecom_bot_rig import QUICK, WEBSOCKET, BotRig, Lines, bot_rig, faster
from tests.faults.wecom_rig import once

pytestmark = pytest.mark.usefixtures("quick_repeats")

SHORT = faster(ping=0.2, silent=0.6, connect=0.4, ack=0.4)
LIMIT = 3.0
"""In which a channel that is deaf has to say so: some times `silent`, as other tests may want the processor too."""


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    return Lines(capsys)


async def _down_and_up(rig: BotRig, lines: Lines, mend: float = 0.8) -> float:
    """The seconds until the channel says that it is deaf; then WeCom speaks again, and so does the channel."""
    started = time.monotonic()
    await until(lambda: not rig.channel.health().up, LIMIT)
    noticed = time.monotonic() - started
    assert rig.channel.health().detail
    await asyncio.sleep(mend)
    rig.wecom.links.mute = rig.wecom.links.refusing = False
    rig.wecom.faults.clear()
    await until(rig.is_heard, LIMIT)
    assert lines.since() == (1, 1)
    rig.says(7, "T7")
    await rig.rest()
    assert rig.said()["T7"] == 1
    return noticed


async def test_a_connection_that_falls_silent_is_noticed_and_replaced(tmp_path: Path, lines: Lines) -> None:
    """In the middle of an answer, which arrives all the same."""
    async with bot_rig(tmp_path, WEBSOCKET, timing=SHORT) as rig, rig.life():
        rig.says(1, "slow 1.5 T1")
        await rig.wecom.until(lambda: rig.wecom.posts())
        lines.since()
        rig.wecom.links.mute = True  # new ones do not so much as answer a subscription
        rig.wecom.links.silence()
        print(f"noticed after {await _down_and_up(rig, lines):.2f} s")
        await rig.rest()
        assert rig.said() == once(1, 7)


@pytest.mark.parametrize("way", ["refused", "closed", "no answer", "lost"])
async def test_an_outage_is_one_line_and_its_end_another(tmp_path: Path, lines: Lines, way: str) -> None:
    async with bot_rig(tmp_path, WEBSOCKET, timing=SHORT) as rig, rig.life():
        links = rig.wecom.links
        lines.since()
        links.refusing, links.mute = way == "refused", way == "no answer"
        if way == "lost":
            links.refusing = True
            links.kill()
        else:
            links.close()
        await _down_and_up(rig, lines, mend=0.5)


async def test_a_receiver_that_is_killed_ends_the_run_and_is_heard_again(tmp_path: Path) -> None:
    """A task that was cancelled is no error to its group: the channel would be deaf and not know. Each part of it."""
    async with bot_rig(tmp_path, WEBSOCKET, timing=SHORT) as rig, rig.life() as house:
        for number, part in enumerate(("Sockets.run", "Sockets._hear", "Hearing.run", "Keeper.run", "Lease.run"), 1):
            opened = rig.wecom.links.subscribed
            found = [task for task in asyncio.all_tasks() if part in repr(task.get_coro())]
            assert len(found) == 1, part
            found[0].cancel()
            again = asyncio.create_task(_kept_running(rig, house.inbox))  # as `bot.app` does it for every channel
            try:
                await until(lambda: rig.wecom.links.subscribed > opened and rig.is_heard(), LIMIT)  # noqa: B023
                rig.says(number, f"T{number}")
                await rig.rest()
            finally:
                again.cancel()
                await asyncio.gather(again, return_exceptions=True)
            assert rig.said() == once(*range(1, number + 1)), part


async def _kept_running(rig: BotRig, intake: object) -> None:
    while True:
        try:
            await rig.channel.run(intake)  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001 - whatever it was: it is started again
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("ends", [True, False], ids=["closed", "left open"])
async def test_a_kick_is_an_alert_and_not_a_fight(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ends: bool
) -> None:
    """What is being answered is held, not failed, and goes out when the place is free again."""
    timing = faster(SHORT, kicked_pause=2.0)
    async with bot_rig(tmp_path, WEBSOCKET, timing=timing) as rig, rig.life():
        rig.wecom.links.ends_kicked = ends
        rig.says(1, "slow 0.5 T1")
        await rig.wecom.until(lambda: rig.wecom.posts())
        capsys.readouterr()
        opened = rig.wecom.links.opened
        rig.wecom.links.steal()
        await until(lambda: "another connection of this bot" in rig.channel.health().detail, LIMIT)
        assert not rig.channel.health().up
        await asyncio.sleep(1.2)
        assert rig.wecom.links.opened == opened, "it takes nothing back"
        assert await rig.open_work() == 1
        words = capsys.readouterr().out
        assert words.count("event='wecom.kicked'") == words.count("level='error'") == 1
        assert words.count("event='wecom.down'") == 1
        await until(rig.is_heard, LIMIT)
        await rig.rest(growing=False)
        assert rig.said() == once(1)
        assert rig.wecom.links.opened == opened + 1


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_silences_one_after_the_other(tmp_path: Path, lines: Lines) -> None:
    async with bot_rig(tmp_path, WEBSOCKET, timing=SHORT) as rig, rig.life():
        rig.wecom.rates.subscribes = (60.0, 1000)
        worst = 0.0
        for number in range(1, 21):
            lines.since()
            rig.says(number, f"T{number}")
            await rig.rest()
            rig.wecom.links.mute = True
            if number % 2:
                rig.wecom.links.silence()
            else:
                rig.wecom.links.kill()
            started = time.monotonic()
            await until(lambda: not rig.channel.health().up, LIMIT)
            worst = max(worst, time.monotonic() - started)
            rig.wecom.links.mute = False
            await until(rig.is_heard, LIMIT)
            assert lines.since() == (1, 1)
        print(f"\nF20 wecom_bot silences=20 worst={worst:.2f}s, as if {QUICK.silent / 26:.2f} of a second were one")
        assert rig.said() == once(*range(1, 21))
