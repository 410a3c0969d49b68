"""Passages that repeat a better one are left out; answers that differ in a word stay two."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from knowledge import table_indexes
from knowledge.chunking import chunk_document
from knowledge.config import KnowledgeConfig
from knowledge.documents.files import read_sources
from knowledge.duplicates import distinct
from knowledge.samples import SAMPLE_SOURCES
from knowledge.service import open_knowledge
from knowledge.values import Hit
from tests.knowledge.hashing import HashingEmbedder

Write = Callable[..., Path]


def hit(text: str, title: str = "Returns › Refunds", *, question: str | None = None) -> Hit:
    return Hit(
        id=text,
        document="d",
        collection="default",
        title=question or title,
        text=text,
        question=question,
        answer=text if question else None,
        url="",
        tags=(),
        score=0.0,
        dense=0.0,
        lexical=0.0,
    )


def row(question: str, answer: str) -> Hit:
    return hit(answer, question=question)


POLICY = "Refunds take 7 days. They go to the card that was charged. Fees are not refunded."
ZH_POLICY = "退款会在7天内到账。款项退回原支付账户，手续费不退。"

SAME = {
    "the same": (hit(POLICY), hit(POLICY)),
    "case, punctuation, blanks": (
        hit(POLICY),
        hit("refunds take  7 days;\nThey go to the card that was charged - fees are NOT refunded"),
    ),
    "markup": (
        hit(POLICY),
        hit("- **Refunds** take 7 days.\n- They go to the card that was charged.\n- Fees are _not_ refunded."),
    ),
    "words that carry nothing": (
        hit(POLICY),
        hit("Refunds will usually take 7 days. They go to card that was charged. The fees are not refunded."),
    ),
    "full width, polite": (hit(ZH_POLICY), hit("退款将在 ７ 天内到账，款项退回您原支付账户，手续费不退！")),
    "in another document": (hit(ZH_POLICY, "退货政策 › 退款"), hit(ZH_POLICY, "帮助中心 › 常见问题 › 退款")),
    "another wording of the question": (
        row("退款多久到账？", ZH_POLICY),
        row("请问退款要多久才能到账呢", ZH_POLICY.replace("会", "")),
    ),
    "a part of it": (hit(POLICY + " Ask us if in doubt."), hit(POLICY)),
    "some sentences of it": (hit(POLICY), hit("They go to the card that was charged. Fees are not refunded.")),
}

OTHER = {
    "another number": (hit(POLICY), hit(POLICY.replace("7", "30"))),
    "another number, zh": (hit(ZH_POLICY), hit(ZH_POLICY.replace("7", "30"))),
    "a number in words": (hit("退款七天内到账"), hit("退款三十天内到账")),
    "a decimal": (hit("The parcel may weigh 1.5 kg"), hit("The parcel may weigh 15 kg")),
    "two numbers and one": (hit("Choose 1 5 or 9"), hit("Choose 15 or 9")),
    "a sign": (hit("Works down to -5 °C"), hit("Works down to 5 °C")),
    "a share": (hit("The deposit is 5 % of it"), hit("The deposit is 5 ¥ of it")),
    "below and above": (hit("Free for orders < 99"), hit("Free for orders > 99")),
    "a mark in a table": (hit("| Express | ✓ |"), hit("| Express | ✗ |")),
    "no": (hit(POLICY), hit(POLICY.replace("are not", "are"))),
    "no, zh": (hit(ZH_POLICY), hit(ZH_POLICY.replace("手续费不退", "手续费退"))),
    "who does it": (hit("The buyer pays the seller"), hit("The seller pays the buyer")),
    "one place and the next": (hit("北京的订单两天送达，偏远地区除外"), hit("上海的订单两天送达，偏远地区除外")),
    "a condition": (
        hit("Refunds are possible for members within 7 days"),
        hit("Refunds are possible for members within 7 days of delivery"),
    ),
    "an exception": (
        hit("Returns are free of charge for all. "),
        hit("Returns are free of charge for all. Except food."),
    ),
    "a short answer to another question": (
        row("鞋子可以退吗", "可以，七天内。"),
        row("食品可以退吗", "可以，七天内。"),
    ),
    "one product and the next": (row("Is the X100 waterproof?", POLICY), row("Is the X200 waterproof?", POLICY)),
    "one product and the next, in few words": (
        hit("Two years.", "Warranty › X100 › Duration"),
        hit("Two years.", "Warranty › X200 › Duration"),
    ),
    "yes in a longer text": (
        row("Can shoes be returned?", "Yes. Within 7 days. Worn ones are refused."),
        row("Can shoes be sold?", "Yes."),
    ),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_what_repeats_a_better_one_is_left_out(pair: tuple[Hit, Hit]) -> None:
    assert distinct(pair, 5) == pair[:1]


@pytest.mark.parametrize("pair", OTHER.values(), ids=OTHER)
def test_answers_that_differ_stay_two(pair: tuple[Hit, Hit]) -> None:
    assert distinct(pair, 5) == pair
    assert distinct(pair[::-1], 5) in (pair[::-1], pair[1:])  # the longer one may say it all


def test_no_more_is_looked_at_than_is_needed() -> None:
    def ranked() -> Iterator[Hit]:
        yield hit("one")
        yield hit("ONE")
        yield hit("two")
        raise AssertionError("asked for a fourth")

    assert [found.text for found in distinct(ranked(), 2)] == ["one", "two"]
    assert distinct(iter([]), 3) == distinct([hit("one")], 0) == ()


def test_nothing_of_the_sample_knowledge_is_taken_for_something_else() -> None:
    passages = [
        hit(chunk.text, chunk.title, question=chunk.question)
        for paths in SAMPLE_SOURCES.values()
        for document in read_sources(list(paths)).documents
        for chunk in chunk_document(document)
    ]
    assert len(distinct(passages, 1000)) == len(passages) > 200
    chance = random.Random(4)
    with_numbers = [passage for passage in passages if re.search(r"\d", passage.text)]
    for passage in with_numbers:
        figure = chance.choice(re.findall(r"\d+", passage.text))
        other = re.sub(rf"(?<!\d){figure}(?!\d)", str(int(figure) + chance.choice([1, 10, 23])), passage.text, count=1)
        assert len(distinct([passage, hit(other, passage.title, question=passage.question)], 2)) == 2


@pytest.mark.parametrize("kept", ["memory", "disk"])
async def test_other_passages_fill_the_places(
    config: KnowledgeConfig, write: Write, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    if kept == "disk":
        monkeypatch.setattr(table_indexes, "MAX_PASSAGES_IN_MEMORY", 1)
    old = [{"id": n, "question": "退款多久到账？", "answer": ZH_POLICY + "！" * n} for n in range(8)]
    old += [{"id": "other", "question": "退款多久到账？", "answer": ZH_POLICY.replace("7", "30")}]
    async with open_knowledge(config, embedder=HashingEmbedder()) as knowledge:
        await knowledge.sync([write("old.jsonl", old)], collection="old")
        new = [
            {"id": 1, "question": "退款多久到账", "answer": ZH_POLICY},
            {"id": 2, "question": "运费", "answer": "包邮"},
        ]
        await knowledge.sync([write("new.jsonl", new)], collection="new")
        hits = await knowledge.retriever.search("退款多久到账", collections=["old", "new"], top_k=3)
        again = await knowledge.retriever.search("退款多久到账 ", collections=["new", "old"], top_k=3)
    assert len(hits) == 3
    assert [found.text[:12].count("7") for found in hits] == [1, 0, 0]
    assert {found.document for found in hits} >= {"old.jsonl#other", "new.jsonl#2"}
    assert hits == again
