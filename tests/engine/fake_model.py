"""A model in memory, with the mishaps of a real one: it dies, hangs, is slow to load, dies of one question."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from bot.engine.model import Finish, Load, Model, Piece, Rendered
from bot.errors import EngineError, EngineUnavailable
from bot.messages import FollowUp, Prompt

ANSWER = '{"response": "付款后 48 小时内发货。", "confidence": 0.9}'
CALL = '<tool_call>\n{"name": "ticket_status", "arguments": {"ticket": "TICKET-7K2M"}}\n</tool_call>'
REWRITTEN = '{"question": "寄到加拿大要几天？"}'
PROMPT_TOKENS = 10
LOGPROB = -0.5
"""Of each token."""


class FakeModel:
    """Says `output`, or what it makes of the question, in pieces of three characters: tokens, `token_seconds` apart.

    Every `Rendered` carries the prompt's question where a real one has the constraint, or the follow-up.
    """

    def __init__(
        self,
        output: str | Callable[[str], str] = ANSWER,
        *,
        token_seconds: float = 0.1,
        finish: Finish | None = Finish.STOP,
        dies_of: str = "",
        freezes_after: int = 0,
        dies_after: int = 0,
        refuses: EngineError | None = None,
        rewrites: str | Callable[[str], str] = REWRITTEN,
    ) -> None:
        self.output = output
        self.rewrites = rewrites
        self.waiting = 0
        self.token_seconds = token_seconds
        self.finish = finish
        self.dies_of = dies_of
        self.freezes_after, self.dies_after = freezes_after, dies_after
        """Tokens of an output; 0 for never."""
        self.refuses = refuses
        self.asked: list[str] = []
        """The questions, in the order they came."""
        self.canaries = 0
        self.dead = False
        self.closed = False
        self.open_requests = 0
        self._done = 0
        self._moving = asyncio.Event()
        self._moving.set()

    # -- Mishaps --

    def die(self) -> None:
        """As after SIGKILL."""
        self.dead = True
        self._moving.set()

    def freeze(self) -> None:
        """As after SIGSTOP: it is there and says nothing."""
        self._moving.clear()

    def thaw(self) -> None:
        """As after SIGCONT."""
        self._moving.set()

    # -- `bot.engine.model.Model` --

    def load(self) -> Load:
        return Load(
            running=self.open_requests, waiting=self.waiting, prompt_tokens=PROMPT_TOKENS * len(self.asked),
            cached_tokens=0, output_tokens=self._done,
        )  # fmt: skip

    def render(self, prompt: Prompt) -> Rendered:
        return Rendered(tokens=range(PROMPT_TOKENS), constraint=prompt.question)

    def render_followup(self, followup: FollowUp) -> Rendered:
        return Rendered(tokens=range(PROMPT_TOKENS), constraint=followup.text, rewriting=True)

    async def stream(self, rendered: Rendered) -> AsyncGenerator[Piece, None]:
        self.asked.append(rendered.constraint)
        says = self.rewrites if rendered.rewriting else self.output
        output = says if isinstance(says, str) else says(rendered.constraint)
        pieces = [output[at : at + 3] for at in range(0, len(output), 3)]
        self.open_requests += 1
        try:
            if self.refuses is not None:
                raise self.refuses
            for number, text in enumerate(pieces, 1):
                await self._next_token()
                if self.dies_of and self.dies_of in rendered.constraint:
                    self.die()
                    raise EngineUnavailable("the engine has died")
                if number == self.freezes_after:
                    self.freeze()
                if number == self.dies_after:
                    self.die()
                self._done += 1
                finish = self.finish if number == len(pieces) else None
                yield Piece(text=text, tokens=1, logprob=LOGPROB, finish=finish)
        finally:
            self.open_requests -= 1

    async def warm_up(self) -> None:
        await self.canary()

    async def canary(self) -> None:
        self.canaries += 1
        self.open_requests += 1
        try:
            await self._next_token()
        finally:
            self.open_requests -= 1

    async def close(self) -> None:
        self.die()
        self.closed = True

    async def _next_token(self) -> None:
        await asyncio.sleep(self.token_seconds)
        await self._moving.wait()
        if self.dead:
            raise EngineUnavailable("the engine has died")


class Loader:
    """Loads what a test has laid out, one after the other, each in `seconds`. An error is raised instead."""

    def __init__(self, *models: Model | Exception, seconds: float = 30.0) -> None:
        self._models = list(models)
        self.seconds = seconds
        self.began: list[float] = []
        """When, on the loop's clock."""

    @property
    def left(self) -> Sequence[Model | Exception]:
        """What was not asked for yet."""
        return self._models

    async def __call__(self) -> Model:
        self.began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.seconds)
        model = self._models.pop(0)
        if isinstance(model, Exception):
            raise model
        return model
