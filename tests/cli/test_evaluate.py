"""`kefu eval` over the whole product: the sample knowledge, the extractive engine, a small labelled file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.cli.evaluation_tables import figure_rows, page
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
    searched = found["retrieval"]
    assert (searched["questions"], searched["recall_1"], searched["recall_5"], searched["mrr"]) == (5, 0.8, 0.8, 0.8)
    assert found["figures"]["recall@1"] == {"value": 0.8, "low": 0.3755, "high": 0.9638, "of": 5}
    assert found["figures"]["zh.recall@1"]["value"] == 1.0
    assert found["figures"]["ndcg@10"]["value"] == searched["ndcg_10"] < 0.8  # of the fee's three pages, some stand low
    assert found["figures"]["answers.precision"]["value"] == found["answers"]["precision"]
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
    for figure in ("recall@5", "mrr", "ndcg@10", "refusals.recall", "tickets.precision", "latency_ms.p95"):
        assert any(line.startswith(figure) for line in lines)
    right = next(line for line in lines if line.startswith("answers.right"))
    assert " ".join(right.split()) == "answers.right 60.0% 23.1 to 88.2 5 answered, and right"
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


# --- Thresholds, for a team's own CI -------------------------------------------------------------------


def test_a_figure_past_its_threshold_fails_the_command(measured: Kefu, tmp_path: Path) -> None:
    held = ["--min", "recall@1=80%", "--min", "tickets.precision=1", "--max", "latency_ms.p95=60000"]
    file = write(tmp_path, *ROWS)
    assert measured(file, *held).status == 0
    called = measured(file, *held, "--min", "answers.right=.75", "--max", "answers.wrong=.25", "--json")
    assert called.status == 1
    assert called.err == "kefu: answers.right is 0.6, below 0.75\nkefu: answers.wrong is 0.4, above 0.25\n"
    assert [one["met"] for one in called.json["thresholds"]] == [True, True, False, True, False]


def test_a_gate_that_measures_nothing_is_closed(measured: Kefu, tmp_path: Path) -> None:
    called = measured(write(tmp_path, ROWS[7]), "--min", "recall@1=0", "--max", "calibration_error=1")
    assert called.status == 1
    assert called.err.splitlines() == [
        "kefu: recall@1 could not be measured on these questions",
        "kefu: calibration_error could not be measured on these questions",
    ]


@pytest.mark.parametrize(
    ("threshold", "reason"),
    [
        pytest.param("recall@1", "is not of the form NAME=VALUE", id="no value"),
        pytest.param("recall@3=.5", "there is no figure 'recall@3'; there are recall@1, recall@5, mrr", id="unknown"),
        pytest.param("mrr=high", "mrr needs a number that is not negative", id="no number"),
        pytest.param("mrr=nan", "mrr needs a number that is not negative", id="not a number"),
        pytest.param("mrr=-1", "mrr needs a number that is not negative", id="negative"),
        pytest.param("mrr=90", "mrr is between 0 and 1; write 90% if you mean per cent", id="per cent"),
    ],
)
def test_a_wrong_threshold_is_refused_before_anything_is_asked(
    measured: Kefu, tmp_path: Path, threshold: str, reason: str
) -> None:
    called = measured(write(tmp_path, ROWS[7]), "--min", threshold)
    assert (called.status, called.out) == (2, "")
    assert reason in called.err


# --- Side by side ---------------------------------------------------------------------------------------


@pytest.fixture
def timid(tmp_path: Path) -> str:
    """A configuration that refuses whatever is not certain."""
    (tmp_path / "timid.toml").write_text("[dialogue]\nmin_confidence = 1.0\n", "utf-8")
    return "timid.toml"


def test_two_configurations_side_by_side(measured: Kefu, tmp_path: Path, timid: str) -> None:
    file = write(tmp_path, *ROWS, *({"question": f"运费怎么算{'？' * n}", "expect": "answer"} for n in range(1, 7)))
    found = measured(file, "--against", timid, "--min", "answers.right=.6", "--json")
    (other,) = found.json["against"]
    assert (found.status, found.json["config"], other["config"]) == (0, "defaults", timid)
    assert (other["answers"]["right"], other["answers"]["refused"]) == (0.0, 1.0)
    change = other["difference"]["answers.right"]
    assert change["value"] == -found.json["figures"]["answers.right"]["value"]
    assert -1.0 <= change["low"] < change["value"] < change["high"] < 0.0
    # The search is the same, question by question: there is no doubt that nothing changed.
    assert other["difference"]["recall@1"] == {"value": 0.0, "low": 0.0, "high": 0.0}

    lines = list(page(found.json, misses=False))
    assert lines[0] == "labelled.jsonl: 16 questions, 2 configurations"
    right = next(line for line in lines if line.startswith("answers.right"))
    assert right.endswith("*") and "0.0% (0.0 to 25.9)" in right
    assert f"{timid}: extractive" in lines and "defaults: extractive" in lines


def test_what_can_not_be_searched_is_named_by_its_configuration(measured: Kefu, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text('[knowledge]\nembedder = "no-such-thing"\n', "utf-8")
    called = measured(write(tmp_path, ROWS[0]), "--against", "other.toml")
    assert (called.status, called.out) == (2, "")
    assert called.err.startswith("kefu: other.toml: ") and "no-such-thing" in called.err


def test_another_configuration_that_is_wrong_is_said_before_anything_is_asked(measured: Kefu, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[dialogue]\nmin_confidense = 1.0\n", "utf-8")
    called = measured(write(tmp_path, ROWS[0]), "--against", "other.toml")
    assert (called.status, called.out) == (2, "")
    assert "min_confidense" in called.err
