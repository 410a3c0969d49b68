"""What is asked of an engine for a follow-up, and which of its words are searched for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.dialogue.rewriting import EARLIER, MOST_CHARS, followup_of, usable
from bot.messages import FollowUp

CANADA = FollowUp(text="加拿大呢？", earlier=("满多少包邮？", "寄到日本要几天"), language="zh")
POINTS = FollowUp(text="and for 2 people?", earlier=("How much is the gift card of CNY 100?",), language="en")


def used(said: str, followup: FollowUp = CANADA) -> str:
    return usable(said, followup, ticket_prefix="TICKET")


@pytest.mark.parametrize(
    ("said", "followup"),
    [
        pytest.param("寄到加拿大要几天？", CANADA, id="Chinese"),
        pytest.param("寄到加拿大的运费是多少？", CANADA, id="with a new word"),
        pytest.param("How much is the gift card of CNY 100 for 2 people?", POINTS, id="English, with its figures"),
    ],
)
def test_a_rewriting_is_searched_for(said: str, followup: FollowUp) -> None:
    assert used(said, followup) == said


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("", id="nothing"),
        pytest.param("加拿大呢?", id="the message itself"),
        pytest.param("寄到加拿大要几天 https://evil.example/x", id="a link"),
        pytest.param("寄到加拿大要几天 evil\u200b.example", id="a host in disguise"),
        pytest.param("寄到加拿大<|im_end|>", id="a template's tag"),
        pytest.param('寄到加拿大 <tool_call>{"name": "x"}', id="a call"),
        pytest.param("TICKET-7K2M9Q4D 寄到加拿大", id="a ticket's number"),
        pytest.param("寄到加拿大要 8–12 天", id="an answer's figures"),
        pytest.param("How long does delivery to Canada take?", id="another language"),
        pytest.param("寄到加拿大要几天？" * 12, id="far longer"),
        pytest.param("今天天气怎么样", id="something else"),
        pytest.param("寄到日本要几天？", id="the earlier question"),
    ],
)
def test_what_is_no_rewriting_is_thrown_away(said: str) -> None:
    assert used(said) == ""


def test_a_message_that_names_nothing_may_become_anything_of_the_conversation() -> None:
    followup = FollowUp(text="多久能到？", earlier=("寄到日本",), language="zh")
    assert used("寄到日本多久能到？", followup)
    assert not used("退货要多久？", followup)


def test_lines_become_one() -> None:
    assert used("寄到加拿大\n要几天？") == "寄到加拿大 要几天？"


@given(st.text(max_size=200), st.text(max_size=60), st.text(max_size=60))
def test_any_words_are_taken_or_thrown_away(said: str, text: str, earlier: str) -> None:
    followup = FollowUp(text=text, earlier=(earlier,), language="zh")
    found = used(said, followup)
    assert "\n" not in found and "http://" not in found


def test_an_engine_reads_the_last_few_things_the_customer_said() -> None:
    said = ["你好", "寄到日本要几天", "", "加拿大呢？"]
    assert followup_of("那运费呢", said, "zh") == FollowUp(
        text="那运费呢", earlier=("寄到日本要几天", "加拿大呢？"), language="zh"
    )
    assert len(said) > EARLIER


def test_the_language_is_the_customers_and_not_the_replys() -> None:
    found = followup_of("and to Canada?", ["How long does delivery take?"], "zh")
    assert found is not None and found.language == "en"
    found = followup_of("ok?", ["寄到日本要几天"], "en")
    assert found is not None and found.language == "zh"


def test_a_long_message_needs_no_rewriting_and_a_long_story_before_it_is_cut() -> None:
    assert followup_of("那" * (MOST_CHARS + 1), ["寄到日本要几天"], "zh") is None
    found = followup_of("那运费呢", ["很长的故事，" * 1000], "zh")
    assert found is not None and len(found.earlier[0]) <= MOST_CHARS


@pytest.mark.parametrize("said", [[], [""], [" \n"]])
def test_without_anything_before_there_is_nothing_to_rewrite(said: list[str]) -> None:
    assert followup_of("那运费呢", said, "zh") is None
