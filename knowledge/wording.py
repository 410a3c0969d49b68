"""A question as it is searched for: in the customer's words, and in those of the knowledge where they differ."""

import asyncio

import numpy as np

from knowledge.embedders.base import Vector
from knowledge.encoder import QueryEncoder
from knowledge.errors import EmbedderError
from knowledge.index import LANCE_ERRORS
from knowledge.synonyms import Synonyms


class Wording:
    """One question. All of the full text's question is in the knowledge's words, half of the meaning's: a file of
    synonyms knows words, and not what is meant by them."""

    def __init__(self, question: str, synonyms: Synonyms, encoder: QueryEncoder) -> None:
        self._question = question
        self._encoder = encoder
        self.words = encoder.prepare(synonyms.rewritten(question))

    async def vector(self) -> Vector:
        """Shape (dimension,). Raises EmbedderError."""
        try:
            if self.words == self._question:
                return await self._encoder.encode(self._question)
            both = await asyncio.gather(self._encoder.encode(self._question), self._encoder.encode(self.words))
        except LANCE_ERRORS as error:  # the embedder's own: no other version of the index will help
            raise EmbedderError(f"a question cannot be embedded: {type(error).__name__}") from error
        # Its product with a passage is the mean of two cosines.
        return (both[0] + both[1]) / np.float32(2)
