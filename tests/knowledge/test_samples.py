"""The sample knowledge: complete, indexed at the first start, and its vectors up to date."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knowledge.config import KnowledgeConfig
from knowledge.documents import read_sources
from knowledge.embedders import create_embedder
from knowledge.samples import SAMPLE_SOURCES, load_vectors
from knowledge.samples.build import EMBEDDER, sample_chunks
from knowledge.schema import IndexIdentity, embed_chunks, vector_key
from knowledge.service import Knowledge, open_knowledge
from tests.knowledge.hashing import HashingEmbedder


@pytest.mark.parametrize("collection", SAMPLE_SOURCES)
def test_every_sample_can_be_read(collection: str) -> None:
    contents = read_sources(SAMPLE_SOURCES[collection])
    assert contents.documents
    assert contents.problems == ()


def test_the_shipped_vectors_are_those_of_the_shipped_samples() -> None:
    embedder = create_embedder(EMBEDDER)
    chunks = {vector_key(chunk, IndexIdentity.of(embedder)): chunk for chunk in sample_chunks(embedder)}
    shipped = load_vectors(EMBEDDER)
    assert shipped.keys() == chunks.keys(), "run: python -m knowledge.samples.build"
    some = sorted(chunks, key=lambda key: len(chunks[key].text))[:: len(chunks) // 4]
    fresh = embed_chunks(embedder, [chunks[key] for key in some])
    cosines = [float(shipped[key] @ vector) for key, vector in zip(some, fresh, strict=True)]
    assert np.allclose(cosines, 1.0, atol=1e-5)


def test_another_embedder_gets_none_of_them() -> None:
    assert load_vectors("use-multilingual") == {}


async def test_a_fresh_machine_answers_from_the_samples_without_embedding_them(config: KnowledgeConfig) -> None:
    async with open_knowledge(KnowledgeConfig(uri=config.uri)) as knowledge:
        report = await knowledge.ensure_samples()
        assert report is not None
        assert report.embedded == 0
        (hit, *_) = await knowledge.retriever.search("密码忘了怎么办")
        assert hit.document == "faq_zh.csv#account-forgot-password"
        assert {summary.name for summary in await knowledge.collections()} == {"default", "internal"}
        assert await knowledge.ensure_samples() is None


async def test_samples_are_embedded_where_no_vectors_ship(knowledge: Knowledge, embedder: HashingEmbedder) -> None:
    report = await knowledge.ensure_samples()
    assert report is not None
    assert report.embedded == sum(summary.passages for summary in await knowledge.collections())
    assert embedder.passages


async def test_an_index_of_ones_own_gets_no_samples(knowledge: Knowledge, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("ours")
    await knowledge.sync([tmp_path / "own.txt"])
    assert await knowledge.ensure_samples() is None
    assert [summary.passages for summary in await knowledge.collections()] == [1]
