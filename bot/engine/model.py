"""What the vLLM engine needs of a loaded model; `bot.engine.vllm_model` is the real one."""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.errors import KefuError
from bot.messages import FollowUp, Prompt


class LoadFailed(KefuError):
    """The model can not be loaded now. The text is one line for the operator."""


class Finish(enum.StrEnum):
    """Why an output ended."""

    STOP = "stop"
    LENGTH = "length"
    """`model.max_tokens` were used up in the middle of it."""
    ABORT = "abort"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some more of an output."""

    text: str
    tokens: int
    """How many tokens it is."""
    logprob: float
    """The sum of their log-probabilities."""
    finish: Finish | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A prompt as the model reads it."""

    tokens: Sequence[int]
    constraint: str
    """Everything the model may say to it (`bot.engine.grammar`)."""
    rewriting: bool = False
    """A few tokens at a temperature of 0, not an answer (`bot.engine.rewriting`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the engine is doing, as it says of itself."""

    running: int
    waiting: int
    prompt_tokens: int
    """Since it was loaded."""
    cached_tokens: int
    """Of those, how many were in the prefix cache."""
    output_tokens: int


NOTHING = Load(running=0, waiting=0, prompt_tokens=0, cached_tokens=0, output_tokens=0)


class Model(Protocol):
    """A model in its own processes."""

    @property
    def dead(self) -> bool:
        """Whether its processes have ended; known within a second."""

    @property
    def open_requests(self) -> int:
        """Outputs that have been begun and not ended, by the engine's own count."""

    def load(self) -> Load:
        """Costs nothing."""

    def render(self, prompt: Prompt) -> Rendered:
        """Pure work for the processor, some milliseconds of it: not on the event loop."""

    def render_followup(self, followup: FollowUp) -> Rendered:
        """The same for a follow-up that is to be rewritten."""

    def stream(self, rendered: Rendered) -> AsyncGenerator[Piece, None]:
        """An output, piece by piece; the last one has a `finish`. Closing the generator ends it in the engine too.

        :raises EngineUnavailable: it has died, or takes no more.
        :raises BadOutput: it refuses this prompt.
        """

    async def warm_up(self) -> None:
        """A few outputs, so that what is compiled at its first use is not compiled while a customer waits.

        :raises EngineUnavailable: it has died.
        """

    async def canary(self) -> None:
        """One token of nothing in particular.

        :raises EngineUnavailable: it has died.
        """

    async def close(self) -> None:
        """Ends all its processes, hanging ones too."""
