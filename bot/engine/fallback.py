"""Two engines as one: the second answers when the first does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing

from bot.errors import BadOutput, EngineBusy, EngineError, EngineTimeout, EngineUnavailable
from bot.messages import Answered, Delta, EngineOutput, FollowUp, FunctionCall, Prompt, Rewritten
from bot.ports import Clock, Engine, EngineHealth
from bot.telemetry import get_logger

log = get_logger(__name__)

REST_SECONDS = 15.0
"""After the first engine was down or silent, this long nothing is asked of it: otherwise every customer would wait out
the whole time limit while it hangs."""


class FallbackEngine:
    """Answers with `first`; with `second` when the first is down, hangs, or gives nothing that can be used.

    `timeout_seconds` is the most that the first may take for a whole generation, `silence_seconds` the longest it may
    stay silent within it. The second has no limit of its own here; the turn has one.
    """

    def __init__(
        self,
        first: Engine,
        second: Engine,
        *,
        clock: Clock,
        timeout_seconds: float,
        silence_seconds: float | None = None,
        rest_seconds: float = REST_SECONDS,
    ) -> None:
        self._first = first
        self._second = second
        self._clock = clock
        self._timeout = timeout_seconds
        self._silence = min(silence_seconds or timeout_seconds, timeout_seconds)
        self._rest = rest_seconds
        self._resting_until = -float("inf")

    @property
    def name(self) -> str:
        return self._first.name

    async def start(self) -> None:
        """The second engine first: it is quick, and answers while the first is still loading."""
        await self._second.start()
        try:
            await self._first.start()
        except EngineError as error:
            log.warning("engine did not start, the fallback answers", kind=type(error).__name__)

    async def wait_loaded(self) -> None:
        await self._first.wait_loaded()

    async def close(self) -> None:
        try:
            await self._first.close()
        finally:
            await self._second.close()

    def health(self) -> EngineHealth:
        """Ready while either answers; the detail says which does not."""
        first, second = self._first.health(), self._second.health()
        if first.ready:
            return EngineHealth(ready=True, detail=first.detail)
        detail = f"{self._first.name}: {first.detail or 'not ready'}; {self._second.name} answers"
        return EngineHealth(ready=second.ready, detail=detail)

    async def rewrite(self, followup: FollowUp, *, seconds: float) -> Rewritten | None:
        """By the first or not at all. That it took too long says nothing yet: a generation may take much longer."""
        return await self._first.rewrite(followup, seconds=seconds) if self._asks_first() else None

    def _asks_first(self) -> bool:
        return self._first.health().ready and self._clock.monotonic() >= self._resting_until

    async def generate(self, prompt: Prompt) -> AsyncGenerator[EngineOutput, None]:
        spoke = False
        if self._asks_first():
            try:
                async with aclosing(self._limited(prompt)) as outputs:
                    async for output in outputs:
                        yield output
                        if isinstance(output, Answered | FunctionCall):
                            return
                        spoke = True
                raise BadOutput("the engine's output ended without an answer")
            except Exception as error:  # noqa: BLE001 - an engine may fail in ways of its library's own; the customer is answered
                self._note(error)
        stream = self._second.generate(prompt)
        async with AsyncExitStack() as stack:
            _close_with(stack, stream)
            async for output in stream:
                # Snapshots grow; what the first engine has already shown can not be taken back before the final text.
                if not (spoke and isinstance(output, Delta)):
                    yield output

    def _note(self, error: Exception) -> None:
        # The kind of failure only: an engine's own words could quote the prompt.
        log.warning("engine failed, the fallback answers", engine=self._first.name, kind=type(error).__name__)
        # An engine that is merely busy answers others, and the next one in a moment.
        if isinstance(error, EngineTimeout | EngineUnavailable) and not isinstance(error, EngineBusy):
            self._resting_until = self._clock.monotonic() + self._rest

    async def _limited(self, prompt: Prompt) -> AsyncGenerator[EngineOutput, None]:
        """The first engine's outputs within both limits; closes its iterator in every case.

        :raises EngineTimeout: a limit has passed.
        """
        stream = self._first.generate(prompt)
        deadline = self._clock.monotonic() + self._timeout
        async with AsyncExitStack() as stack:
            _close_with(stack, stream)
            while True:
                patience = min(self._silence, deadline - self._clock.monotonic())
                if patience <= 0:
                    raise EngineTimeout("the generation took longer than its time limit")
                try:
                    async with asyncio.timeout(patience):
                        output = await anext(stream)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    raise EngineTimeout("no output within the time limit") from error
                yield output


def _close_with(stack: AsyncExitStack, stream: AsyncIterator[EngineOutput]) -> None:
    """A generation that is no longer read frees what it holds at once, not when it is collected."""
    close = getattr(stream, "aclose", None)
    if close is not None:
        stack.push_async_callback(close)
