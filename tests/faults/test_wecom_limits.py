"""An answer of 5,000 characters with a table, as the core makes it: every limit of WeCom's is met, on every channel."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapters.wecom.kf.words import RULES, long_answer
from tests.faults.wecom_rig import Storyteller, person, wecom_rig

pytestmark = pytest.mark.usefixtures("quick_repeats")

BYTES = 2048
LETTERS = 5000


def _squeezed(text: str) -> str:
    """Without white space and marks, which a dialect may set otherwise."""
    return "".join(letter for letter in text if letter.isalnum())


async def test_a_long_answer_meets_the_apps_limits_and_loses_no_word(tmp_path: Path) -> None:
    answer = long_answer(LETTERS)
    async with wecom_rig(
        tmp_path, ways=("app",), rate_limits=True, dialogue=Storyteller(stories={"T1": answer})
    ) as rig:
        async with rig.life():
            rig.says("app", 1, "tell T1")
            await rig.rest()
        texts = rig.wecom.texts("app", person("app", 1))
        assert len(answer) == LETTERS
        assert all(len(text.encode()) <= BYTES for text in texts)
        assert len(texts) >= LETTERS * 3 // BYTES
        said = _squeezed("".join(texts))
        for words in ("北京", "当天11点前下单", "新疆", "18元", *(f"第{number}条：{RULES}" for number in range(1, 80))):
            assert _squeezed(words) in said, words
        assert not any("|" in text or "---" in text for text in texts), "no table is left that would not be one"
        assert [one.msgtype for one in rig.wecom.messages("app")] == ["markdown"] * len(texts)


async def test_a_long_answer_takes_three_of_a_customers_five_messages(tmp_path: Path) -> None:
    answer = long_answer(LETTERS)
    async with wecom_rig(tmp_path, ways=("kf",), rate_limits=True, dialogue=Storyteller(stories={"T1": answer})) as rig:
        async with rig.life():
            rig.says("kf", 1, "tell T1")
            await rig.rest()
        texts = rig.wecom.texts("kf", person("kf", 1))
        assert len(texts) == 3
        assert all(len(text.encode()) <= BYTES for text in texts)
        assert sum(len(text.encode()) for text in texts) > 0.8 * 3 * BYTES, "the room there is is used"
        assert not any(mark in "".join(texts) for mark in ("**", "|", "](", "# ")), "mere words"
        assert "新疆" in texts[0]
        assert "内容较长" in texts[-1], "it says that there would be more"


async def test_a_long_answer_with_a_ticket_is_told_in_full_and_carded(tmp_path: Path) -> None:
    """Short answers between long ones: neither takes the other's place, and rates are kept."""
    stories = {f"T{number}": long_answer(LETTERS - number) for number in (1, 3)}
    async with wecom_rig(tmp_path, rate_limits=True, dialogue=Storyteller(stories=stories)) as rig:
        async with rig.life():
            for way in ("app", "kf"):
                for number, words in enumerate(("tell T1", "ticket T2", "tell T3"), start=1):
                    rig.says(way, 7, words)
                    if number < 3:
                        await rig.rest()
            await rig.rest()
        places = {way: rig.wecom.texts(way, person(way, 7)) for way in ("app", "kf")}
        assert [len(places["kf"]), sum("T2 完" in text for text in places["kf"])] == [7, 1]
        assert sum("T2 完" in text for text in places["app"]) == 1
        assert sum(one.msgtype == "template_card" for one in rig.wecom.messages("app")) == 1
        assert await rig.states() == {"sent": 6}
