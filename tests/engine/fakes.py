"""Engines that do as a test says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence

from bot.errors import EngineUnavailable
from bot.messages import EngineOutput, FollowUp, Prompt, Rewritten
from bot.ports import EngineHealth

Step = EngineOutput | BaseException | float
"""An output, an error to raise, or seconds of silence."""


class ScriptedEngine:
    """Plays a script for each generation, or what a function makes of the prompt. Remembers its prompts."""

    def __init__(
        self,
        *scripts: Sequence[Step],
        make: Callable[[Prompt], Sequence[Step]] | None = None,
        rewrites: Callable[[FollowUp], str | float | None] | None = None,
        ready: bool = True,
        started: bool = True,
    ) -> None:
        self._scripts = list(scripts)
        self._make = make
        self.rewrites = rewrites
        """A rewriting, seconds of silence before there is none, or None; no function means no rewriting."""
        self.followups: list[FollowUp] = []
        self.rewriting = 0
        """Those under way."""
        self.ready = ready
        self.prompts: list[Prompt] = []
        self.closed = 0
        """Generations that were ended in an orderly way."""
        self.started = started
        """Most tests are not about starting: theirs has been."""
        self._stopped = asyncio.Event()

    @property
    def name(self) -> str:
        return "scripted"

    async def start(self) -> None:
        self.started = True
        self._stopped.clear()

    async def wait_loaded(self) -> None:
        """There is nothing to load."""

    async def close(self) -> None:
        self.started = False
        self._stopped.set()

    def health(self) -> EngineHealth:
        ready = self.ready and self.started
        return EngineHealth(ready=ready, detail="" if ready else "is loading")

    async def generate(self, prompt: Prompt) -> AsyncGenerator[EngineOutput, None]:
        if not self.started:
            raise EngineUnavailable("the scripted engine is not started")
        self.prompts.append(prompt)
        if self._make is not None:
            script = self._make(prompt)
        else:
            script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        try:
            for step in script:
                if isinstance(step, BaseException):
                    raise step
                if isinstance(step, float):
                    await self._silence(step)
                else:
                    yield step
        finally:
            self.closed += 1

    async def rewrite(self, followup: FollowUp, *, seconds: float) -> Rewritten | None:
        if not self.started or self.rewrites is None or not seconds:
            return None
        self.followups.append(followup)
        said = self.rewrites(followup)
        self.rewriting += 1
        try:
            if isinstance(said, float):
                await asyncio.sleep(min(said, seconds))
                return None
        finally:
            self.rewriting -= 1
        return None if said is None else Rewritten(text=said, tokens=7)

    async def _silence(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)
            raise EngineUnavailable("the scripted engine was closed")
