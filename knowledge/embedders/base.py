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
    """Texts to vectors, blocking the calling thread: in this process, or over the network.

    Safe to call from several threads. Any `str` is accepted, the empty one, NUL bytes and lone
    surrogates included. Never call it on the event loop: embedded ones take 1 to 10 ms for a question and
    up to 130 ms for a passage, a server what it takes.
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

    @property
    def window(self) -> int:
        """How many tokens of a text it reads at once. What is beyond is read apart, or not at all."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """The tokens of each text, without what is put around a whole one; the empty text has none. Where
        the vocabulary is not known, an estimate. Quick beside `embed`, and still not for the event loop."""

    def embed(self, texts: Sequence[str], kind: Kind) -> Vector:
        """float32 of shape (len(texts), dimension), every row L2-normalised.

        :raises EmbedderError: a server or a graphics card fails.
        """

    def close(self) -> None:
        """Lets go of what it holds. What is under way ends soon, with an error where it waits for a server."""
