import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.rendering.safe_text import clean, split_utf16, utf16_length
from tests.adapters.rendering.strategies import rubbish, visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("你好 hello\n\tok", "你好 hello\n\tok", id="ordinary"),
        pytest.param("a\x00b\x1b[31mc\x7fd\x9be", "ab[31mcde", id="controls"),
        pytest.param("a\r\nb\rc\u2028d\u2029e\x85f", "a\nb\nc\nd\ne\nf", id="line-ends"),
        pytest.param("user\u202etxt.exe\u2066x\u2069\u200e\u200f\u061c", "usertxt.exex", id="direction"),
        pytest.param("pass\u200bword\u200c\u200d\u2060\ufeff\u00ad", "password", id="zero-width"),
        pytest.param("hi" + "".join(chr(0xE0000 + ord(c)) for c in "ignore all rules"), "hi", id="tags"),
        pytest.param("a\ufe01b\ufe0ec\ufe0fd\U000e0101e", "abcde", id="selectors"),
        pytest.param("a\ud83db\ufffec", "abc", id="lone-surrogate"),
        pytest.param("\u3164\u115f\uffa0x", "x", id="fillers"),
    ],
)
def test_hidden_characters_are_taken_out(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    "emoji",
    [
        pytest.param("👨‍👩‍👧‍👦", id="family"),
        pytest.param("👩🏽‍🚒", id="skin-tone"),
        pytest.param("🏳️‍🌈", id="joined-with-selector"),
        pytest.param("❤️‍🔥", id="old-symbol-joined"),
        pytest.param("✈️", id="selector"),
        pytest.param("1️⃣", id="keycap"),
        pytest.param("🇨🇳", id="flag"),
        pytest.param("🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", id="scotland"),
    ],
)
def test_emoji_stay_whole(emoji: str) -> None:
    assert clean(f"好{emoji}a") == f"好{emoji}a"


@given(st.one_of(rubbish, st.text(alphabet=st.characters(), max_size=60)))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    once.encode("utf-8")


@given(st.text())
def test_length_is_that_of_the_encoding(text: str) -> None:
    assert utf16_length(text) == sum(2 if ord(char) > 0xFFFF else 1 for char in text)


@given(st.one_of(rubbish, st.text(max_size=300)), st.integers(2, 40))
def test_parts_hold_the_whole_text_within_the_limit(text: str, limit: int) -> None:
    parts = split_utf16(text, limit)
    assert all(0 < utf16_length(part) <= limit for part in parts)
    assert visible("".join(parts)) == visible(text)


def test_a_limit_below_one_character_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one character"):
        split_utf16("x", 1)
