"""Slack's two dialects of Markdown, and that nothing in them notifies anybody."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.rendering import slack
from adapters.rendering.layout import Dialect, lay_out
from adapters.rendering.safe_text import utf16_length
from adapters.rendering.tree import parse, plain_text
from tests.adapters.rendering.strategies import anything, document, visible
from tests.adapters.rendering.test_markdown import strictly_read

_LISTED = Dialect(styled=True, table_width=0)
PINGS = ["<!channel>", "<!here>", "<!everyone>", "<!subteam^S123|@team>", "<@U123ABC>", "<@W1|li>", "<#C123|general>"]
signs = st.lists(st.sampled_from([*"*_~`|[]<>#=!$^&{}\\-+1.:() 中a，👍\n"]), max_size=40).map("".join)
LIVE = re.compile(r"<(?:!(?:channel|here|everyone|subteam|date)|[@#][A-Za-z0-9])", re.IGNORECASE)
hidden = st.sampled_from(PINGS).flatmap(
    lambda ping: st.sampled_from(
        [
            ping,
            f"`{ping}`",
            f"```\n{ping}\n```",
            f"[{ping}](https://e.com)",
            f"[x](https://e.com/{ping})",
            f"<https://e.com/{ping}>",
            f"\\{ping}",
            ping.replace("<", "<\\"),
            ping.replace("<", "&lt;").replace(">", "&gt;"),
            ping.replace("<", "&#60;"),
            ping.replace("<", "&#x3C;"),
            ping.upper(),
            ping.replace("<", "<\u200b"),
            ping.replace("!", "\u2060!"),
            f"**<**{ping[1:]}",
            f"| a |\n|---|\n| {ping} |",
            f"![{ping}](https://e.com/x.png)",
            f"<{ping}>",
        ]
    )
)


def words_of(text: str) -> str:
    """What is seen, without white space and the addresses that are written beside a link's text."""
    return re.sub(r"\(https?://[^\s()]*\)", "", slack.defused(visible(text)), flags=re.IGNORECASE)


def alive(text: str) -> str:
    """As a reader that undoes everything there is to undo."""
    for _ in range(2):
        text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&#60;", "<").replace("&amp;", "&")
    return text.replace("\\", "").replace("*", "")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param(
            "**重点：**后文 snake_case 5*3", "**重点**：后文 snake_case 5\\*3", id="emphasis beside ideographs"
        ),
        pytest.param("Hello! Costs $5 = x {a}", "Hello! Costs $5 = x {a}", id="no needless backslashes"),
        pytest.param("<b>x</b> a < b", "\\<b>x\\</b> a < b", id="no HTML"),
        pytest.param("![alt](https://e.com/x.png)", "[alt](https://e.com/x.png)", id="no images"),
        pytest.param("[x](javascript:alert)", "x", id="no strange links"),
        pytest.param("a\nb", "a  \nb", id="line breaks stay"),
        pytest.param("AT&T &amp;amp; x", "AT&T \\&amp; x", id="entities are themselves"),
    ],
)
def test_standard_markdown(source: str, expected: str) -> None:
    assert slack.markdown(source) == (expected,)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("**b** *i* ~~s~~ `c`", "*b* _i_ ~s~ `c`", id="styles"),
        pytest.param("[t](https://e.com/?a=1&b=2)", "<https://e.com/?a=1&amp;b=2|t>", id="link"),
        pytest.param("[a|b](https://e.com/a|b)", "<https://e.com/a%7Cb|a¦b>", id="bars in a link"),
        pytest.param("# 标题\n内容", "*标题*\n内容", id="heading"),
        pytest.param("> a\n> b", "> a\n> b", id="quote"),
        pytest.param("- a\n- b", "• a\n• b", id="list"),
        pytest.param("```py\nif a < b:\n    pass\n```", "```\nif a &lt; b:\n    pass\n```", id="code"),
        pytest.param("a < b && c > d", "a &lt; b &amp;&amp; c &gt; d", id="escapes"),
        pytest.param("**两\n行**", "*两*\n*行*", id="emphasis ends with its line"),
        pytest.param("字**粗**字", "字粗字", id="emphasis where mrkdwn has none"),
    ],
)
def test_mrkdwn(source: str, expected: str) -> None:
    assert slack.mrkdwn(source) == expected


