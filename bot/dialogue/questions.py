"""Answering one question: search, one generation, grounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.dialogue import followups
from bot.dialogue.answer import fit, read_generation
from bot.dialogue.functions.registry import Call, Functions
from bot.dialogue.language import shown
from bot.dialogue.prompt import build_prompt
from bot.dialogue.settings import DialogueSettings
from bot.dialogue.text import searchable
from bot.dialogue.understanding import Understanding
from bot.errors import BadOutput
from bot.messages import Answered, FunctionCall, Language, Passage, Prompt, Source, Turn
from bot.ports import Engine, Knowledge, SnapshotSink
from bot.telemetry import get_logger

SUGGESTED_FROM = 0.35
"""From this chance on, a question that is not answered is met with the nearest one that can be."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of one question."""

    question: str
    """In the form it was searched for."""
    text: str = ""
    """The answer; "" where there is none to give."""
    confidence: float = 0.0
    sources: tuple[Source, ...] = ()
    nearest: str = ""
    """A question that the knowledge answers and that may have been meant; "" for none."""
    call: Call | None = None
    """The engine wants a function called instead."""
    tokens: int = 0
    knowledge_version: int = 0
    """Of the knowledge that was searched; 0 where nothing was found."""


class Questions:
    """Finds answers in the knowledge."""

    def __init__(
        self,
        *,
        knowledge: Knowledge,
        engine: Engine,
        understanding: Understanding,
        functions: Functions,
        settings: DialogueSettings,
    ) -> None:
        self._knowledge = knowledge
        self._engine = engine
        self._understanding = understanding
        self._functions = functions
        self._settings = settings

    def expect(self, text: str, collections: Sequence[str]) -> None:
        """This question will be answered in a moment, if it stands on its own."""
        self._knowledge.expect(_words(text), collections=collections, limit=self._settings.top_k)

    async def answer(
        self, text: str, *, previous: str, turn: Turn, language: Language, wish: float, show: SnapshotSink
    ) -> Finding:
        """Answers `text`, which may lean on the question `previous`.

        :param wish: how much it is a wish for a ticket or a person, 0 to 1.
        :raises KnowledgeUnavailable: nothing can be searched now.
        :raises EngineError: the engine failed.
        """
        question, passages = await self._search(_words(text), previous, turn.collections)
        if not passages:
            return Finding(question=question)
        # A sync may fall between two searches of a follow-up.
        version = max(passage.version for passage in passages)
        passages = self._understanding.weighed(question, passages)
        prompt = build_prompt(
            question,
            passages,
            history=turn.history,
            language=language,
            functions=self._functions.specs(language, turn.collections, wish=wish, has_ticket=bool(turn.open_ticket)),
            settings=self._settings,
        )

        def sure(text: str) -> bool:
            verdict = self._understanding.judged(Answered(text=text, confidence=1.0), question, passages)
            return verdict.confidence >= self._settings.min_confidence

        answer, call, tokens = await self._generate(prompt, turn.collections, show, sure)
        if call is not None:
            return Finding(question=question, call=call, tokens=tokens, knowledge_version=version)
        verdict = self._understanding.judged(answer, question, passages)
        nearest = _nearest(passages, language)
        if verdict.confidence < self._settings.min_confidence:
            return Finding(
                question=question,
                confidence=verdict.confidence,
                nearest=nearest,
                tokens=tokens,
                knowledge_version=version,
            )
        return Finding(
            question=question,
            text=fit(answer.text, self._settings.max_answer_chars),
            confidence=verdict.confidence,
            sources=_sources(verdict.sources),
            tokens=tokens,
            knowledge_version=version,
        )

    async def _search(self, text: str, previous: str, collections: Sequence[str]) -> tuple[str, tuple[Passage, ...]]:
        """The question in the form it was searched for, and what was found."""
        limit = self._settings.top_k
        if not previous or not followups.leans_back(text):
            return text, await self._knowledge.search(text, collections=collections, limit=limit)
        question = followups.combined(previous, text)
        # One after the other: embedding takes every core as it is.
        alone = await self._knowledge.search(followups.subject(text), collections=collections, limit=2 * limit)
        together = await self._knowledge.search(question, collections=collections, limit=2 * limit)
        return question, followups.mixed(alone, together, limit=limit)

    async def _generate(
        self, prompt: Prompt, collections: Sequence[str], show: SnapshotSink, sure: Callable[[str], bool]
    ) -> tuple[Answered, Call | None, int]:
        """One generation, and a second without functions when the first calls one that can not be carried out."""
        ended = await read_generation(self._engine.generate(prompt), show, max_chars=prompt.max_answer_chars, sure=sure)
        if isinstance(ended, Answered):
            return ended, None, ended.tokens
        try:
            return _NOTHING, self._functions.parse(ended, collections), ended.tokens
        except BadOutput as error:
            log.warning("function call not usable", reason=str(error))
        plain = Prompt(
            language=prompt.language,
            persona=prompt.persona,
            history=prompt.history,
            passages=prompt.passages,
            question=prompt.question,
            max_answer_chars=prompt.max_answer_chars,
            last_try=True,
        )
        again = await read_generation(self._engine.generate(plain), show, max_chars=prompt.max_answer_chars, sure=sure)
        tokens = ended.tokens + again.tokens
        return (_NOTHING if isinstance(again, FunctionCall) else again), None, tokens


def _words(text: str) -> str:
    """What is searched for."""
    return " ".join(searchable(text).split())


_NOTHING = Answered(text="", confidence=0.0)


def _nearest(passages: Sequence[Passage], language: Language) -> str:
    """The question column of the likeliest passage that the reader can read, if it is likely enough to be worth it."""
    for passage in passages:
        if passage.chance >= SUGGESTED_FROM and passage.question and shown(passage.question) == language:
            return passage.question
    return ""


def _sources(passages: Sequence[Passage]) -> tuple[Source, ...]:
    """One a document, as the reader sees it."""
    found: dict[str, Source] = {}
    for passage in passages:
        source = Source(id=passage.document, title=passage.title, url=passage.url, score=round(passage.score, 4))
        found.setdefault(passage.document, source)
    return tuple(found.values())
