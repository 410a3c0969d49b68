import pytest
from hypothesis import given, settings

from adapters.rendering.plain import render
from tests.adapters.rendering.strategies import WORDS, anything, document, visible


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        pytest.param("# 标题\n\n**粗** *斜* `码`", "标题\n粗 斜 码", id="styles-are-dropped"),
        pytest.param("[官网](https://a.com/x)", "官网 (https://a.com/x)", id="link"),
        pytest.param("[https://a.com](https://a.com/)", "https://a.com", id="link-to-itself"),
        pytest.param("![图](https://a.com/i.png)", "图 (https://a.com/i.png)", id="image"),
        pytest.param("[x](javascript:alert(1))", "x", id="forbidden-link"),
        pytest.param("原价~~100~~，现价80", "原价~100~，现价80", id="former-price-is-told-apart"),
        pytest.param("- a\n  - b\n\n    c\n- d", "• a\n  • b\n    c\n• d", id="nested-list"),
        pytest.param("9. a\n10. b\n    - c", "9. a\n10. b\n    • c", id="numbered-list"),
        pytest.param("> a\n>\n> - b\n> > c", "> a\n> • b\n> > c", id="quote"),
        pytest.param("- x\n  ```\n  a\n\n   b\n  ```", "• x\n  a\n\n   b", id="code-in-list"),
        pytest.param("a\n\n---\nb", "a\n\n———\n\nb", id="rule"),
        pytest.param("| a | b |\n|---|--:|\n| 你好 | 1 |", "a    | b\n-----+--\n你好 | 1", id="table"),
    ],
)
def test_text_reads_well_without_markup(markdown: str, expected: str) -> None:
    assert render(markdown) == expected


def test_a_table_wider_than_the_screen_is_told_line_by_line() -> None:
    table = "| name | note |\n|---|---|\n| a | some words |\n| b | |"
    assert render(table, width=17) == "name | note\n-----+-----------\na    | some words\nb    |"
    assert render(table, width=16) == "name: a\nnote: some words\n\nname: b"


@given(document)
@settings(max_examples=20, deadline=None)
def test_no_word_of_a_document_is_lost(markdown: str) -> None:
    shown = visible(render(markdown))
    assert all(shown.count(word) == visible(markdown).count(word) for word in WORDS)


@given(anything)
@settings(max_examples=40, deadline=None)
def test_any_text_is_shown_without_hidden_characters(markdown: str) -> None:
    assert all(char == "\n" or char == "\t" or ord(char) >= 32 for char in render(markdown))
    assert not set(render(markdown)) & set("\u202e\u200b\x7f")
