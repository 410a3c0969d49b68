import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from adapters.rendering import telegram
from adapters.rendering.markdown import BLOCK_LIMIT, RICH_LIMIT, render
from adapters.rendering.safe_text import utf16_length
from tests.adapters.rendering.strategies import WORDS, anything, document, paragraph, visible


def strictly_read(markdown: str) -> list[Token]:
    """The tokens that a CommonMark reader with HTML, tables and strikethrough sees, inline ones in their place."""
    tokens: list[Token] = []
    for token in MarkdownIt("commonmark", {"maxNesting": 100}).enable(["table", "strikethrough"]).parse(markdown):
        tokens.extend(token.children or [] if token.type == "inline" else [token])
    return tokens


def shown(tokens: list[Token]) -> str:
    return visible("".join(token.content for token in tokens if token.type in {"text", "code_inline", "fence"}))


def only(markdown: str) -> str:
    (part,) = render(markdown)
    return part


@given(anything, st.sampled_from([100, 1000, RICH_LIMIT]))
@settings(max_examples=50, deadline=None)
@example("*a*b*c*" * 40, 100)
@example("> - " * 12 + "x", RICH_LIMIT)
@example("1. " + "# `x`\n   > y\n" * 40, 100)
def test_a_strict_reader_sees_neither_html_nor_images_in_any_part(markdown: str, limit: int) -> None:
    for part in render(markdown, limit=limit):
        assert 0 < utf16_length(part) <= limit
        for token in strictly_read(part):
            assert token.type not in {"html_block", "html_inline", "image", "code_block"}
            assert token.type != "link_open" or re.match("https?://", str(token.attrGet("href")), re.IGNORECASE)


@given(st.lists(paragraph, min_size=1, max_size=5).map("\n\n".join))
@settings(max_examples=40, deadline=None)
def test_a_strict_reader_sees_the_same_text_as_telegram_entities_show(markdown: str) -> None:
    expected = visible("".join(part.text for part in telegram.render(markdown)))
    assert shown(strictly_read("".join(render(markdown)))) == expected


@given(st.lists(st.sampled_from([*"*_~`|[]<>#=!$^&{}\\-+1.:() 中a，👍"]), max_size=40).map("".join))
@settings(max_examples=100, deadline=None)
def test_signs_without_meaning_stay_signs(text: str) -> None:
    expected = visible("".join(part.text for part in telegram.render(text)))
    assert visible("".join(part.text for part in telegram.render("".join(render(text))))) == expected


@given(document, st.sampled_from([300, RICH_LIMIT]))
@settings(max_examples=20, deadline=None)
def test_no_word_of_a_document_is_lost(markdown: str, limit: int) -> None:
    text = visible("".join(shown(strictly_read(part)) for part in render(markdown, limit=limit)))
    assert all(text.count(word) >= visible(markdown).count(word) for word in WORDS)


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        pytest.param("**重点：**请看", "**重点**：请看", id="emphasis-for-a-strict-reader"),
        pytest.param("<script>x</script>", r"\<script\>x\</script\>", id="html"),
        pytest.param("![图](https://a.com/i.png)", "[图](https://a.com/i.png)", id="image"),
        pytest.param("![t](tg://emoji?id=1)", "t", id="custom-emoji"),
        pytest.param("[x](javascript:a)", "x", id="forbidden-link"),
        pytest.param("[x](https://a.com/b_(c))", "[x](https://a.com/b_%28c%29)", id="parentheses-in-link"),
        pytest.param("共 $5 和 $6", r"共 \$5 和 \$6", id="no-formula"),
        pytest.param("==a== ||b|| [^1]", r"\=\=a\=\= \|\|b\|\| \[\^1\]", id="no-extensions"),
        pytest.param("a\nb", "a  \nb", id="line-end"),
        pytest.param("2024\\. x\n\\- y\n-5°C 3.5", "2024\\. x  \n\\- y  \n-5°C 3.5", id="no-list-by-accident"),
        pytest.param("https://a.com/b_c", r"[https://a.com/b\_c](https://a.com/b_c)", id="bare-address"),
        pytest.param("| a |\n|--:|\n| `x\\|y` |", "| a |\n| --: |\n| `x\\|y` |", id="bar-in-a-cell"),
        pytest.param("```py\na ``` b\n```", "````py\na ``` b\n````", id="fence-longer-than-its-code"),
        pytest.param("- a\n\n* b", "- a\n\n* b", id="two-lists"),
        pytest.param("a\u202eb&#x202e;c", "abc", id="direction"),
    ],
)
def test_only_what_we_mean_is_markup(markdown: str, expected: str) -> None:
    assert only(markdown) == expected


def test_code_is_closed_and_opened_again() -> None:
    parts = render("```sql\n" + "select 1;\n" * 10_000 + "```")
    assert len(parts) == 4
    assert all(part.startswith("```sql\nselect 1;\n") and part.endswith("\n```") for part in parts)
    assert sum(part.count("select 1;") for part in parts) == 10_000


def test_a_long_table_repeats_its_head() -> None:
    parts = render("| 项目 | 价格 |\n|---|---|\n" + "".join(f"| 物{n} | {n} |\n" for n in range(700)))
    assert all(part.startswith("| 项目 | 价格 |\n| --- | --- |\n") for part in parts)
    assert all(part.count("\n") <= BLOCK_LIMIT for part in parts)
    assert re.findall(r"物(\d+)", "".join(parts)) == [str(n) for n in range(700)]


def test_a_long_list_goes_on_with_its_numbers() -> None:
    parts = render("\n".join(f"{n}. 第{n}步" for n in range(1, 601)))
    assert len(parts) > 1
    assert re.findall(r"^(\d+)\.", "\n".join(parts), re.MULTILINE) == [str(n) for n in range(1, 601)]


def test_a_table_with_too_many_columns_is_told_line_by_line() -> None:
    text = only("|" + "a|" * 21 + "\n|" + "-|" * 21 + "\n|" + "x|" * 21)
    assert text.split("  \n") == ["a: x"] * 21


def test_lists_nested_beyond_the_limit_lie_flat() -> None:
    text = only("\n".join("  " * depth + f"- level{depth}" for depth in range(12)))
    depth = max(token.level for token in strictly_read(text))
    assert depth <= 14
    assert all(f"level{level}" in text for level in range(12))


@pytest.mark.parametrize(
    "markdown",
    [
        pytest.param("**" + "字" * 70_000 + "**", id="paragraph"),
        pytest.param("# " + "word " * 10_000, id="heading"),
        pytest.param("> " + "- " + "x_" * 30_000, id="quoted-item"),
        pytest.param("| a |\n|---|\n| " + "好" * 40_000 + " |", id="cell"),
        pytest.param("```\n" + "x" * 70_000, id="line-of-code"),
        pytest.param("*" * 30_000, id="stars"),
    ],
)
def test_a_single_block_over_the_limit_is_divided(markdown: str) -> None:
    parts = render(markdown)
    assert parts
    assert all(utf16_length(part) <= RICH_LIMIT for part in parts)
    letters = re.sub(r"[^字wordx好]", "", markdown)
    assert re.sub(r"[^字wordx好]", "", "".join(parts)) == letters


@pytest.mark.parametrize("blank", ["", " \n", "\u200b", "```\n```"])
def test_what_shows_nothing_has_no_parts(blank: str) -> None:
    assert render(blank) == ()