@given(st.lists(st.one_of(hidden, anything), min_size=1, max_size=6).map("\n\n".join))
@settings(deadline=None, max_examples=40)
def test_nothing_notifies_in_any_dialect(source: str) -> None:
    for text in (*slack.markdown(source), slack.mrkdwn(source), slack.plain(source), slack.escaped(source)):
        assert not LIVE.search(text.replace("\\", ""))
        assert not LIVE.search(alive(text))


@given(anything)
@settings(deadline=None, max_examples=40)
def test_no_word_is_lost(source: str) -> None:
    words = plain_text(lay_out(parse(source), _LISTED))
    (whole,) = slack.markdown(source, limit=1_000_000) or ("",)
    assert words_of(plain_text(lay_out(parse(whole), _LISTED))) == words_of(words)


@given(st.lists(document, min_size=1, max_size=12).map("\n\n".join), st.integers(800, 2000))
@settings(deadline=None, max_examples=40)
def test_every_part_is_within_its_limit_whole_and_complete(source: str, limit: int) -> None:
    parts = slack.markdown(source, limit=limit)
    assert all(utf16_length(part) <= limit and part.strip() for part in parts)
    for part in parts:
        assert len(re.findall(r"^\s*(?:> ?)*```", part, re.MULTILINE)) % 2 == 0
    have = Counter(re.findall(r"\w+", "\n".join(plain_text(lay_out(parse(part), _LISTED)) for part in parts)))
    want = Counter(re.findall(r"\w+", plain_text(lay_out(parse(source), _LISTED))))
    assert not want - have


@given(anything)
@settings(deadline=None, max_examples=40)
def test_mrkdwn_says_all_the_words(source: str) -> None:
    words = slack.defused(plain_text(lay_out(parse(source), Dialect(styled=True, table_width=60))))
    links_resolved = re.sub(r"<[^|>]*\|([^>]*)>", r"\1", slack.mrkdwn(source)).replace("¦", "|")
    said = links_resolved.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert re.sub(r"[*_~`>\s]", "", said) == re.sub(r"[*_~`>\s]", "", words.replace("¦", "|"))


@given(st.one_of(anything, signs))
@settings(deadline=None, max_examples=40)
def test_a_strict_reader_of_markdown_sees_the_words_and_neither_html_nor_images(source: str) -> None:
    words = plain_text(lay_out(parse(source), _LISTED))
    for part in slack.markdown(source):
        for token in strictly_read(part):
            assert token.type not in {"html_block", "html_inline", "image", "code_block"}
            assert token.type != "link_open" or re.match("https?://", str(token.attrGet("href")), re.IGNORECASE)
    (whole,) = slack.markdown(source, limit=1_000_000) or ("",)
    again = plain_text(lay_out(parse(whole), _LISTED))
    assert words_of(again) == words_of(words)


@given(signs)
@settings(deadline=None, max_examples=40)
def test_signs_without_meaning_stay_signs(source: str) -> None:
    """With as few backslashes as there are, a strict reader still takes none of them for markup."""
    (whole,) = slack.markdown(source, limit=1_000_000) or ("",)
    assert words_of(plain_text(lay_out(parse(whole), _LISTED))) == words_of(plain_text(lay_out(parse(source), _LISTED)))


def test_a_tables_head_is_repeated_and_no_row_is_cut() -> None:
    source = "| 型号 | 价格 |\n|---|---|\n" + "\n".join(f"| 型号{n} | {n} 元 |" for n in range(300))
    parts = slack.markdown(source, limit=1000)
    assert len(parts) > 3
    for part in parts:
        assert part.startswith("| 型号 | 价格 |\n| --- | --- |\n")
    rows = [line for part in parts for line in part.split("\n")[2:]]
    assert rows == [f"| 型号{n} | {n} 元 |" for n in range(300)]
