"""Passages: where a document is cut, and what is never cut."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.chunking import chunk_document, estimate_tokens
from knowledge.cutting import ChunkLimits
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


# --- Whatever is written, and whoever measures ------------------------------------------------------


def _characters(texts: Sequence[str]) -> list[int]:
    """A measure that adds up exactly: what joins two texts does not count."""
    return [len(text.replace("\n", "")) for text in texts]


ROOM = 80
_LIMITS = [ChunkLimits(target=50, maximum=ROOM), ChunkLimits(target=50, maximum=ROOM, overlap=20)]

_NUMBERS = [
    "138 0013 8000",
    "(+86) 138 0013 8000",
    "+86-21-6234-5678",
    "021-62345678转8001",
    "400.820.8820",
    "+1 (650) 253-0000 ext. 42",
    "（010）6234 5678",
]
_ADDRESSES = [
    "https://x.example/a,b?c=1;d=",
    "[the page](https://y.example/a_(b)#c)",
    "help@mail.example.com",
]
_SENTENCES = [
    "可以退货。",
    "请保留包装！",
    "怎么办？",
    "先付款；",
    "Call us. ",
    "It is 3.5 km away, ",
    "运费八元，满百包邮，",
    "word ",
]
_BLOCKS = ["\n\n", "- item\n", "> quote\n", "```\ncode\n```\n", "## Part\n\n", "\n"]
_ROWS = st.lists(st.sampled_from(["| 上海 | 8 元，次日达 |", "| Beijing | 12, in two days |"]), min_size=1, max_size=9)
_WRITTEN = st.lists(
    st.one_of(
        st.sampled_from(_SENTENCES),
        st.sampled_from(_BLOCKS),
        st.sampled_from(_NUMBERS).map(lambda number: f"电话：{number}，"),
        st.sampled_from(_ADDRESSES).map(lambda address: f" {address} "),
        _ROWS.map(lambda rows: "\n\n| 地区 | 运费 |\n|---|---|\n" + "\n".join(rows) + "\n\n"),
    ),
    max_size=50,
).map("".join)


@settings(max_examples=120, deadline=None)
@given(_WRITTEN, st.sampled_from(_LIMITS))
def test_nothing_is_lost_or_cut_that_has_to_stay_whole(text: str, limits: ChunkLimits) -> None:
    chunks = chunk_document(_markdown(text), limits, _characters)
    shown = [f"{chunk.title}\n{chunk.text}" for chunk in chunks]
    for word in re.findall(r"\w+", re.sub(r"^```|## ", "", text, flags=re.MULTILINE)):
        assert any(word in one for one in shown), word
    for whole in (*_ADDRESSES, *(found.raw_string for found in phonenumbers.PhoneNumberMatcher(text, "CN"))):
        if whole in text:
            assert any(whole in one for one in shown), whole
    for row in re.findall(r"^\| .* \|$", text, flags=re.MULTILINE):
        assert any(row in one.split("\n") for one in shown), row
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    assert chunks == chunk_document(_markdown(text), limits, _characters)


@settings(max_examples=120, deadline=None)
@given(_WRITTEN, st.sampled_from(_LIMITS))
def test_no_passage_is_too_long(text: str, limits: ChunkLimits) -> None:
    # Code is cut between its lines only, and a fence that is not closed makes code of all that follows.
    chunks = chunk_document(_markdown(text.replace("```", "")), limits, _characters)
    assert max(_characters([chunk.text for chunk in chunks]), default=0) <= ROOM


@pytest.mark.parametrize(
    "whole",
    [
        pytest.param(f"https://x.example/{'a' * 2 * ROOM}", id="an address"),
        pytest.param(f"| {'长' * 2 * ROOM} |", id="a row"),
        pytest.param(f"let x = {'y' * 2 * ROOM};", id="a line of code"),
    ],
)
def test_only_what_must_stay_whole_is_too_long(whole: str) -> None:
    around = {"|": f"| 长 |\n|---|\n{whole}\n", "l": f"```\n{whole}\n```"}
    text = f"说明。\n\n{around.get(whole[0], whole)}\n\n说明。"
    long = [chunk for chunk in chunk_document(_markdown(text), _LIMITS[0], _characters) if len(chunk.text) > ROOM]
    assert [whole in chunk.text and len(chunk.text) < len(whole) + 20 for chunk in long] == [True]


@settings(max_examples=60, deadline=None)
@given(st.lists(_WRITTEN, min_size=2, max_size=5), st.integers(0, 4), _WRITTEN)
def test_what_changes_in_a_section_changes_no_other(sections: list[str], place: int, changed: str) -> None:
    # A fence that is not closed takes what follows along.
    plain = [re.sub(r"^## Part|```", "", text, flags=re.MULTILINE) for text in (*sections, changed)]
    *before, other = [f"## Heading {number}\n\n{text}\n\n" for number, text in enumerate(plain)]
    place %= len(before)
    after = [*before]
    after[place] = f"## Heading {place}\n\n{plain[-1]}\n\n"
    own = f"a.md#heading-{place}"

    def others(texts: list[str]) -> set[Chunk]:
        chunks = chunk_document(_markdown("".join(texts)), _LIMITS[0], _characters)
        return {chunk for chunk in chunks if chunk.id.split("~")[0] != own}

    assert others(before) == others(after)
    assert other


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["他说：“可以。”", "运费八元！", "怎么办？", "先付款，再发货；", "请保留包装。"]),
        min_size=1,
        max_size=60,
    )
)
def test_chinese_ends_at_its_sentence_ends(sentences: list[str]) -> None:
    chunks = chunk_document(_markdown("".join(sentences)), _LIMITS[0], _characters)
    assert all(re.search("[。！？；]”?$", chunk.text) for chunk in chunks)
    assert "".join(chunk.text for chunk in chunks) == "".join(sentences)


def test_where_a_section_is_cut_its_last_sentence_is_said_again() -> None:
    limits = ChunkLimits(target=30, maximum=40, overlap=12)
    text = "## 退款\n\n" + "".join(f"第{n}条规则写在这里。" for n in range(9)) + "\n\n## 发票\n\n开票。"
    refunds = [chunk.text for chunk in chunk_document(_markdown(text), limits, _characters)]
    for before, after in pairwise(refunds[:-1]):
        assert after.startswith(re.split("(?<=。)", before)[-2])
    assert refunds[-1] == "开票。"  # another section: nothing of the one before
    assert max(map(len, refunds)) <= 40


def test_a_small_model_gets_small_passages() -> None:
    assert ChunkLimits.within(512) == ChunkLimits.within(8192) == ChunkLimits()
    small = ChunkLimits.within(128)
    assert (small.target, small.maximum) == (53, 85)


def test_each_paragraph_is_measured_once() -> None:
    measured: list[str] = []

    def measure(texts: Sequence[str]) -> list[int]:
        measured.extend(text for text in texts if text)
        return _characters(texts)

    paragraphs = [f"第{n}段说一件事。" for n in range(200)]
    chunk_document(_markdown("\n\n".join(paragraphs)), ChunkLimits(target=50, maximum=ROOM), measure)
    assert sorted(measured) == sorted(paragraphs)
