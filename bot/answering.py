"""What answers: knowledge, engine and dialogue, opened after messages are already being accepted.

A start may take a while (an index to open, a model to load); messages that arrive meanwhile are stored, and their
turns wait here.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from bot.caching import Cache, health_of, open_cache
from bot.dialogue.core import Dialogue
from bot.dialogue.functions.registry import Functions, NoCalls
from bot.dialogue.functions.tickets import ticket_functions
from bot.dialogue.intents import SHIPPED
from bot.dialogue.phrases import Phrases
from bot.dialogue.settings import DialogueSettings
from bot.dialogue.ticketing import Ticketing
from bot.dialogue.understanding import Understanding
from bot.engine import vllm_model
from bot.engine.extractive import ExtractiveEngine
from bot.engine.fallback import REST_SECONDS, FallbackEngine
from bot.engine.openai import OpenAIEngine
from bot.engine.vllm import Patience, VllmEngine
from bot.engine.vllm_settings import FROM_MODEL_SECTION, VllmSettings, problem_of
from bot.errors import KnowledgeUnavailable, OperatorError
from bot.messages import ConversationRef, IncomingMessage, Reply, Sender, Turn, TurnResult
from bot.ports import Clock, Engine, SnapshotSink
from bot.retrieval import Retrieval
from bot.server.ports import PartHealth
from bot.settings import Settings
from bot.telemetry import Metrics, get_logger
from knowledge.config import KnowledgeConfig
from knowledge.errors import EmbedderAwayError, EmbedderError, KnowledgeError, RerankerError
from knowledge.ledger import Ledger
from knowledge.service import Knowledge, open_knowledge

INTENTS_FILE = "intents.toml"
"""In the data folder: an operator's own copy of the examples, used instead of the shipped one."""
REOPEN_SECONDS = 30.0
TURN_MARGIN_SECONDS = 30.0
"""What a turn may take beside its generation."""
FALLBACK_MARGIN_SECONDS = 1.0
"""An engine keeps its time limit itself and knows then what was wrong; the fallback waits for it so much longer."""

log = get_logger(__name__)


