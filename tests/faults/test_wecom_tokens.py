"""F18 and P8 on WeCom: tokens end, secrets and addresses are refused. Held, not failed; told once; resumed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.messages import ConversationRef, IncomingMessage, Sender
from tests.fakes.channel import MemoryChannel
from tests.fakes.wecom_api import Call, FakeWeCom, Fault
from tests.faults.wecom_rig import BOTH, QUICK, SEND, WeComRig, once, until, wecom_rig

pytestmark = pytest.mark.usefixtures("quick_repeats")

PAUSE = 0.5
HELD = 1.5
"""Seconds that it stays refused: as if it were minutes, with half a second for half a minute."""
RESUMES = 3.0
"""As if it were a minute, and some more for a machine that does other things too."""
TIMING = replace(QUICK, refused_pause=PAUSE, upkeep=PAUSE / 2)
MEMORY = ConversationRef(platform="memory", account="", channel="5", thread="")
PEOPLE = range(1, 21)


@pytest.mark.parametrize("errcode", [42001, 40014])
@pytest.mark.parametrize("way", BOTH)
async def test_twenty_sends_that_meet_a_dead_token_cause_one_new_one(tmp_path: Path, way: str, errcode: int) -> None:
    async with wecom_rig(tmp_path, ways=(way,), timing=replace(QUICK, upkeep=60.0)) as rig, rig.life():
        for number in PEOPLE:
            rig.says(way, number, f"slow 0.5 T{number}")
        await until(lambda: len(rig.dialogue.running) == len(PEOPLE))
        rig.wecom.faults.add(Fault(kind="slow", method=SEND[way], seconds=0.3, times=len(PEOPLE)))
        rig.wecom.tokens.revoke(way, errcode)
        before = rig.wecom.tokens.count(way)
        await rig.rest()
        refused = [call for call in rig.wecom.calls(SEND[way]) if call.errcode == errcode]
        assert len(refused) >= 10, "they met it together"
        assert rig.wecom.tokens.count(way) == before + 1
        assert rig.said() == once(*PEOPLE)
        assert await rig.query("SELECT id FROM deliveries WHERE attempts > 1") == []


async def test_tokens_that_end_by_themselves_cost_no_message_a_second_try(tmp_path: Path) -> None:
    """Two hours are two seconds here, and WeCom gives the same token until it has ended."""
    async with wecom_rig(tmp_path, ways=("app",)) as rig:
        rig.wecom.tokens.life = 2.0
        async with rig.life():
            for number in range(1, 7):
                rig.says("app", number, f"T{number}")
                await asyncio.sleep(0.4)
            await rig.rest()
        assert 2 <= rig.wecom.tokens.count("app") <= 8
        assert rig.said() == once(*range(1, 7))
        assert await rig.query("SELECT id FROM deliveries WHERE attempts > 1") == []


@dataclass(frozen=True, slots=True)
class Refusal:
    """What only an operator can mend, and what tells them of it."""

    begin: Callable[[FakeWeCom, str], object]
    end: Callable[[FakeWeCom, str], object]
    told: str


def _untrusted(wecom: FakeWeCom, way: str) -> None:
    """Of one app: each has its own list of addresses."""
    wecom.faults.add(Fault(kind="error", errcode=60020, secret=way, method="*"))


def _mend_secret(wecom: FakeWeCom, way: str) -> None:
    wecom.tokens.works_again(way)


REFUSALS = {
    "40001": Refusal(lambda wecom, way: wecom.tokens.ends(way), _mend_secret, "secret (40001)"),
    "40091": Refusal(lambda wecom, way: wecom.tokens.ends(way, 40091), _mend_secret, "secret (40091)"),
    "60020": Refusal(_untrusted, lambda wecom, _: wecom.faults.clear(), "add 203.0.113.9 to 企业可信IP"),
}


async def _writes_beside(rig: WeComRig, token: str) -> None:
    """Somebody on another channel of the same house."""
    message = IncomingMessage(
        keys=(token,), conversation=MEMORY, sender=Sender(id="memory:5"), text=token, sent_at=datetime.now(UTC),
        message_id=token, sequence=int(token[1:]), direct=True,
    )  # fmt: skip
    await rig.house.inbox.accept([message])


async def _states(rig: WeComRig) -> dict[str, set[str]]:
    """By channel: in which states its replies are."""
    found: dict[str, set[str]] = {}
    joined = "SELECT c.platform AS way, d.state FROM deliveries d JOIN conversations c ON c.id = d.conversation_id"
    for row in await rig.query(joined):
        found.setdefault(row["way"].removeprefix("wecom_"), set()).add(row["state"])
    return found


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("way", BOTH)
async def test_what_only_an_operator_can_mend_holds_replies_until_it_is_mended(
    tmp_path: Path, way: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal, other = REFUSALS[name], BOTH[way == "app"]
    beside = MemoryChannel()
    async with wecom_rig(tmp_path, timing=TIMING, beside=(beside,)) as rig, rig.life():
        wecom = rig.wecom
        for number in range(1, 7):
            rig.says(way, number, f"slow 0.4 T{number}")
        await until(lambda: len(rig.dialogue.running) == 6)
        capsys.readouterr()
        refusal.begin(wecom, way)  # in the middle of answers
        await until(lambda: not rig.channels[way].health().up)
        since, before = time.monotonic(), len(_asked(rig, way))
        rig.says(other, 50, "T50")
        await _writes_beside(rig, "T100")
        await until(lambda: beside.texts(MEMORY) == ["T100 完"] and rig.said(other) == once(50), 2.0)
        await asyncio.sleep(HELD)
        asked = _asked(rig, way)[before:]
        assert len(asked) <= (time.monotonic() - since) / PAUSE + 1, [call.method for call in asked]
        states = await _states(rig)
        assert states[way] <= {"waiting", "sending"}, "held, and none of them failed"
        assert states[other] == states["memory"] == {"sent"}
        assert refusal.told in rig.channels[way].health().detail
        assert rig.channels[other].health().up
        words = capsys.readouterr().out
        assert words.count("event='wecom.down'") == words.count("level='error'") == 1, words
        assert refusal.told in words
        assert wecom.app_secret not in words
        assert wecom.kf_secret not in words
        refusal.end(wecom, way)
        mended = time.monotonic()
        await until(lambda: rig.said(way) == once(*range(1, 7)), RESUMES)
        await until(lambda: rig.channels[way].health().up, RESUMES)
        print(f"resumed after {time.monotonic() - mended:.2f} s, as if {PAUSE} were 31")
        await rig.rest()
        assert rig.said(way) == once(*range(1, 7))
        assert capsys.readouterr().out.count("event='wecom.up'") == 1


def _asked(rig: WeComRig, way: str) -> list[Call]:
    """Everything that was asked for this app, with a token or for one."""
    methods = ("agent/", "message/") if way == "app" else ("kf/",)
    return [call for call in rig.wecom.calls() if call.secret == way or call.method.startswith(methods)]


async def test_a_robot_that_was_removed_holds_notices_and_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with wecom_rig(tmp_path, ways=("app", "webhook"), timing=TIMING) as rig, rig.life():
        keys = set(rig.wecom.webhooks.keys)
        rig.wecom.webhooks.keys.clear()
        capsys.readouterr()
        await rig.tells_operators(3)
        await until(lambda: not rig.channels["webhook"].health().up)
        before, since = len(rig.wecom.calls(SEND["webhook"])), time.monotonic()
        rig.says("app", 9, "T9")
        await until(lambda: rig.said("app") == once(9))
        await asyncio.sleep(HELD)
        asked = len(rig.wecom.calls(SEND["webhook"])) - before
        assert asked <= (time.monotonic() - since) / PAUSE + 1
        assert (await _states(rig))["webhook"] <= {"waiting", "sending"}
        words = capsys.readouterr().out
        assert words.count("event='wecom.down'") == words.count("level='error'") == 1, words
        assert rig.wecom.webhook_key not in words
        rig.wecom.webhooks.keys |= keys
        await until(lambda: rig.said("webhook") == once(1, 2, 3), RESUMES)
        assert rig.channels["webhook"].health().up
