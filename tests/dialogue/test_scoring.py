"""The figures of an evaluation, on made-up results whose figures can be worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.dialogue.labelled import Expect, LabelledQuestion, NotLabelled, parse_line
from bot.dialogue.scoring import Asked, holds, score
from bot.messages import Language, Outcome

FEE = frozenset({"faq.csv#fee"})


def asked(
    expect: Expect,
    outcome: Outcome | None,
    *,
    sources: frozenset[str] = FEE,
    text: str = "运费 8 元",
    confidence: float = 0.9,
    latency_ms: float = 10.0,
    language: Language = "zh",
    words: tuple[str, ...] = ("8",),
) -> Asked:
    labelled = LabelledQuestion(
        question="运费多少",
        expect=expect,
        documents=FEE if expect == "answer" else frozenset(),
        words=words if expect == "answer" else (),
        language=language,
    )
    return Asked(
        question=labelled, outcome=outcome, text=text, sources=sources, confidence=confidence, latency_ms=latency_ms
    )


RUN = [
    asked("answer", Outcome.ANSWERED),
    asked("answer", Outcome.ANSWERED, language="en", latency_ms=30.0),
    asked("answer", Outcome.ANSWERED, sources=frozenset({"faq.csv#other"})),
    asked("answer", Outcome.ANSWERED, text="运费 18 元"),
    asked("answer", Outcome.REFUSED, sources=frozenset(), confidence=0.3),
    asked("answer", Outcome.HANDOFF),
    asked("answer", Outcome.ERROR),
    asked("answer", None),
    asked("refuse", Outcome.REFUSED, sources=frozenset(), confidence=0.1),
    asked("refuse", Outcome.REFUSED, sources=frozenset(), confidence=0.1, language="en"),
    asked("refuse", Outcome.ANSWERED),
    asked("refuse", Outcome.CHAT),
    asked("ticket", Outcome.TICKET),
    asked("ticket", Outcome.HANDOFF, language="en"),
    asked("ticket", Outcome.REFUSED, sources=frozenset(), confidence=0.2),
]


def test_answers_are_right_wrong_or_refused() -> None:
    answers = score(RUN).answers
    assert (answers.expected, answers.right, answers.wrong, answers.refused) == (8, 0.25, 0.25, 0.125)
    assert answers.precision == 0.4


def test_refusals_and_tickets_have_recall_and_precision() -> None:
    scores = score(RUN)
    assert (scores.refusals.expected, scores.refusals.recall, scores.refusals.precision) == (4, 0.5, 0.5)
    assert (scores.tickets.expected, scores.tickets.recall, scores.tickets.precision) == (3, 0.6667, 0.6667)


def test_the_confusion_counts_every_question_once() -> None:
    assert score(RUN).confusion == {
        "answer": {"answer": 4, "refuse": 1, "ticket": 1, "other": 2},
        "refuse": {"answer": 1, "refuse": 2, "ticket": 0, "other": 1},
        "ticket": {"answer": 0, "refuse": 1, "ticket": 2, "other": 0},
    }


def test_the_calibration_error_weighs_what_was_answered_or_refused() -> None:
    # Five answers at .9, two of them right: .5 apart. Refusals at .1 (two), .2 and .3, none right.
    assert score(RUN).calibration_error == pytest.approx((5 * 0.5 + 2 * 0.1 + 0.2 + 0.3) / 9, abs=1e-4)


def test_a_confidence_that_keeps_its_word_has_no_error() -> None:
    run = [asked("answer", Outcome.ANSWERED, confidence=0.75) for _ in range(3)]
    run.append(asked("answer", Outcome.ANSWERED, text="", confidence=0.75))
    assert score(run).calibration_error == 0.0


def test_each_language_has_its_own_figures() -> None:
    languages = score(RUN).languages
    assert languages["zh"].questions == 12 and languages["en"].questions == 3
    assert (languages["en"].right, languages["en"].refusals, languages["en"].tickets) == (1.0, 1.0, 1.0)
    assert languages["zh"].right == pytest.approx(1 / 7, abs=1e-4)


def test_latency_is_that_of_the_replies_that_came() -> None:
    latency = score([*RUN, asked("answer", None, latency_ms=9e9)]).latency_ms
    assert latency.median == 10.0
    assert latency.p95 is not None and 10.0 < latency.p95 <= 30.0


def test_nothing_asked_has_no_shares() -> None:
    scores = score([])
    assert scores.questions == 0 and scores.languages == {}
    assert scores.answers.right is scores.refusals.recall is scores.tickets.precision is scores.latency_ms.p95 is None


def test_without_documents_and_words_any_answer_is_right() -> None:
    labelled = LabelledQuestion(question="运费多少", expect="answer")
    assert Asked(question=labelled, outcome=Outcome.ANSWERED).right
    assert not Asked(question=labelled, outcome=Outcome.REFUSED).right


@pytest.mark.parametrize(
    ("text", "words", "held"),
    [
        pytest.param("满 １９９ 元包邮", "199", True, id="width"),
        pytest.param("满 1,000 元", "1000元", True, id="digit groups and blanks"),
        pytest.param("需要 5–8 天", "5-8天", True, id="dashes"),
        pytest.param("請聯繫客服", "联系", True, id="script"),
        pytest.param("Reply within 24 Hours", "24 hours", True, id="case"),
        pytest.param("收 18 元", "8", False, id="the end of a figure"),
        pytest.param("收 85 元", "8", False, id="the beginning of a figure"),
        pytest.param("收 8.5 元", "8", False, id="a decimal's whole part"),
        pytest.param("收 1.8 元", "8", False, id="a decimal's fraction"),
        pytest.param("一共 8。", "8", True, id="the end of a sentence"),
        pytest.param("1 公斤 90 40", "9040", False, id="two figures are not one"),
        pytest.param("", "8", False, id="nothing"),
    ],
)
def test_words_are_found_as_a_reader_finds_them(text: str, words: str, held: bool) -> None:
    assert holds(text, words) is held


@given(st.text(max_size=40), st.text(max_size=40))
def test_looking_for_words_never_fails(text: str, words: str) -> None:
    assert holds(text, words) in (True, False)


def test_a_line_says_what_it_leaves_out() -> None:
    assert parse_line('{"question": "运费多少", "expect": "refuse", "note": "ours"}') == LabelledQuestion(
        question="运费多少", expect="refuse", language="zh"
    )


def test_one_document_and_one_word_may_stand_alone() -> None:
    line = json.dumps({"question": "fee?", "expect": "answer", "document": "a.md", "answer": ["8", "99"]})
    labelled = parse_line(line.encode())
    assert (labelled.documents, labelled.words, labelled.language) == (frozenset({"a.md"}), ("8", "99"), "en")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"expect": "answer"}, '"question"'),
        ({"question": " ", "expect": "answer"}, '"question"'),
        ({"question": "q", "expect": "maybe"}, '"expect"'),
        ({"question": "q", "expect": ["answer"]}, '"expect"'),
        ({"question": "q", "expect": "answer", "document": 3}, '"document"'),
        ({"question": "q", "expect": "answer", "answer": [8]}, '"answer"'),
        ({"question": "q", "expect": "answer", "collection": ""}, '"collection"'),
        ({"question": "q", "expect": "answer", "split": 1}, '"split"'),
        (["q"], "object"),
    ],
)
def test_a_line_that_is_no_labelled_question_says_why(row: Any, reason: str) -> None:
    with pytest.raises(NotLabelled, match=reason):
        parse_line(json.dumps(row))


@pytest.mark.parametrize("line", [b"{", b'{"question": "\xff"}', b"[" * 100_000], ids=["cut off", "not UTF-8", "deep"])
def test_a_line_that_is_no_json_says_so(line: bytes) -> None:
    with pytest.raises(NotLabelled, match=r"JSON|deeply"):
        parse_line(line)
