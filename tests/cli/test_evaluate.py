"""`kefu eval` over the whole product: the sample knowledge, the extractive engine, a small labelled file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.cli.evaluate import figure_rows
from bot.dialogue.intents import SHIPPED
from tests.cli.house import Called, Kefu

NONE = "kefu: labelled.jsonl: no labelled question"
LEAVE = "handbook_zh.csv#hr-annual-leave"
FEE = ["faq_zh.csv#shipping-fee", "faq_en.csv#shipping-fee", "shipping_rates_zh.md"]
ROWS: list[dict[str, Any]] = [
    {"question": "运费怎么算？", "expect": "answer", "document": FEE, "answer": ["99", "8"], "split": "held"},
    {"question": "满多少包邮", "expect": "answer", "document": FEE, "answer": "12345 元"},
    {"question": "How much is shipping within China?", "expect": "answer", "document": "faq_zh.csv#return-how"},
    {"question": "How do I cancel an order?", "expect": "answer", "document": "faq_en.csv#order-cancel"},
    {"question": "年假有几天？", "expect": "answer", "document": LEAVE, "collection": "internal"},
    {"question": "年假有几天？", "expect": "refuse", "split": "held"},
    {"question": "what is the capital of France", "expect": "refuse"},
    {"question": "转人工", "expect": "ticket", "split": "held"},
    {"question": "帮我建个工单", "expect": "ticket"},
    {"question": "你好", "expect": "ticket"},
]  # fmt: skip


def write(folder: Path, *lines: dict[str, Any] | bytes) -> str:
    """The lines as a file in the folder; its name."""
    content = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    (folder / "labelled.jsonl").write_bytes(content)
    return "labelled.jsonl"


@pytest.fixture(scope="module")
def knowledge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One index for all tests here; whoever comes first fills it with the samples."""
    return tmp_path_factory.mktemp("index")


@pytest.fixture
def measured(kefu: Kefu, knowledge: Path, monkeypatch: pytest.MonkeyPatch) -> Kefu:
    monkeypatch.setenv("KEFU_KNOWLEDGE__URI", str(knowledge))
    return lambda *arguments: kefu("eval", *arguments)


@pytest.fixture
def report(measured: Kefu, tmp_path: Path) -> Called:
    return measured(write(tmp_path, *ROWS), "--json")


def test_every_figure_of_a_small_file(report: Called) -> None:
    found = report.json
    assert (report.status, report.err) == (0, "")
    assert (found["file"], found["split"], found["engine"], found["questions"]) == (
        "labelled.jsonl",
        None,
        "extractive",
        10,
    )
    # Of the five with a document, the third names one that has nothing to do with the question.
    assert found["retrieval"] == {"questions": 5, "recall_1": 0.8, "recall_5": 0.8}
    assert found["answers"] == {"expected": 5, "right": 0.6, "wrong": 0.4, "refused": 0.0, "precision": 0.6}
    assert found["refusals"] == {"expected": 2, "recall": 1.0, "precision": 1.0}
    assert found["tickets"] == {"expected": 3, "recall": 0.6667, "precision": 1.0}
    assert found["confusion"]["ticket"] == {"answer": 0, "refuse": 0, "ticket": 2, "other": 1}
    assert found["languages"]["zh"]["right"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["languages"]["en"] == {"questions": 3, "right": 0.5, "refusals": 1.0, "tickets": None}
    assert 0.0 < found["calibration_error"] < 0.6
    assert 0.0 < found["latency_ms"]["median"] <= found["latency_ms"]["p95"]
    assert [(miss["line"], miss["expect"], miss["became"]) for miss in found["misses"]] == [
        (2, "answer", "answer"),
        (3, "answer", "answer"),
        (10, "ticket", "other"),
    ]


def test_nothing_of_it_reaches_the_operators_database(report: Called, tmp_path: Path) -> None:
    assert report.status == 0
    assert [path.name for path in tmp_path.iterdir()] == ["labelled.jsonl"]


def test_a_reader_gets_the_same_figures_as_a_table(measured: Kefu, tmp_path: Path) -> None:
    called = measured(write(tmp_path, *ROWS), "--misses")
    lines = called.out.splitlines()
    assert lines[0] == "labelled.jsonl: 10 questions, extractive"
    for figure in ("answered, and right", "refusals: recall", "tickets: precision", "latency, p95"):
        assert any(line.startswith(figure) for line in lines)
    assert next(line for line in lines if line.startswith("answered, and right")).endswith("60.0%")
    assert next(line for line in lines if line.startswith("ticket ")).split() == ["ticket", "0", "0", "2", "1"]
    assert lines[-1] == "labelled.jsonl:10: ticket became other (1.0): 你好"
    assert lines[-3].startswith("labelled.jsonl:2: answer became wrong answer (")


def test_a_split_is_measured_alone(measured: Kefu, tmp_path: Path) -> None:
    found = measured(write(tmp_path, *ROWS), "--split", "held", "--json").json
    assert (found["split"], found["questions"], found["misses"]) == ("held", 3, [])


def test_a_bad_line_is_named_and_the_rest_is_measured(measured: Kefu, tmp_path: Path) -> None:
    called = measured(write(tmp_path, ROWS[0], b"oops", {"question": "q", "expect": "yes"}, b"", ROWS[7]), "--json")
    assert called.status == 1
    assert called.err == (
        "kefu: labelled.jsonl:2: is not JSON in UTF-8\n"
        'kefu: labelled.jsonl:3: "expect" must be "answer", "refuse" or "ticket"\n'
    )
    assert called.json["questions"] == 2


@pytest.mark.parametrize(
    ("lines", "options", "last"),
    [
        pytest.param([b"oops"], [], NONE, id="none good"),
        pytest.param([], [], NONE, id="empty"),
        pytest.param(ROWS[:1], ["--split", "x"], f"{NONE} of the split 'x'", id="split"),
    ],
)  # fmt: skip
def test_a_file_without_a_usable_line_is_for_the_operator(
    measured: Kefu, tmp_path: Path, lines: list[Any], options: list[str], last: str
) -> None:
    called = measured(write(tmp_path, *lines), *options)
    assert (called.status, called.out) == (2, "")
    assert called.err.splitlines()[-1] == last


def test_a_collection_that_is_not_there_is_named_before_anything_is_asked(measured: Kefu, tmp_path: Path) -> None:
    called = measured(write(tmp_path, {**ROWS[0], "collection": "staff"}))
    assert (called.status, called.out, called.err) == (1, "", "kefu: there is no collection 'staff'\n")


def test_the_operators_own_examples_count(measured: Kefu, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    examples = SHIPPED.read_text("utf-8").replace("[wants_ticket]\nzh = [", '[wants_ticket]\nzh = [\n    "芝麻开门",')
    (tmp_path / "data" / "intents.toml").write_text(examples, "utf-8")
    found = measured(write(tmp_path, {"question": "芝麻开门", "expect": "ticket"}), "--json").json
    assert found["tickets"]["recall"] == 1.0
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["intents.toml"]


def test_a_report_without_answers_has_rows_all_the_same(measured: Kefu, tmp_path: Path) -> None:
    found = measured(write(tmp_path, ROWS[7]), "--json").json
    assert ("answered, and right", "-") in figure_rows(found)
