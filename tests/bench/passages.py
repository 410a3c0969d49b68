"""Passages and their vectors in files, for both sides of `make bench-knowledge`. Imports nothing of kefu, because the
other side runs in an environment of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

SYNCS = 3
CHANGED = 1_000
TOP = 10

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passages:
    """Titles, texts and vectors, by place."""

    titles: Sequence[str]
    texts: Sequence[str]
    vectors: Vectors


def read_passages(folder: Path, name: str) -> Passages:
    with (folder / f"{name}.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return Passages(
        titles=[row["title"] for row in rows],
        texts=[row["text"] for row in rows],
        vectors=np.load(folder / f"{name}.npy"),
    )


def write_passages(folder: Path, name: str, passages: Passages) -> None:
    with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
        for title, text in zip(passages.titles, passages.texts, strict=True):
            file.write(json.dumps({"title": title, "text": text}, ensure_ascii=False) + "\n")
    np.save(folder / f"{name}.npy", passages.vectors.astype(np.float32))


def recall(found: Sequence[Sequence[int]], questions: Vectors, passages: Vectors) -> float:
    """The share of the exactly nearest `TOP` that was found, over all questions."""
    hits = 0
    for places, question in zip(found, questions, strict=True):
        cosines = passages @ question
        hits += len(set(np.argpartition(-cosines, TOP)[:TOP].tolist()) & set(places))
    return hits / (TOP * len(questions))
