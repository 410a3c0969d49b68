from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.dialogue.language import detect, shown, simplified


@pytest.mark.parametrize(
    ("text", "language"),
    [
        pytest.param("密码忘了怎么办", "zh", id="simplified"),
        pytest.param("密碼忘了怎麼辦", "zh", id="traditional"),
        pytest.param("App 怎么用", "zh", id="foreign name in Chinese"),
        pytest.param("支持 Visa Apple Pay 吗", "zh", id="several foreign names"),
        pytest.param("how do I return an item", "en", id="English"),
        pytest.param("What does 发货 mean here?", "en", id="Chinese word in English"),
        pytest.param("refund policy?", "en", id="two telling words"),
        pytest.param("ok", None, id="international word"),
        pytest.param("refund", None, id="one word"),
        pytest.param("👍", None, id="emoji"),
        pytest.param("12345", None, id="digits"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_a_text_shows_its_language_or_none(text: str, language: str | None) -> None:
    assert shown(text) == language


def test_a_short_text_is_answered_in_the_language_spoken_before() -> None:
    assert detect("ok", setting="auto", known="zh", hint="en") == "zh"
    assert detect("OK!", setting="auto", known="en", hint="zh-hans") == "en"


def test_the_platforms_hint_counts_where_nothing_was_said_before() -> None:
    assert detect("👍", setting="auto", known=None, hint="zh-Hant-TW") == "zh"
    assert detect("ok", setting="auto", known=None, hint="fr") == "en"
    assert detect("hello", setting="auto", known=None, hint="") == "en"


def test_the_text_counts_more_than_what_was_spoken_before() -> None:
    assert detect("how do I pay for it", setting="auto", known="zh", hint="zh") == "en"


def test_a_setting_forces_the_language() -> None:
    assert detect("密码忘了", setting="en", known="zh", hint="zh") == "en"
    assert detect("I lost it", setting="zh", known=None, hint="en") == "zh"


def test_traditional_characters_become_simplified_ones() -> None:
    assert simplified("請問訂單運費怎麼計算，發票會寄到嗎？") == "请问订单运费怎么计算，发票会寄到吗？"


@given(st.text())
def test_simplifying_keeps_the_length_and_can_be_repeated(text: str) -> None:
    once = simplified(text)
    assert len(once) == len(text)
    assert simplified(once) == once
