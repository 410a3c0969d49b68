"""The table of `make eval-engines`, and one real column of it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bot.cli.figures import figures_json, ratios
from bot.dialogue.labelled import LabelledQuestion
from bot.dialogue.scoring import Asked, score
from bot.messages import Outcome
from tests.bench.answers import Candidate, Report, measure, side_by_side

ANSWER = LabelledQuestion(question="运费多少", expect="answer", language="zh")
REFUSE = LabelledQuestion(question="today's weather", expect="refuse", language="en")


def report(*asked: Asked) -> Report:
    """As `kefu eval --json` would print it."""
    scores = score(asked)
    figures = figures_json(ratios(asked, [None] * len(asked)), asked, scores)
    return json.loads(json.dumps({"figures": figures, **asdict(scores)}))  # type: ignore[no-any-return]


def test_engines_stand_side_by_side() -> None:
    careful = Asked(question=ANSWER, outcome=Outcome.REFUSED), Asked(question=REFUSE, outcome=Outcome.REFUSED)
    bold = tuple(replace(one, outcome=Outcome.ANSWERED, confidence=1.0, latency_ms=2500.0) for one in careful)
    lines = side_by_side("held", {"careful": report(*careful), "bold": report(*bold)}).splitlines()
    assert lines[:2] == ["| held, 2 questions | careful | bold |", "| --- | ---: | ---: |"]
    for row in (
        "| answered, and right | 0.0% | 100.0% |",
        "| refusals: recall | 100.0% | 0.0% |",
        "| right document among the first 5 | - | - |",
        "| zh: answered, and right | 0.0% | 100.0% |",
        "| latency, median | 0.00 s | 2.50 s |",
        "| answer became refuse | 1 | 0 |",
        "| refuse became answer | 0 | 1 |",
        "| refuse became refuse | 1 | 0 |",
    ):
        assert row in lines, row
    assert len({line.count("|") for line in lines}) == 1


def test_a_model_is_measured_by_its_own_python_and_without_a_fallback(tmp_path: Path) -> None:
    candidate = Candidate.model(tmp_path / "qwen-1.5B", Path("/engine/bin/python"))
    assert (candidate.name, candidate.python) == ("qwen-1.5B", "/engine/bin/python")
    assert candidate.settings["KEFU_MODEL__BACKEND"] == "vllm"
    assert candidate.settings["KEFU_MODEL__NAME"] == str(tmp_path / "qwen-1.5B")
    assert candidate.settings["KEFU_MODEL__FALLBACK"] == ""


def test_the_embedded_engine_is_really_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEFU_HTTP__PORT", "none")  # an operator's setting that would stop it
    found = measure(Candidate.extractive(), "held", tmp_path)
    assert found["engine"] == "extractive" and found["split"] == "held" and found["questions"] >= 50
    assert "refuse became answer" in side_by_side("held", {"extractive": found})


def test_an_engine_that_can_not_be_measured_is_named(tmp_path: Path) -> None:
    candidate = Candidate(name="odd", python=sys.executable, settings={"KEFU_MODEL__BACKEND": "odd"})
    with pytest.raises(SystemExit, match="odd, split held: kefu eval left with 2"):
        measure(candidate, "held", tmp_path)
