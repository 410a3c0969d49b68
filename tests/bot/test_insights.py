"""Grouping what was asked in vain, drafts from agents' answers, and what counts as solved."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from bot.cli.insights_pages import overview, overview_json
from bot.history.unsolved import Unsolved
from bot.insights import MAX_QUESTIONS, clusters, draft, group, solved, wordings
from bot.messages import Outcome
from bot.replaying import Replayed
from knowledge.documents.text import markdown_document

START = datetime(2026, 1, 1, tzinfo=UTC)
BASE = Unsolved(
    turn="t0", person="web:a", question="", collections=("default",), reasons=frozenset({"refused"}), at=START
)


def asked(number: int, question: str, person: str = "web:a", **other: object) -> Unsolved:
    at = START + timedelta(minutes=number)
    return replace(BASE, turn=f"t{number}", question=question, person=person, at=at, **other)  # type: ignore[arg-type]


BIKES = [asked(1, "卖自行车吗"), asked(2, "有自行车吗？", "web:b"), asked(3, "卖自行车吗？", "web:c")]
INVOICE = asked(0, "能开发票吗", reasons=frozenset({"down", "person"}), collections=("default", "internal"))
# Bikes to the right, invoices upwards; all far from the origin, as e5 has it.
VECTORS = np.array([[10.0, 11.0], [11.0, 10.1], [11.0, 9.9]], dtype=np.float32)
MIDDLE = np.array([10.0, 10.0])


def test_questions_of_one_meaning_are_one_group_the_most_frequent_first() -> None:
    everything = [INVOICE, *BIKES]
    assert wordings(everything) == ["能开发票吗", "卖自行车吗", "有自行车吗？"]  # marks make no other wording
    bikes, invoice = group(everything, VECTORS, MIDDLE)
    assert (len(bikes.asked), bikes.people, bikes.wordings) == (3, 3, ("卖自行车吗", "有自行车吗？"))
    assert bikes.reasons == {"refused": 3, "down": 0, "person": 0}
    assert (invoice.question, invoice.collections) == ("能开发票吗", ("default", "internal"))
    assert invoice.reasons == {"refused": 0, "down": 1, "person": 1}


def test_a_groups_id_stays_while_more_is_asked() -> None:
    before = {one.id for one in group([INVOICE, BIKES[0]], VECTORS[:2], MIDDLE)}
    after = {one.id for one in group([INVOICE, *BIKES], VECTORS, MIDDLE)}
    assert before == after and len(after) == 2


def test_no_question_no_group() -> None:
    assert group([], np.zeros((0, 2), dtype=np.float32), MIDDLE) == ()


def test_a_chain_is_not_one_group() -> None:
    """Each is near the next, the ends are not near each other."""
    turn = np.radians(np.arange(0, 180, 30))
    points = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    found = clusters(points @ points.T, 0.6)
    assert len(found) > 1
    for members in found:
        assert (points[members] @ points[members].T).min() > 0


def test_clusters_are_those_of_the_plain_algorithm() -> None:
    chance = np.random.default_rng(5)
    points = chance.normal(size=(60, 4))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    cosines = np.round(points @ points.T, 4)
    expected = [[at] for at in range(60)]
    while True:
        pairs = [
            (float(cosines[np.ix_(a, b)].mean()), i, j)
            for i, a in enumerate(expected)
            for j, b in enumerate(expected)
            if i < j
        ]
        best, i, j = max(pairs, key=lambda pair: pair[0])
        if best < 0.6:
            break
        expected[i] = sorted(expected[i] + expected.pop(j))
    assert clusters(cosines, 0.6) == sorted(expected)


def test_as_many_questions_as_are_looked_at_take_seconds() -> None:
    chance = np.random.default_rng(6)
    points = chance.normal(size=(MAX_QUESTIONS, 24))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    started = time.monotonic()
    found = clusters(np.round(points @ points.T, 4), 0.3)
    assert time.monotonic() - started < 20
    assert sum(map(len, found)) == MAX_QUESTIONS and len(found) < MAX_QUESTIONS


@pytest.mark.parametrize(
    ("before", "outcome", "now", "expected"),
    [
        pytest.param("", Outcome.ANSWERED, "满 99 元包邮。", True, id="refused, now answered"),
        pytest.param("", Outcome.REFUSED, "抱歉", False, id="still refused"),
        pytest.param("满 99 元包邮。", Outcome.ANSWERED, "满99元包邮", False, id="the same answer"),
        pytest.param("满 99 元包邮。", Outcome.ANSWERED, "满 59 元包邮。", True, id="another answer"),
        pytest.param("", Outcome.HANDOFF, "好的", False, id="handed over"),
    ],
)
def test_solved_is_another_answer(before: str, outcome: Outcome, now: str, expected: bool) -> None:
    assert solved(replace(BASE, question="运费", answer=before), outcome, now) is expected


def test_a_draft_is_a_document_that_sync_reads() -> None:
    replies = ["请稍等", "我们不卖自行车，\n详情请打 13812345678。", "不客气"]
    found = draft("卖自行车吗？\n我是 13912345678", ["有自行车吗"], replies)
    assert found.others == ("请稍等", "不客气") and found.masked
    text = found.markdown({"ticket": "TICKET-1", "status": "draft"})
    document = markdown_document("bikes.md", text)
    assert document is not None
    assert document.title == "卖自行车吗？ 我是 139****5678"
    assert document.text.splitlines() == [
        "# 卖自行车吗？ 我是 139****5678",
        "",
        "我们不卖自行车，",
        "详情请打 138****5678。",
    ]
    assert "TICKET-1" in text and "also asked 1: 有自行车吗" in text
    assert not draft("q", [], ["a"]).masked
    with pytest.raises(ValueError, match="needs an answer"):
        draft("q", [], [])


@pytest.mark.parametrize(
    ("outcomes", "line"),
    [
        ({"t1": True, "t2": False, "t3": True}, "asked again in version 13: 2 of 3 solved"),
        ({"t1": True, "t2": True, "t3": None}, "asked again in version 13: solved"),
        ({"t1": False}, "asked again in version 13: not solved yet"),
        ({"t1": None, "t9": True}, ""),
    ],
)
def test_what_the_bot_found_when_it_asked_again_stands_under_the_group(
    outcomes: dict[str, bool | None], line: str
) -> None:
    near = np.array([[11.0, 10.0], [11.0, 10.1], [11.0, 9.9]], dtype=np.float32)
    groups = group(BIKES, near[: len(wordings(BIKES))], MIDDLE)
    replayed = Replayed(version=13, solved=outcomes)
    told = [one.strip() for one in overview(START, groups, [()] * len(groups), replayed, 9, left_out=False)]
    assert [one for one in told if one.startswith("asked again")] == ([line] if line else [])
    (shown,) = overview_json(START, groups, [()] * len(groups), replayed, total=1)["groups"]
    assert (shown["replayed"] is None) == (not line)
