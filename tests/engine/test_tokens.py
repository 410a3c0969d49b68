"""Prompts cut into tokens: the same as in one go, the beginning only once."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bot.engine.tokens import PromptTokens

END = "<|im_end|>"


class Letters:
    """A tokenizer of letters; `first` opens every text, as some real ones do."""

    def __init__(self, *, first: str = "", eos_token: str | None = END) -> None:
        self.eos_token = eos_token
        self._first = first
        self.cut: list[str] = []

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, Any]:
        assert not add_special_tokens
        self.cut.append(text)
        tokens: list[int] = []
        for number, part in enumerate(text.split(END)):
            tokens += [-1] * (number > 0) + [ord(letter) for letter in part]
        return {"input_ids": [*map(ord, self._first), *tokens]}


@given(st.text(), st.text(), st.text())
def test_a_prompt_has_the_tokens_of_the_whole(head: str, middle: str, tail: str) -> None:
    text = f"{head}{END}{middle}{END}{tail}"
    assert PromptTokens(Letters()).of(text) == Letters()(text, add_special_tokens=False)["input_ids"]


def test_the_beginning_that_prompts_share_is_cut_once() -> None:
    letters = Letters()
    tokens = PromptTokens(letters)
    letters.cut.clear()
    tokens.of(f"rules{END}first")
    tokens.of(f"rules{END}second")
    assert letters.cut == [f"rules{END}", "first", "second"]


def test_a_tokenizer_that_opens_every_text_is_given_whole_ones() -> None:
    text = f"rules{END}question"
    assert PromptTokens(Letters(first="_")).of(text) == Letters(first="_")(text, add_special_tokens=False)["input_ids"]


def test_a_tokenizer_without_an_end_of_messages_is_given_whole_texts() -> None:
    letters = Letters(eos_token=None)
    tokens = PromptTokens(letters)
    assert tokens.of("question") == [ord(letter) for letter in "question"]
    assert letters.cut == ["question"]


def test_a_text_is_counted_once() -> None:
    letters = Letters()
    tokens = PromptTokens(letters)
    letters.cut.clear()
    assert [tokens.count("abc"), tokens.count("abc")] == [3, 3]
    assert letters.cut == ["abc"]