class Answering:
    """Responds to turns once it is open."""

    def __init__(
        self,
        settings: Settings,
        dialogue_settings: DialogueSettings,
        *,
        phrases: Phrases,
        ticketing: Ticketing,
        functions: Functions,
        ledger: Ledger,
        metrics: Metrics,
        clock: Clock,
        data: Path,
    ) -> None:
        self._settings = settings
        self._dialogue_settings = dialogue_settings
        self._phrases = phrases
        self._ticketing = ticketing
        self._functions = functions
        self._ledger = ledger
        self._metrics = metrics
        self._clock = clock
        self._data = data
        self._engine: Engine | None = None
        self._dialogue: Dialogue | None = None
        self._rehearsal: Dialogue | None = None
        self._knowledge: Knowledge | None = None
        self._cache: Cache | None = None
        self._opened = asyncio.Event()
        self._problem = "is being opened"

    async def open(self, stack: AsyncExitStack, *, patient: bool) -> None:
        """Opens knowledge and engine.

        :param patient: try a knowledge that can not be opened again until it can; messages wait meanwhile.
        :raises OperatorError: it will not open before somebody has changed something.
        """
        while True:
            try:
                async with AsyncExitStack() as attempt:
                    await self._open(attempt, patient=patient)
                    stack.push_async_exit(attempt.pop_all())
                break
            except KnowledgeError as error:
                lasting = isinstance(error, EmbedderError | RerankerError)
                if not patient or (lasting and not isinstance(error, EmbedderAwayError)):
                    raise OperatorError(str(error)) from error
                self._problem = str(error)
                log.error("the knowledge can not be opened", reason=str(error))
                await asyncio.sleep(REOPEN_SECONDS)
        self._problem = ""
        self._opened.set()

    async def _open(self, stack: AsyncExitStack, *, patient: bool) -> None:
        config = self._settings.knowledge
        cache = await stack.enter_async_context(open_cache(self._settings.cache, self._metrics))
        knowledge = await stack.enter_async_context(
            open_knowledge(knowledge_config(self._settings), ledger=self._ledger, cache=cache)
        )
        # Who serves customers does not let them wait for an index that has to be made anew.
        report = await (knowledge.begin() if patient else knowledge.ensure_samples())
        if report is not None:
            log.info("the sample knowledge was indexed; bring your own: kefu knowledge sync", added=report.added)
        self._knowledge, self._cache = knowledge, cache
        retrieval = Retrieval(knowledge.retriever)
        own = self._data / INTENTS_FILE
        examples = own if await asyncio.to_thread(own.exists) else SHIPPED
        understanding = await Understanding.load(
            retrieval, examples, embedder=config.embedder, cache=self._data / "cache"
        )
        # In a thread, because a folder of weights is looked at.
        engine = await asyncio.to_thread(
            make_engine, self._settings, data=self._data, metrics=self._metrics, clock=self._clock
        )
        await engine.start()
        stack.push_async_callback(engine.close)
        self._engine = engine
        if not patient:
            # Somebody sits at a terminal and wants the model's answer, not the one of the engine that stands in for it.
            await engine.wait_loaded()
        dialogue = functools.partial(
            Dialogue,
            knowledge=retrieval,
            engine=engine,
            ticketing=self._ticketing,
            understanding=understanding,
            phrases=self._phrases,
            settings=self._dialogue_settings,
            clock=self._clock,
        )
        self._dialogue = dialogue(functions=self._functions)
        # A turn's tickets are only effects, which nobody carries out; what a company's function does would be done.
        harmless = Functions(ticket_functions(self._ticketing), log=NoCalls(), clock=self._clock)
        self._rehearsal = dialogue(functions=harmless)

    async def wait(self) -> None:
        """Returns once turns are answered."""
        await self._opened.wait()

    async def knowledge(self) -> Knowledge:
        """The opened knowledge, once turns are answered. Closed with what `open` was given."""
        await self._opened.wait()
        assert self._knowledge is not None
        return self._knowledge

    async def keep_whole(self) -> None:
        """Mends the index whenever it needs it, until cancelled."""
        await (await self.knowledge()).mender.run()

    def measure(self) -> None:
        """Puts how the index is among the figures."""
        if self._knowledge is not None:
            self._metrics.index_whole.set(not self._knowledge.mender.standing)

    async def respond(self, turn: Turn, show: SnapshotSink) -> TurnResult:
        """See `bot.turns.runner.Responder`."""
        await self._opened.wait()
        assert self._dialogue is not None
        return await self._dialogue.respond(turn, show)

    async def newest_version(self) -> int:
        """See `bot.replaying.Answers`."""
        knowledge = await self.knowledge()
        if knowledge.mender.standing:
            return 0
        try:
            return await knowledge.retriever.refresh()
        except KnowledgeError as error:
            raise KnowledgeUnavailable(str(error)) from error

    async def ask_again(self, question: str, collections: Sequence[str]) -> Reply | None:
        """See `bot.replaying.Answers`."""
        assert self._rehearsal is not None
        now, name = self._clock.now(), f"again-{secrets.token_hex(8)}"
        somewhere = ConversationRef(platform="replay", account="", channel=name)
        sender = Sender(id=f"replay:{name}")
        message = IncomingMessage(
            keys=(name,),
            conversation=somewhere,
            sender=sender,
            text=question,
            sent_at=now,
            collections=tuple(collections),
        )
        turn = Turn(id=name, conversation=somewhere, sender=sender, messages=(message,), started_at=now)
        return (await self._rehearsal.respond(turn, _to_nobody)).reply

    def expect(self, message: IncomingMessage) -> None:
        """A turn with this message begins in a moment."""
        if self._dialogue is not None:
            self._dialogue.expect(message)

    def health(self) -> tuple[PartHealth, ...]:
        """The knowledge's, the engine's and, where it is a Redis, the cache's state."""
        engine = self._engine.health() if self._engine is not None else None
        cache = health_of(self._cache) if self._cache is not None else ()
        return (
            PartHealth(
                name="knowledge",
                up=self._opened.is_set(),
                needed=True,
                detail=self._problem or (self._knowledge.mender.standing if self._knowledge is not None else ""),
            ),
            PartHealth(
                name="engine",
                up=engine is not None and engine.ready,
                needed=True,
                detail=engine.detail if engine is not None else "is being opened",
            ),
            *cache,
        )


