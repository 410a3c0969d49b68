"""Answers that grow in WeCom, from the core to what people read: not mixed, not twice, not cut, within its limits."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from pathlib import Path

import pytest

from tests.fakes.dialogue import END
from tests.faults.slack_rig import Storyteller, squeezed, story
from tests.faults.wecom_bot_rig import APART, CALLBACK, WEBSOCKET, BotRig, bot_rig, faster, person

pytestmark = pytest.mark.usefixtures("quick_repeats")

BOTH = pytest.mark.parametrize("transport", [WEBSOCKET, CALLBACK])
LIMIT = 20_480
GROUP = "wrGroup1"


def _article(sections: int, rows: int, sentences: int) -> str:
    """Headings, words, a table and code, all of them numbered."""
    found = []
    for number in range(1, sections + 1):
        table = "\n".join(
            ["| 项目 | 数量 |", "| --- | --- |", *(f"| 第{number}-{row}项 | {row} |" for row in range(rows))]
        )
        code = "```python\n" + "\n".join(f"print({number}, {row})  # 一行代码" for row in range(12)) + "\n```"
        found.append(f"## 第 {number} 节\n\n" + "这一节说明怎么办。" * sentences + f"\n\n{table}\n\n{code}")
    return "\n\n".join([*found, f"T1 {END}"])


async def _arrives_whole(folder: Path, transport: str, text: str, sections: int, rows: int) -> list[str]:
    """The messages it arrives in, in a group."""
    # A message that answers is all that WeCom takes over callbacks, and each of them gives one code for one more.
    dialogue = Storyteller(stories={"T1": text}, seconds=1.2, steps=6)
    async with bot_rig(folder, transport, dialogue=dialogue) as rig:
        async with rig.life():
            if transport == CALLBACK:
                for number in (2, 3, 4):
                    rig.says(1, f"T{number}", chat=GROUP)
                    await rig.rest()
            before = len(rig.texts(GROUP))
            rig.says(1, "tell T1", chat=GROUP)
            await rig.rest(60)
        parts = [part.removeprefix(f"<@{person(1)}> ") for part in rig.texts(GROUP)[before:]]
        sizes = [len(part.encode()) for part in rig.texts(GROUP)]
    assert max(sizes) <= LIMIT
    assert all(part.count("```") % 2 == 0 for part in parts), "a fence is open"
    whole = "\n".join(parts)
    for number in range(1, sections + 1):
        assert whole.count(f"第 {number} 节") == 1
        assert all(whole.count(f"第{number}-{row}项") == 1 for row in range(rows))
        assert all(whole.count(f"print({number}, {row})") == 1 for row in range(12))
    for part in parts:
        assert "| 项目 | 数量 |" in part, "a table's rows have lost their head"
    assert squeezed(whole).count("这一节说明怎么办。") == text.count("这一节说明怎么办。")
    assert whole.count(f"T1 {END}") == 1
    return parts


@BOTH
async def test_five_thousand_characters_with_tables_arrive_whole(tmp_path: Path, transport: str) -> None:
    text = _article(5, 9, 65)
    assert len(text) >= 5_000
    parts = await _arrives_whole(tmp_path, transport, text, 5, 9)
    assert len(parts) == 1


@BOTH
async def test_thirty_thousand_characters_arrive_whole(tmp_path: Path, transport: str) -> None:
    text = _article(30, 9, 65)
    assert len(text) >= 30_000
    parts = await _arrives_whole(tmp_path, transport, text, 30, 9)
    assert 3 <= len(parts) <= 5


def _asks(rig: BotRig, count: int) -> dict[str, str]:
    """So many colleagues ask for a story, every fifth in one of two groups; where each answer belongs."""
    places = {}
    for number in range(1, count + 1):
        chat = f"wrGroup{number % 2}" if number % 5 == 0 else ""
        rig.says(number, f"tell T{number}", chat=chat)
        places[f"T{number}"] = chat or person(number)
    return places


@BOTH
async def test_fifty_conversations_that_stream_at_once_do_not_mix(tmp_path: Path, transport: str) -> None:
    count = 50
    stories = {f"T{number}": story(f"T{number}", paragraphs=4, words=6) for number in range(1, count + 1)}
    dialogue = Storyteller(stories=stories, seconds=1.5, steps=8)
    async with bot_rig(tmp_path, transport, dialogue=dialogue, timing=faster(ack=4.0)) as rig:
        async with rig.life():
            places = _asks(rig, count)
            await rig.rest(60)
        for token, place in places.items():
            mine = [text for text in rig.texts(place) if f"{token} " in text]
            name = f"<@{person(int(token[1:]))}> " if place.startswith("wr") else ""
            assert [squeezed(text) for text in mine] == [squeezed(name + stories[token])]
        assert len(rig.texts()) == count
        assert await rig.states() == {"sent": count}
        assert await rig.query("SELECT id FROM deliveries WHERE attempts > 1") == []
        if transport == WEBSOCKET:
            _grew_within_limits(rig, count)
        else:
            assert max(one.slowest for one in rig.caller.chats.exchanges.values()) < 2.0


def _grew_within_limits(rig: BotRig, count: int) -> None:
    """Each of them grew, its states as far apart as WeCom asks for, and no conversation got more frames than it may
    get messages."""
    posts = rig.wecom.posts()
    assert sum(len(post.shown) >= 3 for post in posts) >= count * 0.7, "they have to grow"
    frames: dict[str, list[float]] = defaultdict(list)
    for post in posts:
        times = [at for at, _ in post.shown]
        assert all(later - sooner >= APART for sooner, later in itertools.pairwise(times))
        frames[post.place.id] += times
    for times in frames.values():
        times.sort()
        assert all(sum(start <= at < start + 60 for at in times) <= 30 for start in times)
    assert not [heard for heard in rig.wecom.frames() if heard.errcode]


@pytest.mark.faults
@pytest.mark.timeout(300)
@BOTH
async def test_a_busy_group_stays_within_thirty_a_minute(tmp_path: Path, transport: str) -> None:
    """Forty questions in one group: what is over the limit waits for the next minute and arrives then."""
    async with bot_rig(tmp_path, transport) as rig, rig.life():
        started = time.monotonic()
        for number in range(1, 41):
            rig.says(number, f"T{number}", chat=GROUP)
        await rig.rest(150)
        assert rig.said() == {f"T{number}": 1 for number in range(1, 41)}
        if transport == WEBSOCKET:
            assert time.monotonic() - started > 50
            assert not [heard for heard in rig.wecom.frames() if heard.errcode == 45009]
