"""Markdown in WeCom's dialects: what a reader sees, in parts of so many bytes, and nothing that notifies anybody."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from adapters.rendering import wecom
from adapters.rendering.plain import render as plain_render
from tests.adapters.rendering.strategies import anything

LONG = (
    "# 报销说明\n\n请在 **30 天** 内提交[报销单](https://oa.example.com/form)。\n\n"
    + "| 城市 | 住宿标准 | 备注 |\n|---|---|---|\n"
    + "".join(f"| 城市{n} | {300 + n} 元 | 含早餐 😀 |\n" for n in range(60))
    + "\n1. 第一步\n   - 保留发票\n2. 第二步\n\n> 超标部分自理\n\n```sh\nkefu run\n```\n\n"
    + "其余的规定请看制度全文，条款很多，逐条说明如下：每一条都要遵守。" * 120
)
"""Over five thousand characters, with a table."""

ALL = [
    pytest.param(wecom.ai_markdown, id="ai"),
    pytest.param(wecom.app_markdown, id="app"),
    pytest.param(wecom.plain, id="plain"),
]
NOTIFIES = re.compile(r"<\s*(?:@|/?\s*(?:font|think|a)\b)", re.IGNORECASE)


@pytest.mark.parametrize("render", ALL)
@pytest.mark.parametrize("limit", [256, 2048, 4096, 20_480])
def test_a_long_answer_with_a_table_keeps_every_limit_and_every_word(render, limit: int) -> None:  # type: ignore[no-untyped-def]
    parts = render(LONG, limit=limit)
    assert len(LONG) > 5000
    assert all(0 < len(part.encode()) <= limit for part in parts)
    whole = "".join(parts)
    for words in ("报销说明", "城市59", "359 元", "保留发票", "超标部分自理", "kefu run"):
        assert words in whole, words
    assert whole.count("每一条都要遵守") == 120


@pytest.mark.parametrize("render", ALL)
@given(source=anything, limit=st.sampled_from([256, 300, 2048]))
@settings(deadline=None, max_examples=60)
def test_no_text_breaks_a_limit_or_notifies_anybody(render, source: str, limit: int) -> None:  # type: ignore[no-untyped-def]
    for part in render(source, limit=limit):
        assert 0 < len(part.encode()) <= limit
        assert part.strip()
        assert not NOTIFIES.search(part)


@pytest.mark.parametrize("render", ALL)
@given(source=st.text(max_size=400))
@settings(deadline=None, max_examples=60)
def test_any_text_at_all_can_be_rendered(render, source: str) -> None:  # type: ignore[no-untyped-def]
    for part in render(source, limit=256):
        assert 0 < len(part.encode("utf-8")) <= 256


@pytest.mark.parametrize("render", ALL)
def test_a_character_is_never_torn(render) -> None:  # type: ignore[no-untyped-def]
    family = "👨‍👩‍👧‍👦"
    for words in ("汉" * 3000, family * 300, "e\u0301" * 2000, "🇨🇳" * 700):
        parts = render(words, limit=2048)
        assert "".join(parts) == words
        assert all(not part.startswith(("\u200d", "\u0301")) for part in parts)
    assert len(render("汉" * 683, limit=2048)) == 2  # 2,049 bytes


@pytest.mark.parametrize("render", ALL)
def test_tags_of_wecoms_own_are_made_harmless(render) -> None:  # type: ignore[no-untyped-def]
    hostile = (
        "<@all> <@zhangsan> &lt;@all&gt; `<@all>` <think>hidden</think> <font color='warning'>x</font>\n\n"
        "<a href='https://evil.example'>bank</a>\n\n```\n<@all>\n<FONT>\n```\n\n**<**@all> <\\@all>"
    )
    assert not NOTIFIES.search("\n".join(render(hostile)))


def test_blank_has_no_parts_and_tiny_limits_are_mistakes() -> None:
    for render in (wecom.ai_markdown, wecom.app_markdown, wecom.plain):
        assert render(" \n ") == ()
        with pytest.raises(ValueError, match="256"):
            render("x", limit=255)


def test_the_apps_markdown_knows_no_lists_tables_or_fences() -> None:
    [part] = wecom.app_markdown(
        "# 标题\n\n**粗** 和 `码` [链](https://x.example/a_(b)) ~~旧~~\n\n- 一\n  - 二\n\n> 引\n> 文\n\n"
        "| 地区 | 天数 |\n|---|---|\n| 北京 | 2 |\n\n```py\nif x:\n    pass\n```\n\n![图](https://x.example/p.png)"
    )
    assert part == (
        "**标题**\n**粗** 和 `码` [链](https://x.example/a_%28b%29) ~旧~\n• 一\n　• 二\n\n> 引\n> 文\n\n"
        "地区：北京\n天数：2\n\n`if x:`\n`    pass`\n\n[图](https://x.example/p.png)"
    )


def test_what_only_looks_like_markup_of_the_apps_is_taken_literally() -> None:
    [part] = wecom.app_markdown("\\# 5 与 \\[a\\](https://evil.example) 与 \\> 引 <订单号>\n\\> 引")
    assert part == "＃ 5 与 [a] (https://evil.example) 与 > 引 <订单号>\n＞ 引"


def test_a_style_goes_on_in_the_next_part() -> None:
    parts = wecom.app_markdown("**" + "重要的话，" * 300 + "**", limit=1024)
    assert len(parts) > 3
    assert all(part.startswith("**") and part.endswith("**") for part in parts)
    quotes = wecom.app_markdown("> " + "引用的话，" * 300, limit=1024)
    assert all(part.startswith("> ") for part in quotes)


def test_a_link_longer_than_a_message_leaves_its_words() -> None:
    parts = wecom.app_markdown(f"前 [看这里](https://x.example/{'a' * 1500}) 后", limit=512)
    assert "看这里" in "".join(parts)
    assert all(len(part.encode()) <= 512 for part in parts)


def test_an_ai_bot_gets_markdown_that_reads_as_it_was_meant() -> None:
    source = "# 标题\n\n**粗** a_b 5 * 3 [注意] #1\n\n| a | b |\n|---|---|\n| 1 | `x` |\n\n```py\nx < y\n```"
    [part] = wecom.ai_markdown(source)
    parser = MarkdownIt("commonmark").enable("table")
    assert parser.render(part) == parser.render(source)
    assert "\\" not in part


def test_a_table_is_continued_with_its_head() -> None:
    parts = wecom.ai_markdown(LONG, limit=2048)
    tables = [part for part in parts if "| 城市" in part]
    assert len(tables) > 1
    assert all("| 城市 | 住宿标准 | 备注 |" in part for part in tables)


def test_plain_words_read_well() -> None:
    [part] = wecom.plain("**重点**：看[这里](https://x.example)\n\n| 地区 | 天数 |\n|---|---|\n| 北京 | 2 |\n")
    assert part == "重点：看这里 (https://x.example)\n\n地区：北京\n天数：2"
    assert wecom.plain("就一句话") == (plain_render("就一句话"),)


def test_what_is_plain_needs_no_markdown() -> None:
    assert wecom.is_plain("就一句话，见 https://x.example 。\n\n1. 一\n2. 二")
    for styled in ("**粗**", "[链](https://x.example)", "> 引", "`码`", "# 题"):
        assert not wecom.is_plain(styled)


def test_shortened_keeps_whole_characters_and_says_that_something_is_missing() -> None:
    assert wecom.shortened("汉" * 10, 30) == "汉" * 10
    assert wecom.shortened("汉" * 11, 30) == "汉" * 9 + "…"
