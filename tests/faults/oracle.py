"""What has to be true after any fault, read from both sides: the fake's memory and the product's SQLite file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.core import sqlite
from tests.fakes.botapi.state import Json
from tests.fakes.dialogue import final_tokens, tokens

GIVEN_UP = {"unknown", "failed"}


@dataclass(slots=True, kw_only=True)
class Verdict:
    """Counts over everything that was sent in, and the promises that were broken."""

    acked: int = 0
    lost: list[str] = field(default_factory=list)
    """Acknowledged to the platform, but not stored."""
    forgotten: list[str] = field(default_factory=list)
    """Stored, but neither answered nor with the operators."""
    silent: list[str] = field(default_factory=list)
    """Counted as sent, but the platform never got it."""
    answered_twice: list[str] = field(default_factory=list)
    """Two different replies to one message."""
    extra: int = 0
    """Replies that stand there twice."""
    triple: list[str] = field(default_factory=list)
    """Replies that stand there three times or more."""
    operators: int = 0
    """Messages whose reply waits for an operator."""
    duplicate_tickets: list[str] = field(default_factory=list)
    tickets: int = 0
    integrity: str = ""

    @property
    def broken(self) -> dict[str, Any]:
        """What should be empty, where it is not."""
        found = {
            "lost": self.lost,
            "forgotten": self.forgotten,
            "silent": self.silent,
            "answered twice": self.answered_twice,
            "triple": self.triple,
            "duplicate tickets": self.duplicate_tickets,
            "integrity": self.integrity if self.integrity != "ok" else "",
        }
        return {name: value for name, value in found.items() if value}

    def counts(self) -> dict[str, object]:
        """For a report's line."""
        return {
            "acked": self.acked,
            "lost": len(self.lost),
            "forgotten": len(self.forgotten),
            "extra": self.extra,
            "triple": len(self.triple),
            "silent": len(self.silent),
            "operators": self.operators,
            "tickets": self.tickets,
            "duplicate_tickets": len(self.duplicate_tickets),
        }


def query(path: Path, statement: str) -> list[dict[str, Any]]:
    """Rows of the product's database, read beside it."""
    library = sqlite.library()
    connection = library.connect(str(path), timeout=30)
    connection.row_factory = library.Row
    try:
        return [dict(row) for row in connection.execute(statement)]
    finally:
        connection.close()


def open_work(path: Path) -> int:
    """Messages and replies that have not come to an end."""
    rows = query(
        path,
        "SELECT (SELECT count(*) FROM inbound WHERE state IN ('waiting', 'working'))"
        " + (SELECT count(*) FROM deliveries WHERE state IN ('waiting', 'sending')) AS open",
    )
    return int(rows[0]["open"])


def judge(path: Path, acked: Iterable[str], messages: Iterable[Mapping[str, Any]]) -> Verdict:
    """Judges a scripted dialogue's work.

    :param acked: tokens of the messages that the platform may forget.
    :param messages: the bot's messages as they stand in the chats (`RemoteTelegram.messages`).
    """
    wanted = list(acked)
    verdict = Verdict(acked=len(wanted), integrity=_integrity(path))
    stored: dict[str, Json] = {}
    for row in query(path, "SELECT id, text, state, turn_id FROM inbound"):
        stored |= dict.fromkeys(tokens(row["text"]), row)
    verdict.lost = [token for token in wanted if token not in stored]
    replies = _replies(path)
    said: Counter[str] = Counter()
    for message in messages:
        said.update(final_tokens(str(message["text"])))
    for token in stored:
        _judge_one(token, replies.get(token, []), said[token], verdict)
    subjects = [tokens(row["subject"]) for row in query(path, "SELECT subject FROM tickets")]
    verdict.tickets = len(subjects)
    counted = Counter(token for subject in subjects for token in subject)
    verdict.duplicate_tickets = [token for token, count in counted.items() if count > 1]
    return verdict


def _judge_one(token: str, replies: list[str], said: int, verdict: Verdict) -> None:
    """One message: `replies` are the states of its replies, `said` is how often its token stands in the chats."""
    if len(replies) > 1:
        verdict.answered_twice.append(token)
    state = replies[0] if replies else ""
    if state in GIVEN_UP:
        verdict.operators += 1
    elif state != "sent":
        verdict.forgotten.append(f"{token}: {state or 'no reply'}")
    elif not said:
        verdict.silent.append(token)
    verdict.extra += said == 2
    if said > 2:
        verdict.triple.append(f"{token}: {said}")


def _replies(path: Path) -> dict[str, list[str]]:
    """By token: the states of the replies that answer it."""
    found: dict[str, list[str]] = {}
    for row in query(path, "SELECT reply, state FROM deliveries WHERE author = 'bot'"):
        for token in final_tokens(json.loads(row["reply"])["text"]):
            found.setdefault(token, []).append(row["state"])
    return found


def _integrity(path: Path) -> str:
    return "; ".join(str(row["integrity_check"]) for row in query(path, "PRAGMA integrity_check"))


def rows(path: Path) -> dict[str, int]:
    """How many rows every table has."""
    tables = [row["name"] for row in query(path, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: query(path, f'SELECT count(*) AS n FROM "{name}"')[0]["n"] for name in tables}
