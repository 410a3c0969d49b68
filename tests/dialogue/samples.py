"""The sample knowledge behind the core's port, for tests and for the commands that fit the dialogue's figures.

Questions of the labelled files are embedded once and kept in `query_vectors.npz`; what is not in there is embedded by
the real embedder, so that a changed file costs time and not a wrong result. To make the file anew:

    python -m tests.dialogue.samples
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bot.dialogue.followups import combined, followed, subject
from bot.retrieval import Retrieval
from knowledge.config import KnowledgeConfig
from knowledge.embedders import create_embedder
from knowledge.embedders.base import Embedder, Kind, Vector
from knowledge.encoder import QueryEncoder
from knowledge.service import open_knowledge

EMBEDDER = "multilingual-e5-small"
DATA = Path(__file__).parent.parent / "data"
EVERYDAY = Path(__file__).with_name("everyday_questions.jsonl")
"""Plain questions as they come every day, and some that no shop's help answers; the labelled ones of `DATA` are harder
on purpose. Fitted on together with those."""
RECORDED = Path(__file__).with_name("query_vectors.npz")


class RecordedEmbedder:
    """Gives recorded vectors for known questions; loads the real embedder for anything else."""

    def __init__(self, recorded: dict[str, Vector]) -> None:
        self._recorded = recorded
        self._real: Embedder | None = None
        self.missed = 0

    @property
    def name(self) -> str:
        return EMBEDDER

    @property
    def dimension(self) -> int:
        return 384

    @property
    def questions_at_once(self) -> int:
        return 1

    @property
    def window(self) -> int:
        return 510

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._model().count_tokens(texts)

    def close(self) -> None:
        """Nothing to let go of."""

    def _model(self) -> Embedder:
        self._real = self._real or create_embedder(EMBEDDER)
        return self._real

    def embed(self, texts: Sequence[str], kind: Kind) -> Vector:
        rows = [self._recorded.get(_key(text)) if kind == "query" else None for text in texts]
        missing = [text for text, row in zip(texts, rows, strict=True) if row is None]
        if missing:
            self.missed += len(missing)
            fresh = iter(self._model().embed(missing, kind))
            rows = [next(fresh) if row is None else row for row in rows]
        return np.array(rows, dtype=np.float32).reshape(len(texts), self.dimension)


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def recorded_vectors() -> dict[str, Vector]:
    if not RECORDED.exists():
        return {}
    with np.load(RECORDED, allow_pickle=False) as stored:
        vectors = stored["vectors"].astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return dict(zip(stored["keys"].tolist(), vectors, strict=True))


@asynccontextmanager
async def opened(embedder: str = EMBEDDER) -> AsyncIterator[Retrieval]:
    """The samples indexed in a folder that vanishes afterwards."""
    recorded = await asyncio.to_thread(recorded_vectors)
    stand_in = RecordedEmbedder(recorded) if embedder == EMBEDDER else None
    folder = await asyncio.to_thread(tempfile.mkdtemp)
    try:
        async with open_knowledge(KnowledgeConfig(uri=folder, embedder=embedder), embedder=stand_in) as knowledge:
            await knowledge.ensure_samples()
            yield Retrieval(knowledge.retriever)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder)


def rows(name: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def asked_texts() -> list[str]:
    """Every text that the tests over the labelled files embed."""
    texts = [str(row["question"]) for row in [*rows("questions.jsonl"), *rows(EVERYDAY)]]
    texts += [str(row["text"]) for row in rows("intents.jsonl")]
    for row in rows("conversations.jsonl"):
        previous = ""
        for turn in row["turns"]:
            texts += [turn, subject(turn), *([combined(previous, turn)] if previous else [])]
            previous = followed(previous, turn)
    return list(dict.fromkeys(QueryEncoder.prepare(text) for text in texts))


def main() -> None:
    texts = asked_texts()
    vectors = create_embedder(EMBEDDER).embed(texts, "query")
    keys = np.array([_key(text) for text in texts])
    np.savez_compressed(RECORDED, keys=keys, vectors=vectors.astype(np.float16))
    sys.stdout.write(f"{RECORDED}: {len(texts)} questions, {RECORDED.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
