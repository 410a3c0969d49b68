"""What a model makes of the labelled follow-ups; in an environment that has vLLM, and needs nothing of the knowledge.

python -m tests.bench.rewriting DIR FILE      writes a line of JSON for every conversation of the file, in its order
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from bot.dialogue.followups import leans_back
from bot.dialogue.rewriting import followup_of
from bot.messages import FollowUp, Language
from tests.bench.models import opened_engine

CONVERSATIONS = Path(__file__).parents[1] / "data/conversations.jsonl"
LIMIT_SECONDS = 300.0
"""Quality is measured here apart from time: on two cores nothing would come within a product's limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One rewriting as it came, before it is checked."""

    turns: tuple[str, ...]
    text: str
    """"" where none came."""
    seconds: float
    tokens: int


async def rewritings(folder: Path) -> AsyncIterator[Said]:
    """Of the last message of every conversation, one after the other; where the product would not ask, "" at once."""
    rows = [json.loads(line) for line in CONVERSATIONS.read_text(encoding="utf-8").splitlines()]
    async with opened_engine(folder) as engine:
        for language in get_args(Language):
            # Fills the prefix cache, as others' follow-ups do.
            await engine.rewrite(FollowUp(text="?", earlier=("?",), language=language), seconds=LIMIT_SECONDS)
        for row in rows:
            *earlier, text = row["turns"]
            followup = followup_of(text, earlier, row["language"]) if leans_back(text) else None
            began = time.perf_counter()
            rewritten = await engine.rewrite(followup, seconds=LIMIT_SECONDS) if followup else None
            seconds = time.perf_counter() - began
            words, tokens = (rewritten.text, rewritten.tokens) if rewritten else ("", 0)
            yield Said(turns=tuple(row["turns"]), text=words, seconds=round(seconds, 3), tokens=tokens)


async def write(folder: Path, out: Path) -> None:
    """Line by line, under another name until it is whole."""
    growing = out.with_suffix(".part")
    with growing.open("w", encoding="utf-8") as file:
        async for said in rewritings(folder):
            print(json.dumps(asdict(said), ensure_ascii=False), file=file, flush=True)
    growing.rename(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("out", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    asyncio.run(write(arguments.folder, arguments.out))


if __name__ == "__main__":
    main()
