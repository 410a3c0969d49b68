"""A model loaded into vLLM's asynchronous engine. The only module that knows vLLM, which takes seven seconds to import:
it is imported when a model is loaded.

Written against vLLM 0.32 and 0.33. The engine runs in processes of its own; this process talks to it over sockets.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import warnings
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.engine import processes
from bot.engine.chat import Message, chat_of
from bot.engine.grammar import longest_answer, output_tag, rewriting_tag
from bot.engine.model import Finish, Load, LoadFailed, Piece, Rendered
from bot.engine.rewriting import MAX_CHARS, MAX_TOKENS, messages_of
from bot.engine.tokens import PromptTokens
from bot.engine.vllm_settings import VllmSettings, no_room
from bot.errors import BadOutput, EngineUnavailable, SettingsError
from bot.messages import FollowUp, FunctionSpec, Prompt
from bot.telemetry import get_logger

PROCESSES_FILE = "engine-processes.json"
"""In the data folder: what the engine has started, for the start after a crash."""

_CLOSE_SECONDS = 15.0
_LET_GO_SECONDS = 2.0
_WARM_UP_TOKENS = 16
_WARM_UP_OUTPUTS = 4
_NOTE_SECONDS = 1.0
"""How often it is written down what an engine that is being loaded has started: a load may take minutes."""

log = get_logger(__name__)


async def load(settings: VllmSettings, data: Path) -> VllmModel:
    """A loaded model. What an earlier bot left running is ended first.

    :raises LoadFailed: it can not be loaded; says why as far as that is known.
    """
    file = data / PROCESSES_FILE
    if ended := await asyncio.to_thread(processes.end_remembered, file):
        log.warning("an earlier engine was still running and was ended", processes=ended)
    record = await asyncio.to_thread(processes.Record, file)
    # In a thread: it waits for half a minute. A loop that holds another takes it up at the first request.
    building = asyncio.ensure_future(asyncio.to_thread(_build, settings))
    try:
        while not building.done():
            await asyncio.wait([building], timeout=_NOTE_SECONDS)
            await asyncio.to_thread(record.note)
        engine, stats = building.result()
    except BaseException:  # cancelled too: nothing that was started may stay behind
        await _abandon(building, record)
        raise
    return VllmModel(engine, stats, settings, record)


async def _abandon(building: asyncio.Future[tuple[Any, _Stats]], record: processes.Record) -> None:
    """Ends what has been built so far."""
    # A thread can not be stopped; without the processes that it waits for, it ends by itself.
    while not building.done():
        await asyncio.to_thread(record.end)
        await asyncio.wait([building], timeout=0.2)
    if not building.cancelled() and building.exception() is None:
        engine, _ = building.result()
        await asyncio.to_thread(_shut_down, engine)
    await asyncio.to_thread(record.end)


class VllmModel:
    """A `bot.engine.model.Model`. `load` makes it."""

    def __init__(
        self,
        engine: Any,
        stats: _Stats,
        settings: VllmSettings,
        record: processes.Record,
    ) -> None:
        self._engine = engine
        self._stats = stats
        self._settings = settings
        self._record = record
        self._tokenizer = engine.get_tokenizer()
        self._room = engine.model_config.max_model_len - settings.max_tokens
        self._numbers = itertools.count(1)
        self._tokens = PromptTokens(self._tokenizer)

    @property
    def dead(self) -> bool:
        return bool(self._engine.errored)

    @property
    def open_requests(self) -> int:
        return int(self._engine.get_num_unfinished_requests())

    def load(self) -> Load:
        return self._stats.load()

    def render(self, prompt: Prompt) -> Rendered:
        prompt = replace(prompt, functions=self._offered(prompt.functions))
        chat = chat_of(prompt, room=self._room, history_tokens=self._settings.history_tokens, count=self._tokens.count)
        if chat.question_shortened or chat.passages_left_out:
            log.info(
                "a prompt was shortened",
                question=chat.question_shortened,
                passages=chat.passages_left_out,
                history=chat.history_left_out,
            )
        most = longest_answer(prompt.max_answer_chars, self._settings.max_tokens)
        tokens = self._as_tokens(chat.messages, chat.tools)
        return Rendered(tokens=tokens, constraint=output_tag(prompt.functions, max_chars=most))

    def render_followup(self, followup: FollowUp) -> Rendered:
        tokens = self._as_tokens(messages_of(followup), ())
        return Rendered(tokens=tokens, constraint=rewriting_tag(MAX_CHARS), rewriting=True)

    def _as_tokens(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> Sequence[int]:
        text = self._tokenizer.apply_chat_template(
            list(messages), tools=list(tools) or None, add_generation_prompt=True, tokenize=False
        )
        return self._tokens.of(text)

    def _offered(self, functions: Sequence[FunctionSpec]) -> tuple[FunctionSpec, ...]:
        """Those that a model can be held to. The others are not called: what they would be called with is anybody's
        guess."""
        offered = []
        for function in functions:
            try:
                output_tag((replace(function, withheld=False),), max_chars=1)
            except SettingsError as error:
                log.error("a function can not be offered", reason=str(error))
            else:
                offered.append(function)
        return tuple(offered)

    async def stream(self, rendered: Rendered) -> AsyncGenerator[Piece, None]:
        logprob = 0.0
        if rendered.rewriting:
            parameters = self._parameters(rendered.constraint, MAX_TOKENS, temperature=0.0)
        else:
            parameters = self._parameters(rendered.constraint, self._settings.max_tokens)
        async with aclosing(self._generate(rendered.tokens, parameters)) as outputs:
            async for output in outputs:
                [said] = output.outputs
                total = said.cumulative_logprob or 0.0
                yield Piece(
                    text=said.text,
                    tokens=len(said.token_ids),
                    logprob=total - logprob,
                    finish=_finish(said.finish_reason),
                )
                logprob = total

    async def warm_up(self) -> None:
        # One output alone, then some at once: some kernels are compiled once for each of the two.
        await self._try_out(_WARM_UP_TOKENS)
        await asyncio.gather(*(self._try_out(_WARM_UP_TOKENS) for _ in range(_WARM_UP_OUTPUTS)))
        # Compiling has processes of its own.
        await asyncio.to_thread(self._record.note)

    async def canary(self) -> None:
        await self._try_out(1)

    async def _try_out(self, tokens: int) -> None:
        """So many tokens of an output that is constrained and sampled as every other is."""
        prompt = self._tokens.of("你好")
        parameters = self._parameters(output_tag((), max_chars=tokens), tokens)
        async with aclosing(self._generate(prompt, parameters)) as outputs:
            async for _ in outputs:
                pass

    def _parameters(self, constraint: str, max_tokens: int, *, temperature: float | None = None) -> Any:
        from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

        return SamplingParams(
            temperature=self._settings.temperature if temperature is None else temperature,
            top_p=self._settings.top_p,
            max_tokens=max_tokens,
            structured_outputs=StructuredOutputsParams(structural_tag=constraint),
            output_kind=RequestOutputKind.DELTA,
            logprobs=0,  # of the chosen tokens alone
        )

    async def close(self) -> None:
        # Of its own end, vLLM logs a page of tracebacks.
        logging.getLogger("vllm").setLevel(logging.CRITICAL)
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                # Killed, not asked: a process that hangs would be asked for ever.
                await asyncio.to_thread(processes.kill, self._record.processes)
                await self._let_go()
                await asyncio.to_thread(self._end)
        except TimeoutError:
            log.error("the engine could not be ended in time", seconds=_CLOSE_SECONDS)

    async def _let_go(self) -> None:
        """Waits until those who wait for outputs know that there are none; an engine that is shut down tells nobody."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LET_GO_SECONDS):
                while self.open_requests:  # noqa: ASYNC110 - vLLM has no event for it
                    await asyncio.sleep(0.01)

    def _end(self) -> None:
        _shut_down(self._engine)
        self._record.end()

    async def _generate(self, tokens: Any, parameters: Any) -> AsyncGenerator[Any, None]:
        """vLLM's own stream, with our errors. Closing it aborts the request in the engine."""
        from vllm.exceptions import GracefulHTTPError, VLLMClientError
        from vllm.inputs.engine import tokens_input
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        request = f"kefu-{next(self._numbers)}"
        ended = False
        try:
            stream = self._engine.generate(tokens_input(list(tokens)), parameters, request)
            async with aclosing(stream) as outputs:
                async for output in outputs:
                    yield output
            ended = True
        except EngineDeadError:
            raise EngineUnavailable("the engine has died") from None
        except EngineGenerateError as error:
            raise EngineUnavailable(f"the engine failed this output: {type(error.__cause__).__name__}") from None
        except GracefulHTTPError:
            raise EngineUnavailable("the engine takes no more requests") from None
        except VLLMClientError as error:
            # Its text may quote the prompt.
            raise BadOutput(f"the engine refuses the prompt: {type(error).__name__}") from None
        finally:
            if not ended:
                # vLLM aborts what is cancelled, but not while it is still being handed over (its issue 57061).
                await self._engine.abort(request)


