"""Vectors that are worked out once and kept in a folder, so that another way to cut or to mix takes minutes."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from knowledge.embedders.base import Embedder, Kind, Vector

_AT_ONCE = 8


class KeptVectors:
    """An embedder that asks another one only for what it was never asked. Killed, it has lost one batch."""

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._embedder = embedder
        self._lock = threading.Lock()
        file = folder / f"{embedder.name.replace('/', '-')}.sqlite"
        self._kept = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._kept.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")

    @property
    def name(self) -> str:
        return self._embedder.name

    @property
    def dimension(self) -> int:
        return self._embedder.dimension

    @property
    def questions_at_once(self) -> int:
        return self._embedder.questions_at_once

    @property
    def window(self) -> int:
        return self._embedder.window

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._embedder.count_tokens(texts)

    def close(self) -> None:
        self._embedder.close()
        self._kept.close()

    def embed(self, texts: Sequence[str], kind: Kind) -> Vector:
        keys = [_key(text, kind) for text in texts]
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        missing = [place for place, key in enumerate(keys) if not self._take(key, vectors[place])]
        for start in range(0, len(missing), _AT_ONCE):
            places = missing[start : start + _AT_ONCE]
            vectors[places] = self._embedder.embed([texts[place] for place in places], kind)
            with self._lock:
                self._kept.executemany(
                    "INSERT OR REPLACE INTO vectors VALUES (?, ?)",
                    [(keys[place], vectors[place].tobytes()) for place in places],
                )
        return vectors

    def _take(self, key: bytes, into: Vector) -> bool:
        with self._lock:
            found = self._kept.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
        if found is not None:
            into[:] = np.frombuffer(found[0], dtype=np.float32)
        return found is not None


def _key(text: str, kind: Kind) -> bytes:
    return hashlib.sha256(f"{kind}\n{text}".encode("utf-8", "replace")).digest()
