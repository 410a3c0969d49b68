"""`make bench-followups MODELS="folder folder"`: ways to search for a follow-up, side by side.

Every conversation of tests/data/conversations.jsonl goes the way it goes in the product, message by message; what is
measured is the search for its last one, in the order that the passages have when an engine reads them. Each model
rewrites in a process of its own, in the environment that has vLLM, and what it said can be kept (`--said FOLDER`), so
that ways of using it can be compared without asking it again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from bot.dialogue.followups import ALONE_WEIGHT, REWRITTEN_WEIGHT, combined, followed, leans_back, mixed, subject
from bot.dialogue.intents import SHIPPED
from bot.dialogue.rewriting import followup_of, usable
from bot.dialogue.understanding import Understanding
from bot.messages import Language, Passage
from bot.retrieval import Retrieval
from knowledge.intervals import Interval, Ratio, difference
from tests.bench.rewriting import CONVERSATIONS
from tests.dialogue.samples import EMBEDDER, opened

ROOT = Path(__file__).parents[2]
SPLITS = ("tune", "report")
TOP = 5
LIMIT_SECONDS = 2 * 3600.0
PERSON = "a person"
"""Whoever wrote the file: its field "whole" is what a careful reader makes of a follow-up, before any search."""
BASE = "two searches mixed"
"""Others are compared with what is done without an engine."""

NOBODY: Mapping[Any, str] = MappingProxyType({})

Passages: TypeAlias = tuple[Passage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """One line of the file."""

    turns: tuple[str, ...]
    language: Language
    collection: str
    documents: frozenset[str]
    standalone: bool
    split: str

    @property
    def text(self) -> str:
        return self.turns[-1]

    @property
    def previous(self) -> str:
        """What the last message follows, as the product would remember it."""
        previous = ""
        for turn in self.turns[:-1]:
            previous = followed(previous, turn)
        return previous

    @property
    def leans(self) -> bool:
        return leans_back(self.text)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Conversation:
        named = row["document"]
        return cls(
            turns=tuple(row["turns"]),
            language=row["language"],
            collection=row["collection"],
            documents=frozenset([named] if isinstance(named, str) else named),
            standalone=row["standalone"],
            split=row["split"],
        )


KINDS: Mapping[str, Callable[[Conversation], bool]] = {
    "follow-ups": lambda at: not at.standalone,
    "of those, second messages": lambda at: not at.standalone and len(at.turns) == 2,
    "of those, third messages": lambda at: not at.standalone and len(at.turns) > 2,
    "standing alone": lambda at: at.standalone,
}


class Searches:
    """The ways to search for a conversation's last message. Each gives the passages of its one or several searches."""

    def __init__(self, knowledge: Retrieval) -> None:
        self._knowledge = knowledge

    async def one(self, words: str, at: Conversation) -> Passages:
        return await self._knowledge.search(words, collections=[at.collection], limit=TOP)

    async def alone(self, at: Conversation) -> Passages:
        return await self.one(at.text, at)

    async def concatenated(self, at: Conversation) -> Passages:
        return await self.one(combined(at.previous, at.text), at)

    async def mix(
        self, at: Conversation, by: Mapping[Conversation, str] = NOBODY, *, weight: float = REWRITTEN_WEIGHT
    ) -> Passages:
        """As in `bot.dialogue.questions`."""
        if not at.leans:
            return await self.alone(at)
        searches = [
            (ALONE_WEIGHT, await self._wide(subject(at.text), at)),
            (1 - ALONE_WEIGHT, await self._wide(combined(at.previous, at.text), at)),
        ]
        if rewritten := by.get(at):
            searches.append((weight, await self._wide(rewritten, at)))
        return mixed(*searches, limit=TOP)

    async def instead(self, at: Conversation, by: Mapping[Conversation, str]) -> Passages:
        """The rewriting in place of both; both where there is none."""
        return await self.one(by[at], at) if at.leans and by.get(at) else await self.mix(at)

    async def _wide(self, words: str, at: Conversation) -> Passages:
        return await self._knowledge.search(words, collections=[at.collection], limit=2 * TOP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of one way, over some conversations."""

    first: Ratio
    among: Ratio
    reciprocal: Ratio

    @classmethod
    def of(cls, ranks: Sequence[int]) -> Figures:
        ones = [1.0] * len(ranks)
        return cls(
            first=Ratio(parts=[float(rank == 1) for rank in ranks], wholes=ones),
            among=Ratio(parts=[float(rank > 0) for rank in ranks], wholes=ones),
            reciprocal=Ratio(parts=[1 / rank if rank else 0.0 for rank in ranks], wholes=ones),
        )


Way: TypeAlias = Callable[[Conversation], Awaitable[Passages]]


async def rank_of(at: Conversation, passages: Passages, understanding: Understanding) -> int:
    """Where the first right passage stands for whoever answers, from 1; 0 for nowhere."""
    weighed = understanding.weighed(followed(at.previous, at.text), passages)
    return next((rank for rank, one in enumerate(weighed, 1) if one.document in at.documents), 0)


async def measured(
    conversations: Sequence[Conversation], said: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, list[int]]:
    """The ranks of every way, in the order of the conversations."""
    async with opened() as knowledge:
        understanding = await Understanding.load(knowledge, SHIPPED, embedder=EMBEDDER)
        searches = Searches(knowledge)
        ways: dict[str, Way] = {
            "last message alone": searches.alone,
            "concatenation": searches.concatenated,
            BASE: searches.mix,
        }
        for model, lines in said.items():
            rewritten = {
                at: checked(at, line["text"]) for at, line in zip(conversations, lines, strict=True) if line["text"]
            }
            ways[f"rewritten by {model}"] = partial(searches.instead, by=rewritten)
            ways[f"mixed with {model}'s"] = partial(searches.mix, by=rewritten)
        return {
            name: [await rank_of(at, await way(at), understanding) for at in conversations]
            for name, way in ways.items()
        }


def checked(at: Conversation, said: str) -> str:
    """A model's words as the product would search for them; "" for what it would throw away."""
    followup = followup_of(at.text, at.turns[:-1], at.language)
    return usable(said, followup, ticket_prefix="TICKET") if followup and at.leans else ""


# -- Asking the models --


def ask(folder: Path, python: Path, kept: Path | None) -> list[dict[str, Any]]:
    """What a model makes of the last messages: what was kept of an earlier run, or asked now.

    :raises SystemExit: it could not be asked.
    """
    name = folder.absolute().name
    with tempfile.TemporaryDirectory(prefix="kefu-") as work:
        file = (kept or Path(work)) / f"{name}.jsonl"
        if not file.exists():
            command = [str(python), "-m", "tests.bench.rewriting", str(folder), str(file)]
            environ = {**os.environ, "PYTHONPATH": str(ROOT)}
            done = subprocess.run(command, cwd=ROOT, env=environ, timeout=LIMIT_SECONDS, check=False)
            if done.returncode:
                raise SystemExit(f"{name}: it could not be asked ({done.returncode})")
        lines: list[dict[str, Any]] = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    if [line["turns"] for line in lines] != [row["turns"] for row in _rows()]:
        raise SystemExit(f"{file} is about other conversations: remove it")
    return lines


def _rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in CONVERSATIONS.read_text(encoding="utf-8").splitlines()]


