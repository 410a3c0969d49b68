"""Embeds the sample knowledge into `vectors.npz`: `python -m knowledge.samples.build`, a minute on two cores."""

import numpy as np

from knowledge.cutter import Cutter
from knowledge.documents import read_sources
from knowledge.embedders import Embedder, create_embedder, verify_weights
from knowledge.samples import SAMPLE_SOURCES, VECTORS_FILE
from knowledge.schema import IndexIdentity, embed_chunks, vector_key
from knowledge.values import Chunk

EMBEDDER = "multilingual-e5-small"


def sample_chunks(embedder: Embedder) -> list[Chunk]:
    """Every passage of every sample collection."""
    cutter = Cutter(embedder)
    contents = [read_sources(paths) for paths in SAMPLE_SOURCES.values()]
    return [chunk for content in contents for document in content.documents for chunk in cutter.cut(document)]


def build() -> int:
    """Writes the file. Returns how many vectors it holds."""
    verify_weights(EMBEDDER)
    embedder = create_embedder(EMBEDDER)
    identity = IndexIdentity.of(embedder)
    chunks = {vector_key(chunk, identity): chunk for chunk in sample_chunks(embedder)}
    vectors = embed_chunks(embedder, list(chunks.values()))
    # Half precision: half the size, and the cosine with the exact vector is .9999999.
    np.savez(VECTORS_FILE, embedder=EMBEDDER, keys=list(chunks), vectors=vectors.astype(np.float16))
    return len(chunks)


if __name__ == "__main__":
    print(f"{VECTORS_FILE.name}: {build()} vectors")
