"""Qwen2.5 in vLLM's asynchronous engine, inside this process.

vLLM's own health check calls a frozen engine healthy, and an engine that has died stays dead. So it is kept from here:
an engine that dies, or gives no token for `timeout_seconds` although it was asked, is ended and loaded anew, at growing
distances; meanwhile it says that it is not ready, and the fallback answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from bot.engine.model import NOTHING, Finish, LoadFailed, Model, Piece, Rendered
from bot.engine.output import OutputReader, SaidCall, read_rewriting
from bot.engine.rewriting import Rewriter
from bot.engine.suspects import Suspects
from bot.errors import BadOutput, EngineBusy, EngineError, EngineTimeout, EngineUnavailable
from bot.messages import Answered, Delta, EngineOutput, FollowUp, FunctionCall, Prompt, Rewritten
from bot.ports import Clock, EngineHealth
from bot.telemetry import Metrics, get_logger

RELOAD_SECONDS = (1.0, 5.0, 30.0, 300.0)
"""Before it is loaded again after it died or could not be loaded; the last one again and again."""
STEADY_SECONDS = 120.0
"""An engine that lived so long has not died of being loaded."""
WATCH_SECONDS = 0.2
WARM_UP_SECONDS = 300.0
"""A first token may take this long: kernels are being compiled."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the engine may be silent, in seconds."""

    first_token: float
    """Before the first token of an output: the prompt is being read, and others before it."""
    next_token: float
    """Between two tokens."""
    idle: float
    """Without anything to do, before it is tried out."""
    canary: float
    """For the one token of that trial."""
    hang: float
    """Altogether, though asked, before it is ended and loaded again."""
    output: float
    """For a whole output."""

    @classmethod
    def within(cls, timeout_seconds: float) -> Patience:
        """From `model.timeout_seconds`: 30 s and 15 s at its usual 60 s, more on a machine that is known to be slow."""
        return cls(
            first_token=timeout_seconds / 2,
            next_token=timeout_seconds / 4,
            idle=timeout_seconds / 6,
            canary=timeout_seconds / 6,
            hang=timeout_seconds,
            output=timeout_seconds,
        )


