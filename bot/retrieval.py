"""The knowledge package behind the core's port."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bot.errors import KnowledgeUnavailable
from bot.messages import Passage
from bot.ports import Vector
from knowledge.errors import KnowledgeError
from knowledge.retriever import Retriever
from knowledge.values import Hit


class Retrieval:
    """Implements `bot.ports.Knowledge`."""

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever

    async def search(self, question: str, *, collections: Sequence[str], limit: int) -> tuple[Passage, ...]:
        """See `bot.ports.Knowledge`."""
        try:
            hits = await self._retriever.search(question, collections=collections, top_k=limit)
        except KnowledgeError as error:
            raise KnowledgeUnavailable(str(error)) from error
        return tuple(_passage(hit) for hit in hits)

    def expect(self, question: str, *, collections: Sequence[str], limit: int) -> None:
        """See `bot.ports.Knowledge`."""
        self._retriever.expect(question, collections=collections, top_k=limit)

    async def embed(self, text: str) -> Vector:
        """See `bot.ports.Knowledge`."""
        return await self._retriever.embed_query(text)

    async def embed_many(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """See `bot.ports.Knowledge`."""
        return await self._retriever.embed_queries(texts)


def _passage(hit: Hit) -> Passage:
    return Passage(
        id=hit.id,
        document=hit.document,
        collection=hit.collection,
        title=hit.title,
        text=hit.answer or hit.text,
        question=hit.question or "",
        url=hit.url,
        score=hit.score,
        dense=hit.dense,
        lexical=hit.lexical,
        version=hit.version,
    )
