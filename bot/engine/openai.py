"""The engine behind any OpenAI-compatible server: a vLLM cluster, Ollama, llama.cpp's server, a hosted Qwen.

How a request is formed, and what each server makes of it, stands in `bot.engine.openai_request`; `docs/openai.md` says
how to connect one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace

from bot.dialogue.prompt import estimated_tokens
from bot.engine.chat import Chat, asked_again, chat_of, repair_tokens
from bot.engine.openai_events import EventStream, OutputCutOff, ReplyReader, Usage, read_chunk
from bot.engine.openai_request import Ask, Constraint, Form, rewriting_of
from bot.engine.openai_server import (
    ModelServer,
    OfferedModel,
    Patience,
    PromptRefused,
    RequestRefused,
    ServerSilent,
    Watch,
    found,
)
from bot.engine.openai_standing import Standing
from bot.engine.output import SaidAnswer, read_rewriting
from bot.engine.rewriting import Rewriter
from bot.errors import BadOutput, EngineBusy, EngineError, EngineTimeout, EngineUnavailable
from bot.messages import Answered, Delta, EngineOutput, FollowUp, FunctionCall, Prompt, Rewritten
from bot.ports import Clock, EngineHealth
from bot.sections import ModelSettings
from bot.telemetry import Metrics, get_logger

DEFAULT_MODEL_LEN = 8192
"""Prompt and output together, in tokens, where neither model.max_model_len nor the server says it. Any server of
Qwen2.5 can hold that much; Ollama has to be told to (OLLAMA_CONTEXT_LENGTH)."""
ESTIMATE_MARGIN = 0.1
"""The share of the room that stays free: the server's tokenizer is not here, so tokens are estimated."""

log = get_logger(__name__)


