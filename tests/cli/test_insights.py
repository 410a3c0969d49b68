"""`kefu insights` over the whole product: asked in vain, answered by an agent, drafted, synced, asked again."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import knowledge.service  # noqa: F401 - what it imports asks for the working folder, which must not be in an event loop
from bot.clock import SystemClock
from bot.history.database import Database
from bot.history.store import Store
from bot.history.tables import turns
from bot.telemetry import Metrics
from tests.cli.house import Called, Kefu

KNOWLEDGE = """\
id,question,answer
fee,运费怎么算？,满 99 元包邮，不满收 8 元。
refund,How long does a refund take?,Refunds arrive within 7 working days.
hours,客服几点上班？,每天 9:00 到 21:00。
"""
# Who says what, in this order.
SAID = [
    ("li", "请问卖自行车吗？我的手机 13812345678"),
    ("li", "好的"),
    ("wang", "自行车有卖吗"),
    ("chen", "卖自行车吗"),
    ("ann", "Do you repair umbrellas?"),
    ("bob", "How long does a refund take?"),
    ("bob", "I want to talk to a human"),
    ("zhao", "转人工"),
    ("zhou", "运费怎么算？"),
]
ANSWERS = ["请稍等，我查一下", "自行车从三月起在门店有售，网上暂不销售；门店电话 13900001111。", "不客气"]


def ask(kefu: Kefu, folder: Path, *said: tuple[str, str]) -> None:
    lines = [json.dumps({"id": at, "text": text, "user": user}) for at, (user, text) in enumerate(said)]
    (folder / "said.jsonl").write_text("\n".join(lines), "utf-8")
    assert kefu("chat", "--batch", "said.jsonl", "--json").status == 0


def rate_down(folder: Path, question: str) -> None:
    async def rate() -> None:
        async with Database(f"sqlite+aiosqlite:///{folder / 'data/kefu.db'}", metrics=Metrics()) as database:
            turn = await database.read(
                lambda connection: connection.execute(select(turns.c.id).where(turns.c.question == question)).scalar()
            )
            assert turn is not None
            await Store(database, SystemClock()).record_feedback(turn, "down", "", None)

    asyncio.run(rate())


@pytest.fixture
def past(kefu: Kefu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kefu:
    """A shop whose customers have asked."""
    monkeypatch.setenv("KEFU_KNOWLEDGE__URI", str(tmp_path / "index"))
    (tmp_path / "faq").mkdir()
    (tmp_path / "faq/faq.csv").write_text(KNOWLEDGE, "utf-8")
    assert kefu("knowledge", "sync", "faq").status == 0
    ask(kefu, tmp_path, *SAID)
    rate_down(tmp_path, "运费怎么算？")
    return kefu


def groups(called: Called) -> dict[str, Any]:
    assert (called.status, called.err) == (0, "")
    return {one["question"]: one for one in called.json["groups"]}


def test_from_a_refusal_to_an_answer(past: Kefu, tmp_path: Path) -> None:
    found = past("insights", "--json")
    assert (found.json["total"], found.json["left_out"]) == (5, False)
    by_question = groups(found)
    bikes = found.json["groups"][0]
    assert (bikes["questions"], bikes["people"]) == (3, 3)
    assert bikes["reasons"] == {"refused": 3, "down": 0, "person": 1}
    assert len(bikes["wordings"]) == 3 and len(bikes["tickets"]) == 1
    assert by_question["How long does a refund take?"]["reasons"] == {"refused": 0, "down": 0, "person": 1}
    assert by_question["How long does a refund take?"]["nearest"][0]["document"] == "faq.csv#refund"
    assert by_question["运费怎么算？"]["reasons"] == {"refused": 0, "down": 1, "person": 0}
    assert "13812345678" not in found.out and "138****5678" in found.out

    read = past("insights", "--limit", "1").out.splitlines()
    assert read[0].startswith("7 unsolved questions in 5 groups since ")
    assert read[2] == f"{bikes['id']}  3 questions of 3 people: 3 refused, 1 handed to a person"
    assert read[-1] == "4 more groups; see them with --limit 5."
    assert "13812345678" not in "\n".join(read)

    waiting = past("insights", "--draft", bikes["id"])
    ticket = bikes["tickets"][0]
    assert (waiting.status, waiting.out) == (1, "")
    assert waiting.err == f"kefu: no agent has answered {bikes['id']} yet; waiting: {ticket}\n"
    for answer in ANSWERS:
        assert past("tickets", "reply", ticket, answer).status == 0

    written = past("insights", "--draft", bikes["id"].lower())
    assert written.out.splitlines()[0] == f"drafts/{bikes['id']}.md: a draft from the agent's answer in {ticket}"
    assert "left out: 请稍等，我查一下" in written.out and "left out: 不客气" in written.out
    draft = tmp_path / "drafts" / f"{bikes['id']}.md"
    assert "网上暂不销售；门店电话 139****1111。" in draft.read_text("utf-8")
    again = past("insights", "--draft", bikes["id"])
    assert again.status == 1 and "is there already" in again.err

    before = past("insights", "--replay", "--json").json
    assert (before["solved"], before["asked"]) == (0, 6)  # 转人工 alone is no question
    # A person has approved it.
    draft.rename(tmp_path / "faq/bikes.md")
    assert past("knowledge", "sync", "faq").status == 0
    after = past("insights", "--replay", "--json").json
    assert (after["solved"], after["asked"]) == (3, 6)
    assert after["groups"][0]["questions"][0]["sources"] == ["bikes.md"]
    page = past("insights", "--replay").out
    assert f"{bikes['id']}  3 of 3 solved\n" in page and page.endswith("3 of 6 questions solved\n")
    assert "(the same answer as before)" in page and "a wish      转人工" in page
    # Asking again is nothing that was asked.
    assert past("insights", "--json").json["total"] == 5


def test_a_draft_from_a_ticket_to_a_file_of_ones_own(past: Kefu, tmp_path: Path) -> None:
    refund = groups(past("insights", "--json"))["How long does a refund take?"]
    (ticket,) = refund["tickets"]
    past("tickets", "reply", ticket, "Up to 14 days by card.")
    called = past("insights", "--draft", ticket, "--output", "new/refund.md", "--json")
    assert (called.json["ticket"], called.json["group"], called.json["masked"]) == (ticket, refund["id"], False)
    text = (tmp_path / "new/refund.md").read_text("utf-8")
    assert text.endswith("# How long does a refund take?\n\nUp to 14 days by card.\n")


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        pytest.param(["--since", "yesterday"], 2, "must be like 12h, 30d, 4w or 2026-01-31", id="since"),
        pytest.param(["--draft", "X", "--replay"], 2, "two different things", id="both"),
        pytest.param(["--output", "x.md"], 2, "--output goes with --draft ID", id="output alone"),
        pytest.param(["--draft", "Q-AAAAAA"], 1, "no group and no ticket of one is called 'Q-AAAAAA'", id="no group"),
    ],
)
def test_what_can_not_be_done_is_said(kefu: Kefu, options: list[str], status: int, said: str) -> None:
    called = kefu("insights", *options)
    assert (called.status, called.out) == (status, "")
    assert said in called.err


def test_nothing_was_asked_in_vain(kefu: Kefu) -> None:
    called = kefu("insights", "--since", "2026-01-31")
    assert (called.status, called.out) == (0, "No question was left unsolved since 2026-01-31 00:00.\n")
    assert kefu("insights", "--json").json["groups"] == []
    assert kefu("insights", "--replay").out == "No question was left unsolved.\n"
