"""How well `kefu insights` puts questions of one meaning together, on rephrasings that none of us wrote.

    python -m tests.bench.grouping ../shared/data

Six human rephrasings of each of forty FAQs are grouped at several thresholds. Of the pairs of questions put together,
the share that belongs together is the precision; of those that belong together, the share put together is the recall.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bot.cli.insights import ordinary_questions
from bot.insights import SIMILAR, clusters, cosines_of
from knowledge.embedders import create_embedder

FAQS, EACH = 40, 6
SEED = 7


def rephrasings(data: Path) -> tuple[list[str], list[str]]:
    """Questions, and the FAQ that each of them means."""
    rows = [json.loads(line) for line in (data / "en_stackfaq/queries.jsonl").read_text("utf-8").splitlines() if line]
    chance = random.Random(SEED)
    chosen = chance.sample(sorted({row["gold"][0] for row in rows}), FAQS)
    picked = [row for faq in chosen for row in [row for row in rows if row["gold"][0] == faq][:EACH]]
    chance.shuffle(picked)
    return [row["text"] for row in picked], [row["gold"][0] for row in picked]


def precision_and_recall(groups: Sequence[Sequence[int]], meanings: Sequence[str]) -> tuple[float, float]:
    place = {member: number for number, members in enumerate(groups) for member in members}
    together = right = wanted = 0
    for one in range(len(meanings)):
        for other in range(one):
            same, joined = meanings[one] == meanings[other], place[one] == place[other]
            wanted, together, right = wanted + same, together + joined, right + (same and joined)
    return right / max(1, together), right / max(1, wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--embedder", action="append", metavar="NAME")
    options = parser.parse_args()
    texts, meanings = rephrasings(options.data)
    for name in options.embedder or ["multilingual-e5-small", "use-multilingual"]:
        embedder = create_embedder(name)
        middle = np.asarray(embedder.embed(ordinary_questions(), "query")).mean(axis=0)
        cosines = cosines_of(np.asarray(embedder.embed(texts, "query")), middle)
        print(f"{name}: {len(texts)} questions of {len(set(meanings))} meanings")
        for least in (0.5, 0.55, SIMILAR, 0.65, 0.7):
            groups = clusters(cosines, least)
            precision, recall = precision_and_recall(groups, meanings)
            print(f"  {least:.2f}   {len(groups):3} groups   precision {precision:.2f}   recall {recall:.2f}")


if __name__ == "__main__":
    main()
