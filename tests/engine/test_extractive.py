from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.dialogue.text import clean
from bot.engine.extractive import ExtractiveEngine, excerpt_of, units
from bot.errors import EngineUnavailable
from bot.messages import Answered, Delta, EngineOutput, Passage, Prompt


def passage(text: str, *, question: str = "", chance: float = 0.9, id: str = "faq.csv#1") -> Passage:  # noqa: A002
    return Passage(
        id=id, document=id, collection="default", title=question, text=text, question=question, chance=chance
    )


FEE = passage("大陆地区满 99 元包邮，不满收 8 元；新疆、西藏满 199 元包邮。", question="运费怎么算？")
OTHERS = tuple(
    passage(f"第 {n} 个别的答案。", question=f"别的问题 {n}？", chance=0.05, id=f"faq.csv#{n}") for n in range(2, 6)
)


def prompt(question: str, *passages: Passage, limit: int = 150, language: str = "zh") -> Prompt:
    return Prompt(
        language="zh" if language == "zh" else "en",
        persona="",
        passages=passages,
        question=question,
        max_answer_chars=limit,
    )


async def generated(asked: Prompt) -> list[EngineOutput]:
    engine = ExtractiveEngine()
    await engine.start()
    return [output async for output in engine.generate(asked)]


async def test_a_clear_question_is_answered_in_the_passages_own_words() -> None:
    *deltas, end = await generated(prompt("运费怎么算", FEE, *OTHERS))
    assert isinstance(end, Answered)
    assert end.text == FEE.text and end.passages == (FEE.id,)
    assert end.confidence == FEE.chance
    assert [delta.text for delta in deltas if isinstance(delta, Delta)][-1] == end.text


async def test_the_answer_grows() -> None:
    long = passage("先打开订单。再点申请退货。最后寄回商品。", question="怎么退货？")
    *deltas, end = await generated(prompt("怎么退货", long, *OTHERS))
    texts = [delta.text for delta in deltas if isinstance(delta, Delta)]
    assert len(texts) == len(deltas) >= 2
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert isinstance(end, Answered) and end.text == texts[-1]


async def test_what_may_be_refused_is_not_shown_while_it_grows() -> None:
    outputs = await generated(prompt("你们老板叫什么名字", *OTHERS))
    assert len(outputs) == 1
    assert isinstance(outputs[0], Answered) and outputs[0].confidence == 0.05


async def test_without_passages_there_is_no_answer() -> None:
    assert await generated(prompt("运费怎么算")) == [Answered(text="", confidence=0.0)]


async def test_of_two_equal_passages_the_readers_language_is_taken() -> None:
    english = passage("Shipping is CNY 8, free from CNY 99.", question="运费 how much is shipping", id="en.csv#1")
    end = (await generated(prompt("运费怎么算", english, FEE, *OTHERS)))[-1]
    assert isinstance(end, Answered) and end.passages == (FEE.id,)


async def test_before_it_is_started_it_says_so() -> None:
    engine = ExtractiveEngine()
    assert not engine.health().ready
    with pytest.raises(EngineUnavailable):
        [output async for output in engine.generate(prompt("运费", FEE))]


def test_of_a_long_answer_the_sentences_that_meet_the_question_are_taken() -> None:
    text = (
        "We ship to 28 countries, among them Japan, Singapore, Canada and Germany. "
        "It costs CNY 90 for the first kilogram. Parcels are insured."
    )
    abroad = passage(text, question="Do you ship abroad, and what does it cost?")
    assert excerpt_of(abroad, "do you ship to Germany", 80)[0].startswith("We ship to 28 countries")
    assert excerpt_of(abroad, "how much is it?", 80)[0].startswith("It costs CNY 90")


def test_steps_from_the_middle_of_a_list_are_plain_points() -> None:
    steps = passage("1. Open the order.\n2. Choose the item.\n3. Send it in by post.\n4. Wait for the refund.")
    assert excerpt_of(steps, "by post?", 45) == ("- Choose the item.", "- Send it in by post.")
    assert excerpt_of(steps, "open the order", 30) == ("1. Open the order.",)


def test_a_table_row_is_told_in_words() -> None:
    rows = ["| Product | Warranty | Home repair |", "|---|---|---|", "| Appliances | 1 year | yes |"]
    table = "\n".join([*rows, "| Electronics | 1 year | no |"])
    assert units(table) == [
        "Appliances: Warranty 1 year; Home repair yes",
        "Electronics: Warranty 1 year; Home repair no",
    ]
    assert excerpt_of(passage(table), "home repair for electronics", 60) == (
        "Electronics: Warranty 1 year; Home repair no",
    )


def test_list_items_keep_their_marks_and_wrapped_lines_are_joined() -> None:
    assert units("Not covered:\n\n- drops, impact\n  or water;\n- wear.\n\n1. Open the order.\n2. Send it\n   in.") == [
        "Not covered:",
        "- drops, impact or water;",
        "- wear.",
        "1. Open the order.",
        "2. Send it in.",
    ]


@given(st.text(max_size=400), st.text(max_size=60), st.integers(10, 200))
def test_an_excerpt_fits_and_invents_nothing(text: str, question: str, limit: int) -> None:
    pieces = excerpt_of(passage(clean(text)), question, limit)
    whole = "".join(pieces)
    assert len(whole) <= limit
    letters = [char for char in whole if char.isalpha()]
    assert set(letters) <= set(clean(text))
