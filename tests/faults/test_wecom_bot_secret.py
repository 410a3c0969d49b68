"""F18 and P8 on WeCom's AI bot: its secret is refused. Held, not failed; told once; resumed by itself; no storm."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.wecom.bot.lines import SUBSCRIBE
from bot.messages import ConversationRef, IncomingMessage, Sender
from tests.fakes.channel import MemoryChannel
from tests.faults.slack_rig import until
from tests.faults.wecom_bot_rig import WEBSOCKET, bot_rig, faster
from tests.faults.wecom_rig import once

pytestmark = pytest.mark.usefixtures("quick_repeats")

PAUSE = 0.5
"""As if it were half a minute."""
HELD = 1.6
RESUMES = 2.0
"""As if it were a minute, and some more for a machine that does other things too."""
MEMORY = ConversationRef(platform="memory", account="", channel="5", thread="")


async def test_a_refused_secret_holds_replies_until_it_is_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = MemoryChannel()
    timing = faster(refused_pause=PAUSE)
    async with bot_rig(tmp_path, WEBSOCKET, timing=timing, beside=(beside,)) as rig, rig.life() as house:
        wecom = rig.wecom
        for number in range(1, 7):
            rig.says(number, f"slow 0.8 T{number}")
        await wecom.until(lambda: len(rig.dialogue.running) == 6)
        capsys.readouterr()
        right, wecom.state.secret = wecom.state.secret, "another-secret-altogether"
        wecom.links.kill()  # in the middle of answers
        await until(lambda: "853000" in rig.channel.health().detail)
        since, before = time.monotonic(), len(wecom.frames(SUBSCRIBE))
        assert not rig.channel.health().up
        message = IncomingMessage(
            keys=("T100",), conversation=MEMORY, sender=Sender(id="memory:5"), text="T100", sent_at=datetime.now(UTC),
            message_id="T100", sequence=1, direct=True,
        )  # fmt: skip
        await house.inbox.accept([message])
        await until(lambda: beside.texts(MEMORY) == ["T100 完"], 2.0)
        await asyncio.sleep(HELD)
        asked = len(wecom.frames(SUBSCRIBE)) - before
        assert 1 <= asked <= (time.monotonic() - since) / PAUSE + 1
        assert rig.said() == {}
        assert await rig.open_work() == 6, "held, and none of them failed"
        words = capsys.readouterr().out
        assert words.count("853000") - words.count("a reply waits") == 1, words
        assert right not in words
        assert "another-secret" not in words
        wecom.state.secret = right
        mended = time.monotonic()
        await until(rig.is_heard, RESUMES)
        await until(lambda: rig.said() == once(*range(1, 7)), RESUMES)
        print(f"resumed after {time.monotonic() - mended:.2f} s, as if {PAUSE} were 31")
        await rig.rest()
        assert rig.said() == once(*range(1, 7))
        assert capsys.readouterr().out.count("event='wecom.up'") == 1


async def test_a_start_with_a_refused_secret_leaves_the_others_alone_and_gets_well(tmp_path: Path) -> None:
    async with bot_rig(tmp_path, WEBSOCKET, timing=faster(refused_pause=PAUSE)) as rig:
        right, rig.wecom.state.secret = rig.wecom.state.secret, "another-secret-altogether"
        async with rig.life(connected=False):
            await until(lambda: "853000" in rig.channel.health().detail)
            await asyncio.sleep(1.2)
            assert len(rig.wecom.frames(SUBSCRIBE)) <= 4
            rig.wecom.state.secret = right
            await until(rig.is_heard, RESUMES)
            rig.says(1, "T1")
            await rig.rest()
            assert rig.said() == once(1)