def _shut_down(engine: Any) -> None:
    engine.shutdown(0.0)
    # At the interpreter's end its __del__ would do it once more, among modules that are gone.
    engine.shutdown = _already_shut_down


def _already_shut_down(timeout: float | None = None) -> None:
    """Instead of an engine's own `shutdown`."""


def _finish(reason: str | None) -> Finish | None:
    if reason is None:
        return None
    # "error", "repetition", or what later versions add: nothing that could be used.
    return Finish(reason) if reason in set(Finish) else Finish.ABORT


class _Stats:
    """Counts what vLLM tells its loggers."""

    def __init__(self) -> None:
        self._running = self._waiting = self._prompt = self._cached = self._output = 0

    def load(self) -> Load:
        return Load(
            running=self._running,
            waiting=self._waiting,
            prompt_tokens=self._prompt,
            cached_tokens=self._cached,
            output_tokens=self._output,
        )

    def record(self, scheduler: Any, iteration: Any) -> None:
        """See `vllm.v1.metrics.loggers.StatLoggerBase.record`."""
        if scheduler is not None:
            self._running, self._waiting = scheduler.num_running_reqs, scheduler.num_waiting_reqs
            self._prompt += scheduler.prefix_cache_stats.queries
            self._cached += scheduler.prefix_cache_stats.hits
        if iteration is not None:
            self._output += iteration.num_generation_tokens