# -- The tables --


def table(title: str, ranks: Mapping[str, Sequence[int]], chosen: Sequence[int]) -> str:
    """A row a way, over the conversations that are chosen by their numbers."""
    found = {name: Figures.of([of[at] for at in chosen]) for name, of in ranks.items()}
    rows = [[f"{title}: {len(chosen)}", "recall@1", "recall@5", "MRR", "recall@1 against two mixed"]]
    rows.append(["---"] + ["---:"] * 4)
    for name, figures in found.items():
        columns = [_said(one) for one in (figures.first, figures.among, figures.reciprocal)]
        than = difference(found[BASE].first, figures.first)
        rows.append(
            [name, *columns, "" if name == BASE or than is None else f"{_signed(than.low)} to {_signed(than.high)}"]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _said(ratio: Ratio) -> str:
    value, interval = ratio.value, ratio.interval()
    return f"{_short(value or 0.0)} ({_range(interval)})" if interval else ""


def _range(interval: Interval) -> str:
    return f"{_short(interval.low)} to {_short(interval.high)}"


def _short(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1) if value < 1 else "1.00"


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("0.", ".", 1)


def cost(conversations: Sequence[Conversation], lines: Sequence[Mapping[str, Any]]) -> str:
    """What one's rewritings took, and how many could be used."""
    asked = [(at, line) for at, line in zip(conversations, lines, strict=True) if at.leans]
    used = sum(bool(checked(at, line["text"])) for at, line in asked)
    said = f"of {len(asked)} messages that lean back, {used} rewritten"
    seconds = sorted(line["seconds"] for _, line in asked if "seconds" in line)
    if not seconds:
        return said
    return (
        f"{said}; {statistics.median(seconds):.1f} s at the median, "
        f"{seconds[len(seconds) * 9 // 10]:.1f} s at the ninetieth percentile"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("models", type=Path, nargs="*", metavar="DIR", help="a folder with weights for vLLM")
    parser.add_argument("--python", type=Path, default=ROOT / ".venv-engine/bin/python", help="that has vLLM")
    parser.add_argument(
        "--said", type=Path, metavar="FOLDER", help="keeps what the models say, and takes it from there"
    )
    parser.add_argument("--split", choices=SPLITS, action="append", dest="splits")
    arguments = parser.parse_args()
    conversations = [Conversation.of(row) for row in _rows()]
    said = {PERSON: [{"text": row.get("whole", "")} for row in _rows()]}
    said |= {folder.absolute().name: ask(folder, arguments.python, arguments.said) for folder in arguments.models}
    ranks = asyncio.run(measured(conversations, said))
    for split in arguments.splits or SPLITS:
        for title, wanted in KINDS.items():
            chosen = [at for at, one in enumerate(conversations) if one.split == split and wanted(one)]
            sys.stdout.write(table(f"{split}, {title}", ranks, chosen) + "\n\n")
    for model, lines in said.items():
        sys.stdout.write(f"{model}: {cost(conversations, lines)}\n")


if __name__ == "__main__":
    main()