def _to_nobody(_: str) -> None:
    pass


def knowledge_config(settings: Settings) -> KnowledgeConfig:
    """The knowledge's share of the settings."""
    section = settings.knowledge
    key = section.embedder_key
    # The model server's key is for the model server: it goes nowhere else.
    if not section.embedder_url and not key.get_secret_value():
        key = settings.model.api_key
    return KnowledgeConfig(
        uri=section.uri,
        embedder=section.embedder,
        device=section.device,
        embedder_url=section.embedder_url or settings.model.base_url,
        embedder_key=key.get_secret_value(),
        reranker=section.reranker,
        synonyms=Path(section.synonyms) if section.synonyms else None,
        top_k=section.top_k,
        keep_versions=section.keep_versions,
    )


def make_engine(settings: Settings, *, data: Path, metrics: Metrics, clock: Clock) -> Engine:
    """The engine of `model.backend`, with its fallback.

    :raises OperatorError: it can not work here before somebody has changed something.
    """
    model = settings.model
    if model.backend == "extractive":
        return ExtractiveEngine()
    if model.backend == "openai":
        first = _openai(settings, metrics=metrics, clock=clock)
    else:
        first = _vllm(settings, data=data, metrics=metrics, clock=clock)
    if not model.fallback:
        return first
    patience = model.timeout_seconds + FALLBACK_MARGIN_SECONDS
    # vLLM is watched from here: no customer waits for a hang that is known. And one that is full answers the next.
    rest = 0.0 if model.backend == "vllm" else REST_SECONDS
    return FallbackEngine(first, ExtractiveEngine(), clock=clock, timeout_seconds=patience, rest_seconds=rest)


def _openai(settings: Settings, *, metrics: Metrics, clock: Clock) -> Engine:
    return OpenAIEngine(settings.model, history_tokens=settings.dialogue.history_tokens, metrics=metrics, clock=clock)


def _vllm(settings: Settings, *, data: Path, metrics: Metrics, clock: Clock) -> Engine:
    wanted = vllm_settings(settings)
    return VllmEngine(
        lambda: vllm_model.load(wanted, data),
        patience=Patience.within(settings.model.timeout_seconds),
        clock=clock,
        metrics=metrics,
    )


def vllm_settings(settings: Settings) -> VllmSettings:
    """What `model.backend = "vllm"` is to load.

    :raises OperatorError: it can not be loaded here before somebody has changed something.
    """
    model = settings.model
    if importlib.util.find_spec("vllm") is None:
        raise OperatorError('model.backend is "vllm", and vllm is not installed: pip install "kefu[vllm]"')
    wanted = VllmSettings(
        **{name: getattr(model, name) for name in FROM_MODEL_SECTION},
        history_tokens=settings.dialogue.history_tokens,
    )
    if (problem := problem_of(wanted)) is not None:
        raise OperatorError(problem)
    return wanted


def dialogue_settings(settings: Settings) -> DialogueSettings:
    """The dialogue's share of the settings."""
    dialogue = settings.dialogue
    return DialogueSettings(
        history_turns=dialogue.history_turns,
        history_tokens=dialogue.history_tokens,
        max_answer_chars=dialogue.max_answer_chars,
        min_confidence=dialogue.min_confidence,
        language=dialogue.language,
        refusal=dialogue.refusal,
        persona=dialogue.persona,
        rewrite_seconds=dialogue.rewrite_seconds,
        top_k=settings.knowledge.top_k,
        sla_hours=settings.tickets.sla_hours,
        turn_seconds=settings.model.timeout_seconds + TURN_MARGIN_SECONDS,
        ticket_prefix=settings.tickets.prefix,
    )
