"""F19 on WeCom's AI bot: it asks for patience, and says anything. Finals arrive, nothing crashes, nobody is deaf."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.wecom_aibot import Fault
from tests.fakes.wecom_api import Fault as CallFault
from tests.faults import seeds
from tests.faults.wecom_bot_rig import CALLBACK, WEBSOCKET, Lines, bot_rig, faster
from tests.faults.wecom_rig import once

pytestmark = pytest.mark.usefixtures("quick_repeats")

PEOPLE = 8
TOO_OFTEN = 45009
FRAMES: tuple[str, ...] = (
    "", "x", "{", "[]", "null", "7", '"aibot_msg_callback"', "[" * 3000, '{"cmd": 7}', '{"cmd": null, "headers": {}}',
    '{"headers": {"req_id": 5}, "errcode": 0}', '{"headers": [], "errcode": 0}', '{"headers": {"req_id": "nobody"}}',
    '{"headers": {"req_id": "nobody"}, "errcode": "0"}', '{"headers": {"req_id": "nobody"}, "errcode": 1e99}',
    '{"cmd": "aibot_of_tomorrow", "headers": {"req_id": "a"}, "body": {}}', '{"cmd": "aibot_msg_callback"}',
    '{"cmd": "aibot_msg_callback", "headers": {"req_id": "a"}}',
    '{"cmd": "aibot_msg_callback", "headers": {"req_id": "a"}, "body": []}',
    '{"cmd": "aibot_msg_callback", "headers": 7, "body": {"msgtype": "text", "text": {"content": "T99"}}}',
    '{"cmd": "aibot_event_callback", "headers": {"req_id": "a"}, "body": {"msgtype": "event", "event": null}}',
    '{"cmd": "aibot_event_callback", "headers": {}, "body": {"msgtype": "event", "event": {"eventtype": {}}}}',
)  # fmt: skip
"""What no server should send."""
BODIES: tuple[dict[str, Any], ...] = (
    {"msgtype": "text"},
    {"msgtype": "text", "text": None},
    {"msgtype": "text", "text": {"content": 7}},
    {"msgtype": "text", "text": {"content": ["T99"]}},
    {"msgtype": "mixed", "mixed": {"msg_item": "x"}},
    {"msgtype": "mixed", "mixed": {"msg_item": [None, 7, {"msgtype": []}]}},
    {"msgtype": "voice", "voice": []},
    {"msgtype": {"deep": []}},
    {"msgtype": "kind_of_tomorrow", "kind_of_tomorrow": {"a": 1}},
    {"msgtype": "text", "text": {"content": "hello"}, "quote": {"msgtype": 7, "text": "x"}},
    {"msgtype": "text", "text": {"content": "hello"}, "msgid": ["x"]},
    {"msgtype": "text", "text": {"content": "hello"}, "from": {"userid": None}},
    {"msgtype": "text", "text": {"content": "hello"}, "from": "user1"},
    {"msgtype": "text", "text": {"content": "hello"}, "chattype": 5, "chatid": {}},
    {"msgtype": "text", "text": {"content": "hello"}, "response_url": {"a": 1}},
)
"""Messages whose fields are missing, or of other kinds."""


async def test_ends_that_meet_a_full_minute_are_tried_again(tmp_path: Path) -> None:
    """Three times for each; snapshots give way, and nobody is asked faster than they allow."""
    async with bot_rig(tmp_path, WEBSOCKET) as rig:
        faults = [
            rig.wecom.faults.add(
                Fault(kind="error", method="aibot_respond_msg", contains=f"T{number} 完", errcode=TOO_OFTEN, times=3)
            )
            for number in range(1, PEOPLE + 1)
        ]
        shows = rig.wecom.faults.add(Fault(kind="error", method="aibot_respond_msg", errcode=TOO_OFTEN, every=4))
        async with rig.life():
            for number in range(1, PEOPLE + 1):
                rig.says(number, f"slow 1 T{number} " if number % 2 else f"T{number} ")
            await rig.rest()
        assert [fault.fired for fault in faults] == [3] * PEOPLE
        assert shows.fired
        assert rig.said() == once(*range(1, PEOPLE + 1))
        assert all(post.via == "stream" for post in rig.wecom.posts())
        assert await rig.states() == {"sent": PEOPLE}
        _patient(rig.wecom.frames("aibot_respond_msg"), rig.timing.frequency_pause)


def _patient(frames: list[Any], pause: float) -> None:
    """An end that was told to wait is not asked with before its time."""
    refused: dict[str, float] = {}
    for frame in frames:
        if not frame.body["stream"]["finish"]:
            continue
        name = frame.body["stream"]["id"]
        assert frame.at - refused.get(name, 0.0) >= pause * 0.9
        if frame.errcode == TOO_OFTEN:
            refused[name] = frame.at


async def test_frames_that_make_no_sense_stop_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before, between and after messages; the connection stays, and every message is answered once."""
    lines = Lines(capsys)
    async with bot_rig(tmp_path, WEBSOCKET) as rig, rig.life():
        lines.since()
        rig.says(1, "slow 1 T1")
        for number, frame in enumerate(FRAMES, start=2):
            rig.wecom.links.say(frame)
            rig.says(number, f"T{number}")
        await rig.rest()
        assert rig.said() == once(*range(1, len(FRAMES) + 2))
        words = lines.words()
        assert words.count("event='wecom.down'") == 0, words
        assert "Traceback" not in words
        assert rig.wecom.links.opened == 1


