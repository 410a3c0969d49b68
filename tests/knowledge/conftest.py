"""A knowledge in a folder of the test's own, with an embedder that takes no time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from knowledge.config import KnowledgeConfig
from knowledge.service import Knowledge, open_knowledge
from tests.knowledge.hashing import HashingEmbedder


@pytest.fixture
def embedder() -> HashingEmbedder:
    return HashingEmbedder()


@pytest.fixture
def config(tmp_path: Path) -> KnowledgeConfig:
    return KnowledgeConfig(uri=str(tmp_path / "index"), embedder="hashing")


@pytest.fixture
async def knowledge(config: KnowledgeConfig, embedder: HashingEmbedder) -> AsyncIterator[Knowledge]:
    async with open_knowledge(config, embedder=embedder) as opened:
        yield opened


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is synced and searched is too large for memory."""
    monkeypatch.setattr("knowledge.table_indexes.MAX_PASSAGES_IN_MEMORY", 1)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """`write("kb/faq.csv", text)`: a file below the test's folder, given as text, bytes or rows of JSON."""

    def write_file(name: str, content: str | bytes | list[dict[str, object]]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return path

    return write_file
