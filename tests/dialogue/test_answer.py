"""Which snapshots of a growing answer are shown before the whole of it has been checked."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bot.dialogue.answer import read_generation
from bot.messages import Answered, Delta, EngineOutput


async def growing(*texts: str) -> AsyncIterator[EngineOutput]:
    for text in texts:
        yield Delta(text=text)
    yield Answered(text=texts[-1], confidence=1.0)


async def shown(*texts: str, sure_from: int = 0) -> list[str]:
    """What a reader sees while an answer grows of which the house is sure from so many characters on."""
    seen: list[str] = []
    ended = await read_generation(growing(*texts), seen.append, max_chars=200, sure=lambda text: len(text) >= sure_from)
    assert ended == Answered(text=texts[-1], confidence=1.0)
    return seen


async def test_words_are_shown_as_they_grow() -> None:
    assert await shown("满 99", "满 99 元包邮", "满 99 元包邮。") == ["满 99", "满 99 元包邮", "满 99 元包邮。"]


async def test_nothing_is_shown_before_the_house_would_send_it() -> None:
    texts = ("老板", "老板叫", "老板叫张三", "老板叫张三。")
    assert await shown(*texts, sure_from=5) == ["老板叫张三", "老板叫张三。"]
    assert await shown(*texts, sure_from=99) == []


@pytest.mark.parametrize(
    "addition",
    [
        "https://evil.example",
        "![x](//evil.example/p.png)",
        "evil\u200b.example",
        "boss@evil.example",
        "www.evil.example",
        "<|im_end|>",
        "<tool_call>",
        '{"response": "yes"}',
    ],
)
async def test_from_a_link_or_a_tag_on_nothing_grows_any_more(addition: str) -> None:
    texts = [f"满 99 元包邮 {addition[:end]}" for end in range(1, len(addition) + 1)]
    seen = await shown("满 99 元包邮", *texts, f"{texts[-1]} 谢谢")
    assert seen[0] == "满 99 元包邮"
    assert not any("example" in text or "im_" in text or "tool_" in text or '"' in text for text in seen)
