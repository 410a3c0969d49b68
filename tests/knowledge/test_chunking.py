"""Passages: where a document is cut, and what is never cut."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.chunking import ChunkLimits, chunk_document, estimate_tokens
from knowledge.values import Chunk, Document

SMALL = ChunkLimits(target=20, maximum=40)


def _markdown(text: str, title: str = "手册") -> Document:
    return Document(id="a.md", title=title, text=text, format="markdown")


def _chunks(text: str, limits: ChunkLimits = SMALL, title: str = "手册") -> tuple[Chunk, ...]:
    return chunk_document(_markdown(text, title), limits)


def test_a_passage_carries_the_headings_above_it() -> None:
    chunks = _chunks("# 手册\n\n前言\n\n## 海外订单\n\n总则\n\n### 退款\n\n五天\n\n## 国内\n\n### 退款\n\n两天\n")
    assert [(chunk.id, chunk.title, chunk.text) for chunk in chunks] == [
        ("a.md", "手册", "前言"),
        ("a.md#海外订单", "手册 › 海外订单", "总则"),
        ("a.md#退款", "手册 › 海外订单 › 退款", "五天"),
        ("a.md#退款-1", "手册 › 国内 › 退款", "两天"),
    ]


def test_a_section_keeps_its_id_when_another_is_added_before_it() -> None:
    later = "## Refunds\n\nfive days\n"
    before = {chunk.id: chunk for chunk in _chunks(later)}
    after = {chunk.id: chunk for chunk in _chunks("## Shipping\n\ntwo days\n\n" + later)}
    assert after["a.md#refunds"] == before["a.md#refunds"]


def test_a_heading_that_says_everything_is_a_passage() -> None:
    chunks = _chunks("## Call 400-820-8820\n\n## Hours\n\n9 to 5\n")
    assert [chunk.text for chunk in chunks] == ["Call 400-820-8820", "9 to 5"]


def test_a_hash_in_code_is_no_heading_and_a_comment_is_nothing() -> None:
    chunks = _chunks("# T\n\n<!-- todo: ignore -->\n\n```sh\n# not a heading\nrun\n```\n", title="T")
    assert [chunk.text for chunk in chunks] == ["```sh\n# not a heading\nrun\n```"]


def test_a_row_is_one_passage_however_long() -> None:
    document = Document(id="f#1", title="q", text="长" * 5000, format="row", question="q", answer="长" * 5000)
    (chunk,) = chunk_document(document, SMALL)
    assert (chunk.id, chunk.text, chunk.answer) == ("f#1", "长" * 5000, "长" * 5000)


def test_chinese_is_cut_at_sentence_ends_with_their_closing_quotes() -> None:
    text = "他说：“可以退货。”我们会在收到后处理！请保留包装？是的。" * 6
    chunks = _chunks(text)
    assert len(chunks) > 2
    assert all(re.search(r"[。！？]”?$", chunk.text) for chunk in chunks)
    assert "".join(chunk.text for chunk in chunks) == text


@pytest.mark.parametrize(
    "whole",
    [
        pytest.param("https://help.example.com/zh/return/how?step=1&from=订单#top", id="URL"),
        pytest.param("400 820 8820", id="telephone with blanks"),
        pytest.param("+86 138 0013 8000", id="international telephone"),
        pytest.param("(021) 6234-5678", id="telephone with brackets"),
        pytest.param("support-team@mail.example.com", id="e-mail"),
        pytest.param("6222021234567890123", id="card number"),
    ],
)
def test_what_people_copy_stays_whole(whole: str) -> None:
    for lead in range(45):
        text = "字" * lead + " " + whole + " " + "尾，" * 60
        assert any(whole in chunk.text for chunk in _chunks(text)), f"cut after {lead} characters"


def test_a_long_table_is_cut_between_rows_and_repeats_its_header() -> None:
    rows = [f"| 地区{n} | {n} 元，满 {n}00 元包邮，节假日顺延 |" for n in range(12)]
    chunks = _chunks("| 地区 | 运费 |\n|---|---|\n" + "\n".join(rows) + "\n")
    assert len(chunks) > 2
    assert all(chunk.text.startswith("| 地区 | 运费 |\n|---|---|\n| 地区") for chunk in chunks)
    assert [line for chunk in chunks for line in chunk.text.split("\n")[2:]] == rows


def test_a_long_list_is_cut_between_items() -> None:
    items = [f"- item {n} with a number of words that say something" for n in range(12)]
    chunks = _chunks("\n".join(items))
    assert len(chunks) > 2
    assert [line for chunk in chunks for line in chunk.text.split("\n")] == items


def test_plain_text_is_cut_between_paragraphs() -> None:
    document = Document(id="n.txt", title="n", text="\n\n".join(f"第{n}段。" * 5 for n in range(8)), format="text")
    chunks = chunk_document(document, SMALL)
    assert [chunk.id for chunk in chunks][:2] == ["n.txt", "n.txt~2"]
    assert "\n\n".join(chunk.text for chunk in chunks) == document.text


def test_a_text_of_one_endless_line_ends() -> None:
    text = "字" * 100_000
    chunks = chunk_document(Document(id="n", title="n", text=text, format="text"))
    assert "".join(chunk.text for chunk in chunks) == text
    assert all(estimate_tokens(chunk.text) <= 320 for chunk in chunks)


_TABLE = "| a | b |\n|---|---|\n| 1 | 2 |\n"
_BLOCKS = [
    "# 标题\n\n",
    "## Part\n\n",
    "\n\n",
    "- item\n",
    _TABLE,
    "```\ncode\n```\n",
    "> quote\n",
    "1. one\n",
    "---\n",
]
_WORDS = ["句子。", "word ", "https://x.example/a,b ", "138 0013 8000", "，", "[link](https://y.example)", "\t"]
_PIECES = st.sampled_from(_BLOCKS + _WORDS)


@settings(max_examples=150, deadline=None)
@given(st.lists(_PIECES, max_size=60).map("".join))
def test_no_word_is_lost_and_ids_are_never_shared(text: str) -> None:
    chunks = _chunks(text)
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    assert all(chunk.text.strip() for chunk in chunks)
    shown = "".join(chunk.title + chunk.text for chunk in chunks)
    for word in ("句子", "word", "item", "code", "quote", "138 0013 8000"):
        if word in text:
            assert word in shown
    assert chunks == _chunks(text)