class VllmEngine:
    """Answers with a model that it keeps alive. `load` makes one that is ready to be asked."""

    def __init__(
        self, load: Callable[[], Awaitable[Model]], *, patience: Patience, clock: Clock, metrics: Metrics
    ) -> None:
        self._load = load
        self._patience = patience
        self._clock = clock
        self._metrics = metrics
        self._model: Model | None = None
        self._answers = False
        self._problem = "is not started"
        self._heard = 0.0
        """When the engine last gave a token; or was asked for one, the first time after that."""
        self._asked = False
        """Whether it was asked since. Without this, people who ask and press Stop would hide a hang for ever."""
        self._suspects = Suspects(clock)
        self._rewriter = Rewriter(clock, metrics)
        self._lives = 0
        self._measured = NOTHING
        self._tried = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return "vllm"

    async def start(self) -> None:
        self._problem = "is being loaded"
        self._keeper = asyncio.create_task(self._keep(), name="engine keeper")

    async def wait_loaded(self) -> None:
        await self._tried.wait()

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        self._problem = "is not started"
        self._metrics.engine_up.set(0)

    def health(self) -> EngineHealth:
        return EngineHealth(ready=self._answers, detail=self._problem)

    # -- Answering --

    async def generate(self, prompt: Prompt) -> AsyncGenerator[EngineOutput, None]:
        model, life = self._ready(prompt.question)
        rendered = await asyncio.to_thread(model.render, prompt)
        reader, tokens, logprob = OutputReader(), 0, 0.0
        async with aclosing(self._output(model, rendered, prompt.question, life)) as pieces:
            async for piece in pieces:
                tokens += piece.tokens
                logprob += piece.logprob
                if (grown := reader.feed(piece.text)) is not None:
                    yield Delta(text=grown)
        spent = len(rendered.tokens) + tokens
        said = reader.end()
        if isinstance(said, SaidCall):
            yield FunctionCall(name=said.name, arguments=said.arguments, tokens=spent)
        else:
            mean = logprob / tokens if tokens else None
            yield Answered(text=said.text, confidence=said.confidence, logprob=mean, tokens=spent)

    async def rewrite(self, followup: FollowUp, *, seconds: float) -> Rewritten | None:
        if not self._answers:
            return None
        return await self._rewriter.rewritten(lambda: self._rewritten(followup), seconds=seconds)

    async def _rewritten(self, followup: FollowUp) -> Rewritten:
        model, life = self._ready(followup.text)
        if model.load().waiting:
            raise EngineBusy("others wait for the engine")
        rendered = await asyncio.to_thread(model.render_followup, followup)
        text, tokens = "", len(rendered.tokens)
        async with aclosing(self._output(model, rendered, followup.text, life)) as pieces:
            async for piece in pieces:
                text += piece.text
                tokens += piece.tokens
        return Rewritten(text=read_rewriting(text), tokens=tokens)

    def _ready(self, question: str) -> tuple[Model, int]:
        """The model that is to be asked this, and which life of the engine it is.

        :raises EngineUnavailable: there is none now.
        :raises BadOutput: it must not be asked this.
        """
        model = self._model
        if model is None or not self._answers:
            raise EngineUnavailable(self._problem)
        if model.dead:
            raise EngineUnavailable("its processes have died")
        if self._suspects.condemned(question):
            raise BadOutput("the engine has died of this question before")
        return model, self._lives

    async def _output(self, model: Model, rendered: Rendered, question: str, life: int) -> AsyncGenerator[Piece, None]:
        """A whole output, piece by piece.

        :raises EngineError: as `bot.ports.Engine.generate` says.
        """
        finish: Finish | None = None
        if not model.open_requests and not self._asked:
            self._heard, self._asked = self._clock.monotonic(), True
        try:
            async with aclosing(self._timely(model.stream(rendered))) as pieces:
                async for piece in pieces:
                    finish = piece.finish
                    yield piece
        except EngineUnavailable:
            if model.dead:
                self._suspects.saw_it_die(question, life)
            raise
        if finish is Finish.LENGTH:
            raise BadOutput("the output was longer than it may be")
        if finish is not Finish.STOP:
            raise EngineUnavailable("the engine gave this output up")

    async def _timely(self, pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
        """The pieces, each within its time.

        :raises EngineTimeout: one was not.
        """
        started = self._clock.monotonic()
        limit = self._patience.first_token
        try:
            while True:
                left = self._patience.output - (self._clock.monotonic() - started)
                try:
                    async with asyncio.timeout(min(limit, left)):
                        piece = await anext(pieces)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise EngineTimeout("no token within the time limit") from None
                self._hear()
                limit = self._patience.next_token
                yield piece
                if piece.finish is not None:
                    return
        finally:
            await pieces.aclose()

    # -- Keeping it alive --

    async def _keep(self) -> None:
        failures = 0
        while True:
            lived = await self._live()
            failures = 0 if lived > STEADY_SECONDS else failures
            pause = RELOAD_SECONDS[min(failures, len(RELOAD_SECONDS) - 1)]
            failures += 1
            problem = self._problem
            log.error("the engine is loaded again", reason=problem, seconds=pause)
            self._problem = f"{problem}; it is loaded again in {pause:g} s"
            await asyncio.sleep(pause)
            self._problem = f"{problem}; it is being loaded again"
            self._metrics.engine_reloads.inc()

    async def _live(self) -> float:
        """Loads a model and keeps it until it has to be given up. Returns the seconds it lived."""
        started = self._clock.monotonic()
        try:
            model = await self._load()
        except LoadFailed as error:
            self._give_way(str(error))
            return 0.0
        except Exception as error:  # a defect at loading must not leave the house without an engine for good
            log.exception("the engine can not be loaded")
            self._give_way(f"can not be loaded: {type(error).__name__}")
            return 0.0
        try:
            return await self._watch(model)
        except Exception as error:  # nor one in watching
            log.exception("the engine can not be watched")
            self._give_way(f"can not be watched: {type(error).__name__}")
            return self._clock.monotonic() - started

    async def _watch(self, model: Model) -> float:
        """Keeps an eye on a model until it has to be given up; ends it then. Returns the seconds it lived."""
        born = self._clock.monotonic()
        self._measured = NOTHING
        self._lives += 1
        try:
            if await self._warm_up(model):
                log.info("the engine answers", seconds_to_first_token=round(self._clock.monotonic() - born, 1))
                self._hear()
                self._model = model
                self._take_over()
                self._give_way(await self._until_broken(model))
        finally:
            self._model = None
            self._answers = False
            self._metrics.engine_running.set(0)
            self._metrics.engine_waiting.set(0)
            await model.close()
        return self._clock.monotonic() - born

    async def _warm_up(self, model: Model) -> bool:
        try:
            async with asyncio.timeout(max(WARM_UP_SECONDS, self._patience.hang)):
                await model.warm_up()
        except (EngineError, TimeoutError) as error:
            self._give_way(f"gave no first token: {str(error) or 'its time is over'}")
            return False
        return True

    async def _until_broken(self, model: Model) -> str:
        """Returns what is wrong with it, for the operator."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if model.dead:
                return "its processes have died"
            silent = self._clock.monotonic() - self._heard
            if not model.open_requests and silent >= self._patience.idle:
                await self._try_out(model)
            elif model.open_requests and silent >= self._patience.first_token:
                self._give_way(f"has been silent for {silent:.0f} s")
            elif not self._answers and silent < self._patience.canary:
                self._take_over()
            if self._clock.monotonic() - self._heard >= self._patience.hang:
                return f"hangs: no token for {self._patience.hang:.0f} s"
            self._measure(model)

    async def _try_out(self, model: Model) -> None:
        try:
            async with asyncio.timeout(self._patience.canary):
                await model.canary()
        except EngineError:
            return  # if it is dead, that is seen in a moment; if not, it is tried again
        except TimeoutError:
            self._give_way("does not answer when it is tried out")
            return
        self._hear()

    def _hear(self) -> None:
        self._heard, self._asked = self._clock.monotonic(), False

    def _take_over(self) -> None:
        self._answers, self._problem = True, ""
        self._metrics.engine_up.set(1)
        self._tried.set()

    def _give_way(self, problem: str) -> None:
        if self._answers or self._problem != problem:
            log.error("the engine does not answer", reason=problem)
        self._answers, self._problem = False, problem
        self._metrics.engine_up.set(0)
        self._tried.set()

    def _measure(self, model: Model) -> None:
        load, before = model.load(), self._measured
        self._metrics.engine_running.set(load.running)
        self._metrics.engine_waiting.set(load.waiting)
        tokens = self._metrics.engine_tokens
        tokens.labels("prompt").inc(load.prompt_tokens - before.prompt_tokens)
        tokens.labels("cached").inc(load.cached_tokens - before.cached_tokens)
        tokens.labels("output").inc(load.output_tokens - before.output_tokens)
        self._measured = load
