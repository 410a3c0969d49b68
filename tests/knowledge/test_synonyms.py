"""Words of customers for those of the knowledge: what the file may say, what it changes, and how it is followed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from knowledge.config import KnowledgeConfig
from knowledge.errors import SynonymsError
from knowledge.service import Knowledge, open_knowledge
from knowledge.synonym_file import check_synonyms
from knowledge.synonyms import NOTHING, parse
from tests.knowledge.hashing import HashingEmbedder

Write = Callable[..., Path]

FILE = """\ufeff# 客户怎么说，资料里怎么写
退货, 退回去，寄回 、 return it
优惠券, 两张券, 代金券   # 门店也叫红包

iPhone 15 Pro Max, 15PM, 苹果15大
coupon, voucher, promo code
C#, c sharp
"""


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("鞋子能退回去吗", "鞋子能退货吗"),
        ("15pm多少钱", "iPhone 15 Pro Max多少钱"),
        ("１５ＰＭ 多少钱", "iPhone 15 Pro Max 多少钱"),
        ("the 15PM, please", "the iPhone 15 Pro Max, please"),
        ("my Vouchers expired", "my coupon expired"),
        ("a promo code and a voucher", "a coupon and a coupon"),
        ("用c sharp写的", "用C#写的"),
        ("能 return it 吗", "能 退货 吗"),
        ("用代金券", "用优惠券"),
        ("代金券代金券", "优惠券优惠券"),
        ("İ 15PM", "İ 15PM"),
    ],
)
def test_a_question_is_put_in_the_knowledges_own_words(question: str, expected: str) -> None:
    synonyms, problems = parse(FILE.encode(), "words.txt")
    assert (problems, synonyms.groups) == ((), 5)
    assert synonyms.rewritten(question) == expected


@pytest.mark.parametrize(
    "question",
    [
        "怎么退货",
        "优惠券怎么用",
        "three coupons",
        "115PM",
        "15PMx of it",
        "vouchersafe",
        "ｆｕｌｌ ｗｉｄｔｈ",
        "",
        "?.*(",
    ],
)
def test_a_question_that_holds_none_of_the_others_stays_as_it_is(question: str) -> None:
    synonyms, _ = parse(FILE.encode(), "words.txt")
    assert synonyms.rewritten(question) == question
    assert NOTHING.rewritten(question) == question


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("退货, 退回去\n退款\n", "words.txt:2: '退款' stands alone"),
        ("退货, , 退回去\n", "words.txt:1: has a comma with no word beside it"),
        ("退货, 退回去\n\n换货, 退回去\n", "words.txt:3: '退回去' is in line 1 already"),
        ("退货, 退回去, 退回去\n", "words.txt:1: '退回去' is there twice"),
        ("coupon, VOUCHER\nrebate, voucher\n", "words.txt:2: 'voucher' is in line 1 already"),
        ("维修, 修\n", "words.txt:1: '修' is one character"),
        ("退货, ——\n", "words.txt:1: '——' has no letter"),
        (f"退货, {'退' * 65}\n", "words.txt:1: a word is longer than 64 letters"),
        ("退货, 退回去\n换货, 换一个".encode("gbk"), "words.txt:1: is not UTF-8"),
        (b"x" * 1_048_577, "words.txt: is larger than 1 MB"),
    ],
)
def test_a_mistake_is_named_with_its_line(content: str | bytes, says: str) -> None:
    synonyms, (problem,) = parse(content.encode() if isinstance(content, str) else content, "words.txt")
    assert synonyms is NOTHING
    assert str(problem).startswith(says)


def test_the_digest_is_of_what_is_said() -> None:
    one, two, three = (
        parse(text.encode(), "f")[0].digest for text in ("a1, b1\nc1, d1\n", "# x\nc1, d1\n\na1,b1", "a1, b1\nc1, d2")
    )
    assert one == two != three
    assert parse(b"# nothing\n", "f") == (NOTHING, ())


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "mistaken"])
def test_the_doctors_look_names_what_is_wrong(tmp_path: Path, write: Write, kind: str) -> None:
    path = tmp_path / "words.txt"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "mistaken":
        write("words.txt", "a1\nb1\n")
    with pytest.raises(SynonymsError, match=r"knowledge.synonyms: .*words.txt") as raised:
        check_synonyms(path)
    assert "\n" not in str(raised.value)
    if kind == "mistaken":
        assert ":1:" in str(raised.value)
        assert ":2:" in str(raised.value)


ROWS = [
    {"id": "return", "question": "怎么退货？", "answer": "七天内申请。"},
    {"id": "send", "question": "怎么寄回旧手机？", "answer": "用顺丰。"},
    {"id": "coupon", "question": "优惠券怎么用？", "answer": "下单时选。"},
]


@pytest.fixture
async def shop(config: KnowledgeConfig, embedder: HashingEmbedder, write: Write) -> AsyncIterator[Knowledge]:
    words = write("words.txt", "退货, 送还\n")
    async with open_knowledge(replace(config, synonyms=words), embedder=embedder) as knowledge:
        knowledge.retriever._interval = 0.0
        await knowledge.sync([write("faq.jsonl", ROWS)])
        embedder.queries.clear()
        yield knowledge


async def test_both_halves_are_asked_in_the_knowledges_words(shop: Knowledge, embedder: HashingEmbedder) -> None:
    (hit, *_) = await shop.retriever.search("想送还，怎么办")
    assert (hit.id, hit.lexical) == ("faq.jsonl#return", 1.0)
    # Both wordings, and the raw cosine is the mean of theirs.
    assert sorted(embedder.queries) == ["想退货，怎么办", "想送还，怎么办"]
    both = embedder.embed(["想送还，怎么办", "想退货，怎么办"], "query").mean(axis=0)
    title, whole = embedder.embed(["怎么退货？", "怎么退货？\n七天内申请。"], "passage")
    mixed = title / 3 + 2 * whole / 3
    assert hit.dense == pytest.approx(float(both @ mixed / np.linalg.norm(mixed)), abs=1e-5)
    embedder.queries.clear()
    await shop.retriever.search("怎么退货")
    assert embedder.queries == ["怎么退货"], "what needs no other words is embedded once"


async def test_the_file_is_followed_and_a_mistake_changes_nothing(
    shop: Knowledge, write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    retriever = shop.retriever

    async def found(text: str) -> str:
        return (await retriever.search(text))[0].id.partition("#")[2]

    async def read_again(before: str) -> None:
        async with asyncio.timeout(5):
            while retriever._synonyms.current.digest == before:
                await retriever.search("nothing of it")
                await asyncio.sleep(0.01)

    assert (await retriever.search("送还"))[0].lexical == 1.0
    assert (await retriever.search("红包"))[0].lexical == 0.0
    write("words.txt", "退货, 送还\n优惠券, 红包\n")
    await read_again(retriever._synonyms.current.digest)
    # The same question, remembered from before the change.
    assert ((await retriever.search("红包"))[0].lexical, await found("红包")) == (1.0, "coupon")
    for content in ("退货\n", "退货\n# twice the same\n", None, None):
        if content is None:
            (tmp_path / "words.txt").unlink(missing_ok=True)
        else:
            write("words.txt", content)
        await retriever._synonyms.follow()
        assert await found("红包") == "coupon"
    said = [record.reason for record in caplog.records if record.message == "synonyms were not read"]  # type: ignore[attr-defined]
    assert [reason.rpartition("words.txt")[2][:4] for reason in said] == [":1: ", ": No"], "once each"
    before = retriever._synonyms.current.digest
    write("words.txt", "优惠券, 卡券\n")
    await read_again(before)
    assert (await retriever.search("红包"))[0].lexical == 0.0


async def test_a_file_that_cannot_be_read_at_the_start_is_said_and_searching_goes_on(
    config: KnowledgeConfig, embedder: HashingEmbedder, write: Write, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    async with open_knowledge(replace(config, synonyms=tmp_path / "none.txt"), embedder=embedder) as knowledge:
        await knowledge.sync([write("faq.jsonl", ROWS)])
        assert await knowledge.retriever.search("退货")
    (said,) = [record for record in caplog.records if record.message == "synonyms were not read"]
    assert said.reason.endswith("none.txt: No such file or directory")  # type: ignore[attr-defined]


async def test_a_short_word_for_a_long_one_does_not_make_a_letter_of_a_question(
    config: KnowledgeConfig, embedder: HashingEmbedder, write: Write
) -> None:
    words = write("words.txt", f"{'长' * 60}, ab\n")
    async with open_knowledge(replace(config, synonyms=words), embedder=embedder) as knowledge:
        await knowledge.sync([write("faq.jsonl", ROWS)])
        embedder.queries.clear()
        await knowledge.retriever.search("ab " * 150)
    assert max(map(len, embedder.queries)) < 500
