"""The judge itself: every broken promise is seen, so that a green run means something."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.core import sqlite
from tests.faults import oracle

TABLES = (
    "CREATE TABLE inbound (id INTEGER PRIMARY KEY, text TEXT, state TEXT, turn_id TEXT)",
    "CREATE TABLE deliveries (id INTEGER PRIMARY KEY, author TEXT, reply TEXT, state TEXT)",
    "CREATE TABLE tickets (subject TEXT)",
)


def _database(
    folder: Path, inbound: Sequence[str], replies: Sequence[tuple[str, str]], tickets: Sequence[str] = ()
) -> Path:
    path = folder / "judged.db"
    connection = sqlite.library().connect(str(path))
    for statement in TABLES:
        connection.execute(statement)
    connection.executemany("INSERT INTO inbound (text, state) VALUES (?, 'done')", [(text,) for text in inbound])
    rows = [(json.dumps({"text": f"{text} 完"}), state) for text, state in replies]
    connection.executemany("INSERT INTO deliveries (author, reply, state) VALUES ('bot', ?, ?)", rows)
    connection.executemany("INSERT INTO tickets VALUES (?)", [(subject,) for subject in tickets])
    connection.commit()
    connection.close()
    return path


def _said(*texts: str) -> list[dict[str, Any]]:
    return [{"text": f"{text} 完"} for text in texts]


CASES = [
    pytest.param(["T1"], [("T1", "sent")], [], ["T1"], {}, id="all is well"),
    pytest.param([], [], [], [], {"lost": ["T1"]}, id="acknowledged and not stored"),
    pytest.param(["T1"], [], [], [], {"forgotten": ["T1: no reply"]}, id="stored and not answered"),
    pytest.param(["T1"], [("T1", "waiting")], [], [], {"forgotten": ["T1: waiting"]}, id="never sent"),
    pytest.param(["T1"], [("T1", "sent")], [], [], {"silent": ["T1"]}, id="counted as sent"),
    pytest.param(["T1"], [("T1", "sent")], [], ["T1", "T1"], {}, id="one copy more"),
    pytest.param(["T1"], [("T1", "sent")], [], ["T1"] * 3, {"triple": ["T1: 3"]}, id="three times"),
    pytest.param(["T1"], [("T1", "sent")] * 2, [], ["T1"] * 2, {"answered twice": ["T1"]}, id="two answers"),
    pytest.param(["T1"], [("T1", "unknown")], [], [], {}, id="with the operators"),
    pytest.param(
        ["T1"], [("T1", "sent")], ["T1", "T1"], ["T1"], {"duplicate tickets": ["T1"]}, id="two tickets"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("inbound", "replies", "tickets", "said", "broken"), CASES)
def test_what_the_judge_sees(
    tmp_path: Path,
    inbound: list[str],
    replies: list[tuple[str, str]],
    tickets: list[str],
    said: list[str],
    broken: dict[str, list[str]],
) -> None:
    path = _database(tmp_path, inbound, replies, tickets)
    verdict = oracle.judge(path, ["T1"], _said(*said))
    assert verdict.broken == broken
    assert verdict.extra == (len(said) == 2)
    assert verdict.operators == sum(state == "unknown" for _, state in replies)


def test_a_snapshot_is_no_answer(tmp_path: Path) -> None:
    path = _database(tmp_path, ["T1"], [("T1", "sent")])
    assert oracle.judge(path, ["T1"], [{"text": "T1 so far"}]).silent == ["T1"]