def _build(settings: VllmSettings) -> tuple[Any, _Stats]:
    # Before vLLM is imported, which reads them. A forked child would inherit the index's threads, locked.
    defaults = {
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    }
    if settings.hub == "modelscope":
        defaults["VLLM_USE_MODELSCOPE"] = "True"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    logging.getLogger("vllm").setLevel(logging.WARNING)
    # It belonged to the engine that was ended before this one.
    warnings.filterwarnings("ignore", message="resource_tracker: process died unexpectedly")
    try:
        return _built(settings)
    except LoadFailed:
        raise
    except ImportError as error:
        raise LoadFailed(f"vllm can not be imported: {_one_line(error)}") from None
    except OSError as error:
        raise LoadFailed(f"model.name: {settings.name} can not be read: {_one_line(error)}") from None
    except Exception as error:  # noqa: BLE001 - whatever a library makes of a setting or a card is the operator's to read
        raise LoadFailed(f"{settings.name} can not be loaded: {_one_line(error)}") from None


def _built(settings: VllmSettings) -> tuple[Any, _Stats]:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM
    from vllm.v1.metrics.loggers import StatLoggerBase

    stats = _Stats()

    class Logger(StatLoggerBase):  # type: ignore[misc]  # vLLM brings no types that mypy can follow
        def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
            """Made by vLLM, one an engine."""

        def record(self, scheduler_stats: Any, iteration_stats: Any, *_rest: Any, **_more: Any) -> None:
            stats.record(scheduler_stats, iteration_stats)

        def log_engine_initialized(self) -> None:
            """Nothing to say."""

    try:
        arguments = AsyncEngineArgs(**settings.arguments())
    except TypeError as error:
        raise LoadFailed(f"model.engine_args: {_one_line(error)}") from None
    check_card(settings)
    engine = AsyncLLM.from_engine_args(arguments, stat_loggers=[Logger])
    if problem := no_room(settings.max_tokens, engine.model_config.max_model_len):
        _shut_down(engine)
        raise LoadFailed(problem)
    return engine, stats


def check_card(settings: VllmSettings) -> str:
    """A card that can not even hold the weights is named before vLLM has tried for minutes. Loads nothing.

    :returns: what there is, e.g. "80.0 GiB of GPU memory".
    :raises LoadFailed: it is too small.
    """
    try:
        from vllm.platforms import current_platform
    except ImportError as error:
        raise LoadFailed(f"vllm can not be imported: {_one_line(error)}") from None
    folder = Path(settings.name)
    if not current_platform.is_cuda():
        return "no GPU: vLLM's CPU build"
    total = current_platform.get_device_total_memory()
    found = f"{total / 2**30:.1f} GiB of GPU memory"
    if not folder.is_dir():
        return found  # what a hub's model weighs is known when it has been fetched
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    share = weights / settings.tensor_parallel_size
    allowed = total * settings.gpu_memory_utilization
    if share > allowed:
        raise LoadFailed(
            f"the card is too small: the weights take {share / 2**30:.1f} GiB of it, and it may use "
            f"{allowed / 2**30:.1f} GiB; see docs/operating.md for what fits which card"
        )
    return found


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
