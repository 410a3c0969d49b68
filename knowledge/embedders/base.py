"""What an embedder promises. One vendor a sibling file; the choice by name is in `__init__`."""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Kind = Literal["query", "passage"]
"""Which side of the search a text stands on. E5 and BGE embed the two differently; mixing them up
breaks retrieval without an error, hence a type."""

Vector = npt.NDArray[np.float32]
"""Shape (dimension,) or (n, dimension), float32, each row of length 1."""


class Embedder(Protocol):
    """Texts to vectors, in this process, blocking the calling thread.

    Safe to call from several threads. Any `str` is accepted, the empty one, NUL bytes and lone
    surrogates included. Never call it on the event loop: a question takes 1 to 10 ms, a passage up
    to 130 ms.
    """

    @property
    def name(self) -> str:
        """What the index remembers; two embedders with one name give interchangeable vectors."""

    @property
    def dimension(self) -> int: ...

    @property
    def questions_at_once(self) -> int:
        """How many short questions it embeds sooner together than one after the other; 1 where together
        takes as long, and the first would only wait for the last."""

    def embed(self, texts: Sequence[str], kind: Kind) -> Vector:
        """float32 of shape (len(texts), dimension), every row L2-normalised."""