@pytest.mark.parametrize("transport", [WEBSOCKET, CALLBACK])
async def test_messages_that_lack_something_stop_nobody(
    tmp_path: Path, transport: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with bot_rig(tmp_path, transport) as rig, rig.life():
        head = {"aibotid": "any", "chattype": "single", "from": {"userid": "user77"}}
        for number, body in enumerate(BODIES):
            whole = json.dumps({**head, "msgid": f"odd{number}", **body})
            if transport == WEBSOCKET:
                headers = {"req_id": f"odd{number}"}
                frame = {"cmd": "aibot_msg_callback", "headers": headers, "body": json.loads(whole)}
                rig.wecom.links.say(json.dumps(frame))
            else:
                status, _ = await rig.caller.feed.post("bot", rig.caller.bot.seal(whole))
                assert status in {200, 400}, body
        for number in range(1, 4):
            rig.says(number, f"T{number}")
        async with asyncio.timeout(15):
            while rig.said() != once(1, 2, 3):
                await asyncio.sleep(0.05)
        assert "Traceback" not in capsys.readouterr().out
        assert rig.channel.health().up


@pytest.mark.parametrize("kind", ["html", "truncated", "empty", "shape", "error"])
async def test_a_response_that_can_not_be_read_or_asks_for_patience_is_tried_again(tmp_path: Path, kind: str) -> None:
    timing = faster(stream_ends=0.4)
    async with bot_rig(tmp_path, CALLBACK, timing=timing) as rig:
        rig.excused = {"response_url"}  # a code is tried a second time, to learn what became of the first
        fault = CallFault(kind=kind, method="aibot/response", errcode=TOO_OFTEN, times=2, body={"result": 1}, code=502)
        rig.caller.faults.add(fault)
        async with rig.life():
            for number in (1, 2, 3):
                rig.says(number, f"slow 1 T{number}")
            await rig.rest()
        assert fault.fired == 2
        assert rig.said() == once(1, 2, 3)
        assert await rig.states() == {"sent": 3}


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_a_storm_of_everything(tmp_path: Path) -> None:
    chance, report = seeds.begin("F19 wecom_bot")
    people = 150
    async with bot_rig(tmp_path, WEBSOCKET) as rig:
        rig.wecom.rates.subscribes = (60.0, 1000)
        for number, kind in enumerate(("error", "garbage", "twice", "error")):
            code = TOO_OFTEN if number else -1
            rig.wecom.faults.add(Fault(kind=kind, method="aibot_*", every=13 + number, errcode=code))
        async with rig.life(seconds=30):
            started = time.monotonic()
            for number in range(1, people + 1):
                rig.says(number, f"slow {chance.choice([0.3, 2.2])} T{number}" if number % 2 else f"T{number}")
                rig.wecom.links.say(chance.choice(FRAMES))
                await asyncio.sleep(0.08)
            await rig.rest(120)
            took = time.monotonic() - started
        fired = sum(fault.fired for fault in rig.wecom.faults.program)
        report.counts |= {"faults": fired, "said": rig.said().total(), "seconds": int(took)}
        report.print()
        assert rig.said() == once(*range(1, people + 1))
