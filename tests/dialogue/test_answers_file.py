"""The labelled file of answers, refusals and tickets: what it must hold to measure anything."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator

import pytest

from bot.dialogue.intents import SHIPPED
from bot.dialogue.labelled import LabelledQuestion, parse_line
from bot.dialogue.scoring import holds
from bot.dialogue.text import bare, fold
from knowledge.documents import read_sources
from knowledge.samples import SAMPLE_SOURCES
from tests.dialogue.samples import DATA, EVERYDAY, rows

FILE = DATA / "answers.jsonl"


@pytest.fixture(scope="module")
def questions() -> list[LabelledQuestion]:
    return [parse_line(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def test_it_is_large_enough_and_in_both_languages(questions: list[LabelledQuestion]) -> None:
    kinds = Counter(question.expect for question in questions)
    assert kinds["answer"] >= 80 and kinds["refuse"] >= 40 and kinds["ticket"] >= 30
    chinese = sum(question.language == "zh" for question in questions)
    assert 0.55 <= chinese / len(questions) <= 0.65
    for language in ("zh", "en"):
        assert {question.expect for question in questions if question.language == language} == set(kinds)


def test_a_third_of_each_kind_is_held_back(questions: list[LabelledQuestion]) -> None:
    assert {question.split for question in questions} == {"tune", "held"}
    for expect in ("answer", "refuse", "ticket"):
        kind = [question for question in questions if question.expect == expect]
        assert 1 / 3 <= sum(question.split == "held" for question in kind) / len(kind) <= 0.4


def test_every_named_document_is_in_the_samples_and_holds_the_words(questions: list[LabelledQuestion]) -> None:
    texts = {
        (collection, document.id): document.text
        for collection, sources in SAMPLE_SOURCES.items()
        for document in read_sources(sources).documents
    }
    for question in questions:
        assert bool(question.documents) == (question.expect == "answer"), question.question
        named = [texts[question.collection, document] for document in question.documents]
        if named:
            assert all(any(holds(text, words) for text in named) for words in question.words), question.question


def test_nothing_in_it_was_used_to_make_the_bot(questions: list[LabelledQuestion]) -> None:
    known = {_folded(text) for text in _used()}
    copies = [question.question for question in questions if _folded(question.question) in known]
    assert copies == []
    assert len({_folded(question.question) for question in questions}) == len(questions)


def _used() -> Iterator[str]:
    """Whatever the bot's understanding and its confidence were fitted on or tuned with, and the knowledge's own
    questions."""
    for row in [*rows("questions.jsonl"), *rows(EVERYDAY)]:
        yield row["question"]
    for row in rows("intents.jsonl"):
        yield row["text"]
    for row in rows("conversations.jsonl"):
        yield from row["turns"]
    for table in tomllib.loads(SHIPPED.read_text(encoding="utf-8")).values():
        for examples in table.values():
            yield from examples
    for sources in SAMPLE_SOURCES.values():
        for document in read_sources(sources).documents:
            yield document.title


def _folded(text: str) -> str:
    return bare(text) or fold(text)
