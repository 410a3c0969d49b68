"""Whether a passage's chance means what it says, on labelled questions that nothing was fitted on (split "report")."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.dialogue.evidence import COEFFICIENTS, FEATURES, GENERIC, Evidence, features
from bot.dialogue.fit import main as fit
from bot.dialogue.labelled import figures, read_questions
from bot.dialogue.regression import fitted
from bot.errors import SettingsError
from bot.messages import Passage
from bot.retrieval import Retrieval
from tests.dialogue.samples import DATA, EMBEDDER, EVERYDAY


async def test_answers_and_refusals_by_chance(knowledge: Retrieval) -> None:
    evidence = await asyncio.to_thread(Evidence.load, EMBEDDER)
    labelled = await asyncio.to_thread(read_questions, DATA / "questions.jsonl")
    questions = [question for question in labelled if question.split == "report"]
    found = [await knowledge.search(q.question, collections=[q.collection], limit=5) for q in questions]
    chances = [evidence.chances(q.question, passages) for q, passages in zip(questions, found, strict=True)]
    measured = figures(questions, found, chances)
    print(measured)
    assert measured.first_right >= 0.62
    assert measured.answered_right >= 0.42
    assert measured.answered_wrong <= 0.12
    assert measured.refusal_recall >= 0.7
    assert measured.answers_right >= 0.66
    assert measured.ece <= 0.12


async def test_what_no_shop_answers_is_refused(knowledge: Retrieval) -> None:
    evidence = await asyncio.to_thread(Evidence.load, EMBEDDER)
    labelled = await asyncio.to_thread(read_questions, EVERYDAY)
    asked = [question.question for question in labelled if question.split == "report"]
    found = [await knowledge.search(question, collections=["default"], limit=5) for question in asked]
    answered = [
        question
        for question, passages in zip(asked, found, strict=True)
        if max(evidence.chances(question, passages), default=0.0) >= 0.5
    ]
    print(f"{len(answered)} of {len(asked)} answered: {answered}")
    assert len(asked) > 40 and len(answered) <= 2


@pytest.mark.parametrize("embedder", [EMBEDDER, "use-multilingual", "some/unknown-model"])
def test_every_embedder_has_coefficients(embedder: str) -> None:
    evidence = Evidence.load(embedder)
    assert set(evidence.regression.names) <= set(FEATURES)
    stored = json.loads(COEFFICIENTS.read_text(encoding="utf-8"))
    assert ("dense" in evidence.regression.names) == (embedder in stored)
    assert all("fitted_on" in one and "report" in one for one in stored.values()) and GENERIC in stored


def passage(text: str, *, question: str = "", dense: float = 0.85, id: str = "faq.csv#1") -> Passage:  # noqa: A002
    return Passage(
        id=id,
        document=id,
        collection="default",
        title=question or "t",
        text=text,
        question=question,
        dense=dense,
        score=dense,
    )


def test_a_clear_hit_has_a_high_chance_and_a_stray_one_a_low() -> None:
    evidence = Evidence.load(EMBEDDER)
    others = [passage(f"别的内容{n}。", question=f"别的问题{n}？", dense=0.80, id=f"faq.csv#{n}") for n in range(2, 6)]
    right = passage("运费 8 元，满 99 元包邮。", question="运费怎么算？", dense=0.93)
    chances = evidence.chances("运费怎么算", [right, *others])
    assert chances[0] > 0.8 and max(chances[1:]) < 0.2


def test_passages_without_cosines_are_weighed_by_their_words() -> None:
    """While the index is made anew: with a cosine of 0 taken at its word, nothing would ever be answered."""
    evidence = Evidence.load(EMBEDDER)
    assert evidence.by_words is not None and "dense" in evidence.by_words.names

    def found(score: float, question: str) -> Passage:
        return Passage(
            id=question,
            document=question,
            collection="default",
            title=question,
            question=question,
            text="三个工作日内到账。",
            score=score,
            lexical=score,
        )

    asked = "退款多久到账"
    right, *others = evidence.chances(
        asked, [found(0.95, "退款多久到账？"), found(0.1, "怎么开发票？"), found(0.05, "运费？")]
    )
    assert right > 0.5 > max(others)


def test_a_passage_without_the_kind_of_thing_asked_for_counts_less() -> None:
    column = FEATURES.index("asked_kind")
    rows = features("退款多久到账", [passage("退款 3 个工作日到账。"), passage("退款退到原账户。", id="faq.csv#2")])
    assert rows[:, column].tolist() == [1.0, -1.0]


@given(st.text(max_size=80), st.lists(st.text(max_size=80), max_size=4))
def test_chances_are_chances_whatever_the_words(question: str, texts: list[str]) -> None:
    evidence = Evidence.load(EMBEDDER)
    chances = evidence.chances(question, [passage(text, id=str(at)) for at, text in enumerate(texts)])
    assert len(chances) == len(texts)
    assert all(0.0 <= chance <= 1.0 for chance in chances)


def test_fitting_finds_what_decides() -> None:
    random = np.random.default_rng(7)
    rows = random.normal(size=(400, len(FEATURES)))
    answers = (rows[:, 0] > 0).astype(float)
    evidence = fitted(rows, answers, FEATURES)
    assert int(np.argmax(np.abs(evidence.weights))) == 0 and evidence.weights[0] > 0


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("{", id="no JSON"),
        pytest.param("[]", id="no table"),
        pytest.param('{"generic": {"features": ["dense"]}}', id="parts missing"),
        pytest.param(
            '{"generic": {"features": ["odd"], "mean": [0], "scale": [1], "weights": [1], "bias": 0}}',
            id="unknown feature",
        ),
    ],
)
def test_a_mistake_in_the_coefficients_is_one_clear_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "evidence.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"evidence\.json"):
        Evidence.load(EMBEDDER, path)


def test_the_fitting_command_writes_what_the_dialogue_loads(tmp_path: Path) -> None:
    lines = (DATA / "questions.jsonl").read_text(encoding="utf-8").splitlines()[:60]
    few = tmp_path / "few.jsonl"
    few.write_text("\n".join(lines), encoding="utf-8")
    out = tmp_path / "evidence.json"
    arguments = ["--knowledge", "tests.dialogue.samples:opened", "--embedder", EMBEDDER, "--out", str(out), str(few)]
    assert fit(arguments) == 0
    assert Evidence.load(EMBEDDER, out).regression.names == FEATURES
    assert Evidence.load("unknown", out).regression.names != FEATURES


def test_a_line_that_is_no_labelled_question_is_named(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('{"question": "怎么退货", "expect": "answer"}\n{"question": 3}\n', encoding="utf-8")
    with pytest.raises(SettingsError, match=r"questions\.jsonl:2"):
        read_questions(path)