class OpenAIEngine:
    """Answers through one server's chat completions, streamed.

    At most two requests are made for one generation: an output that can not be read is asked for once more, at
    temperature 0 and without functions. Requests that the server refuses for their form are not counted among them;
    after the first such generation the form is known.
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        history_tokens: int,
        metrics: Metrics,
        clock: Clock,
        patience: Patience | None = None,
    ) -> None:
        self._settings = settings
        self._history_tokens = history_tokens
        self._metrics = metrics
        self._clock = clock
        self._patience = patience or Patience()
        self._server = ModelServer(settings.base_url, settings.api_key.get_secret_value(), clock=clock)
        self._standing = Standing(clock, metrics)
        self._rewriter = Rewriter(clock, metrics)
        self._form = Form()
        self._met_vllm = False
        self._model_len = settings.max_model_len or DEFAULT_MODEL_LEN
        self._slots = asyncio.Semaphore(settings.max_concurrency) if settings.max_concurrency else None
        self._started = False
        self._probing: asyncio.Task[None] | None = None
        self._trouble = asyncio.Event()

    @property
    def name(self) -> str:
        return "openai"

    async def start(self) -> None:
        """Asks the server for its models. One that does not answer is asked again in the background."""
        await self._server.open()
        self._started = True
        await self._probe()
        self._probing = asyncio.create_task(self._keep_probing(), name="model server probe")

    async def wait_loaded(self) -> None:
        """`start` has asked already."""

    async def close(self) -> None:
        self._started = False
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
            self._probing = None
        await self._server.close()

    def health(self) -> EngineHealth:
        return self._standing.health() if self._started else EngineHealth(ready=False, detail="is not started")

    # -- A generation --

    async def generate(self, prompt: Prompt) -> AsyncGenerator[EngineOutput, None]:
        if not self._started:
            raise EngineUnavailable("the engine is not started")
        self._standing.require()
        deadline = self._clock.monotonic() + self._settings.timeout_seconds
        ended: Answered | FunctionCall | None = None
        async with self._slot(), aclosing(self._asked(prompt, deadline)) as outputs:
            with self._metrics.engine_running.track_inprogress():
                async for output in outputs:
                    if isinstance(output, Delta):
                        yield output
                    else:
                        ended = output
        assert ended is not None
        yield ended

    async def rewrite(self, followup: FollowUp, *, seconds: float) -> Rewritten | None:
        if not self.health().ready:
            return None
        return await self._rewriter.rewritten(lambda: self._rewritten(followup), seconds=seconds)

    async def _rewritten(self, followup: FollowUp) -> Rewritten:
        if self._slots is not None and self._slots.locked():
            raise EngineBusy("as many generations run as model.max_concurrency allows")
        ask = rewriting_of(followup, model=self._settings.name)
        reply, deadline = ReplyReader(), self._clock.monotonic() + self._settings.timeout_seconds
        async with self._slot(), aclosing(self._snapshots(ask, reply, deadline)) as snapshots:
            with self._metrics.engine_running.track_inprogress():
                async for _ in snapshots:
                    """Nobody is shown it."""
        tokens = self._tokens(reply, ask)
        if reply.finished != "stop":
            raise BadOutput("the output was longer than it may be, or is a call")
        return Rewritten(text=read_rewriting(reply.text), tokens=tokens)

    async def _asked(self, prompt: Prompt, deadline: float) -> AsyncGenerator[EngineOutput, None]:
        """Deltas and an end, with one more try for an output that can not be read.

        What was shown can not be taken back: of the second try only what goes on from there is shown.
        """
        chat = self._chat(prompt)
        shown, spent = "", 0
        for again in (False, True):
            reply = ReplyReader()
            ask = self._ask(prompt, asked_again(chat, prompt) if again else chat, again=again)
            try:
                async with aclosing(self._snapshots(ask, reply, deadline)) as snapshots:
                    async for text in snapshots:
                        if text.startswith(shown) and text != shown:
                            shown = text
                            yield Delta(text=text)
                end = _ended(reply, ask)
            except BadOutput as error:
                if isinstance(error, PromptRefused):
                    log.warning("the model server refuses a request", reason=str(error))
                if again or prompt.last_try or isinstance(error, OutputCutOff | PromptRefused):
                    raise
                # The kind of fault only; none of the reasons quotes the output.
                log.warning("the model's output can not be read, it is asked once more", reason=str(error))
                spent += self._tokens(reply, ask)
            else:
                yield replace(end, tokens=spent + self._tokens(reply, ask))
                return

    async def _snapshots(self, ask: Ask, reply: ReplyReader, deadline: float) -> AsyncGenerator[str, None]:
        """The answer's text each time it has grown; `reply` holds all of it in the end.

        Tells the standing what became of it.
        """
        watch = Watch(self._clock, self._patience, deadline)
        try:
            async with self._opened(ask, watch) as pieces, aclosing(self._read(pieces, reply, watch)) as snapshots:
                async for text in snapshots:
                    yield text
        except (EngineUnavailable, ServerSilent) as error:
            if self._started:
                self._standing.failed(error, generating=True)
                self._trouble.set()
            raise

    @asynccontextmanager
    async def _opened(self, ask: Ask, watch: Watch) -> AsyncIterator[AsyncIterator[bytes]]:
        """The reply's bytes, asked for in the strongest form that the server takes."""
        form: Form | None = self._form
        while form is not None:
            try:
                async with self._server.generation(form.body(ask), watch) as pieces:
                    self._remember(form)
                    yield pieces
                    return
            except RequestRefused as refusal:
                form = form.weaker(refusal.words, with_tools=bool(ask.tools))
        raise PromptRefused("the model server refuses the request in every form")

    def _remember(self, form: Form) -> None:
        weaker = self._form.without_more_than(form)
        if weaker != self._form:
            self._form = weaker
            log.warning("the model server does not take everything that was asked of it", left=weaker.described())

    async def _read(self, pieces: AsyncIterator[bytes], reply: ReplyReader, watch: Watch) -> AsyncGenerator[str, None]:
        events = EventStream()
        try:
            async for piece in pieces:
                for event in events.feed(piece):
                    chunk = read_chunk(event)
                    if chunk is None:
                        watch.allow(self._patience.hanging_up)
                        break
                    snapshot = reply.feed(chunk)
                    if chunk.moves:
                        self._standing.heard()
                        watch.allow(self._patience.figures if reply.finished else self._patience.silence)
                    if snapshot is not None:
                        yield snapshot
        except (EngineUnavailable, EngineTimeout):
            # After the output's end only figures follow, and an answer does not wait or fall for them.
            if not reply.finished:
                raise
        if not reply.finished:
            raise EngineUnavailable("the model server ended its output in the middle")

    # -- What is asked --

    def _chat(self, prompt: Prompt) -> Chat:
        room = int((self._model_len - self._max_tokens()) * (1 - ESTIMATE_MARGIN))
        chat = chat_of(
            prompt,
            room=room - repair_tokens(prompt, estimated_tokens),
            history_tokens=self._history_tokens,
            count=estimated_tokens,
        )
        if chat.question_shortened or chat.passages_left_out:
            log.info(
                "a prompt was shortened",
                question=chat.question_shortened,
                passages=chat.passages_left_out,
                history=chat.history_left_out,
            )
        return chat

    def _ask(self, prompt: Prompt, chat: Chat, *, again: bool) -> Ask:
        return Ask(
            model=self._settings.name,
            messages=chat.messages,
            max_chars=prompt.max_answer_chars,
            tools=chat.tools,
            functions=prompt.functions if chat.tools else (),
            temperature=0.0 if again else self._settings.temperature,
            top_p=self._settings.top_p,
            max_tokens=self._max_tokens(),
        )

    def _max_tokens(self) -> int:
        """A small model's prompt needs room as well."""
        return min(self._settings.max_tokens, self._model_len // 2)

    def _tokens(self, reply: ReplyReader, ask: Ask) -> int:
        """What the server counted. An estimate where it does not: a person's daily share counts there too."""
        usage = reply.usage
        if usage is None:
            usage = Usage(
                prompt_tokens=sum(estimated_tokens(message["content"]) for message in ask.messages),
                completion_tokens=estimated_tokens(reply.text),
            )
        counted = self._metrics.engine_tokens
        counted.labels("prompt").inc(usage.prompt_tokens)
        counted.labels("output").inc(usage.completion_tokens)
        counted.labels("cached").inc(usage.cached_tokens)
        return usage.prompt_tokens + usage.completion_tokens

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._slots is None:
            yield
            return
        try:
            async with asyncio.timeout(self._patience.slot):
                await self._slots.acquire()
        except TimeoutError:
            raise EngineBusy("as many generations run as model.max_concurrency allows") from None
        try:
            if not self._started:
                raise EngineUnavailable("the engine is closed")
            yield
        finally:
            self._slots.release()

    # -- The probe --

    async def _keep_probing(self) -> None:
        """Notices a server that goes before a customer does, and one that comes back."""
        while True:
            if self._standing.health().ready:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._patience.probe_while_up):
                        await self._trouble.wait()
                self._trouble.clear()
            if not self._standing.health().ready:
                await asyncio.sleep(self._patience.probe_while_down)
            try:
                await self._probe()
            except Exception:  # without its probe a server that was down would stay unused for good
                log.exception("the probe of the model server failed")

    async def _probe(self) -> None:
        if self._standing.resting:
            return
        try:
            async with asyncio.timeout(self._patience.probe):
                models = await self._server.models()
            if self._standing.failed_generating:
                # A server whose model hangs still gives out its list.
                async with asyncio.timeout(self._patience.first):
                    await self._server.say_one_word(self._settings.name)
        except TimeoutError:
            self._standing.failed(EngineTimeout("the model server does not answer"), generating=False)
        except EngineError as error:
            self._standing.failed(error, generating=False)
        else:
            self._standing.heard()
            offered = found(models or (), self._settings.name)
            if offered is not None:
                self._meet(offered)

    def _meet(self, offered: OfferedModel) -> None:
        """Takes from the server's list what it says of the model."""
        if not self._settings.max_model_len:
            self._model_len = offered.max_model_len or DEFAULT_MODEL_LEN
        if offered.owned_by == "vllm" and not self._met_vllm:
            self._met_vllm = True
            self._form = replace(self._form, constraint=Constraint.GRAMMAR)


def _ended(reply: ReplyReader, ask: Ask) -> Answered | FunctionCall:
    said = reply.end()
    if isinstance(said, SaidAnswer):
        return Answered(text=said.text, confidence=said.confidence, logprob=reply.logprob)
    if not ask.functions:
        raise BadOutput("the model calls a function although it was offered none")
    return FunctionCall(name=said.name, arguments=said.arguments)
