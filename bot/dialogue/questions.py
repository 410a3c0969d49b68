"""Answering one question: search, one generation, grounding."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bot.dialogue import followups
from bot.dialogue.answer import fit, read_generation
from bot.dialogue.functions.registry import Call, Functions
from bot.dialogue.language import shown
from bot.dialogue.prompt import build_prompt
from bot.dialogue.rewriting import followup_of, usable
from bot.dialogue.settings import DialogueSettings
from bot.dialogue.text import searchable
from bot.dialogue.understanding import Understanding
from bot.errors import BadOutput
from bot.messages import Answered, FollowUp, FunctionCall, Language, Passage, Prompt, Source, Turn
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
        self,
        text: str,
        *,
        previous: str,
        said: Sequence[str],
        turn: Turn,
        language: Language,
        wish: float,
        show: SnapshotSink,
    ) -> Finding:
        """Answers `text`, which may lean on the question `previous`.

        :param said: the customer's own words before it, oldest first.
        :param wish: how much it is a wish for a ticket or a person, 0 to 1.
        :raises KnowledgeUnavailable: nothing can be searched now.
        :raises EngineError: the engine failed.
        """
        words = _words(text)
        question = followups.followed(previous, words)
        if question == words:
            passages, spent = await self._search(words, turn.collections, self._settings.top_k), 0
        else:
            followup = followup_of(words, said, language)
            passages, spent = await self._search_followup(words, question, followup, turn.collections)
        if not passages:
            return Finding(question=question, tokens=spent)
        # A sync may fall between two searches of a follow-up.
        version = max(passage.version for passage in passages)
        passages = self._understanding.weighed(question, passages)
        functions = self._functions.specs(language, turn.collections, wish=wish, has_ticket=bool(turn.open_ticket))
        prompt = build_prompt(
            question,
            passages,
            history=turn.history,
            language=language,
            functions=functions,
            settings=self._settings,
        )

        def sure(text: str) -> bool:
            verdict = self._understanding.judged(Answered(text=text, confidence=1.0), question, passages)
            return verdict.confidence >= self._settings.min_confidence

        answer, call, tokens = await self._generate(prompt, turn.collections, show, sure)
        found = Finding(question=question, call=call) if call is not None else self._judged(answer, prompt)
        return replace(found, tokens=tokens + spent, knowledge_version=version)

    def _judged(self, answer: Answered, prompt: Prompt) -> Finding:
        """The answer, where its passages bear it; else what may have been meant."""
        verdict = self._understanding.judged(answer, prompt.question, prompt.passages)
        if verdict.confidence < self._settings.min_confidence:
            nearest = _nearest(prompt.passages, prompt.language)
            return Finding(question=prompt.question, confidence=verdict.confidence, nearest=nearest)
        return Finding(
            question=prompt.question,
            text=fit(answer.text, self._settings.max_answer_chars),
            confidence=verdict.confidence,
            sources=_sources(verdict.sources),
        )

    async def _search(self, words: str, collections: Sequence[str], limit: int) -> tuple[Passage, ...]:
        return await self._knowledge.search(words, collections=collections, limit=limit)

    async def _search_followup(
        self, words: str, question: str, followup: FollowUp | None, collections: Sequence[str]
    ) -> tuple[tuple[Passage, ...], int]:
        """What is found for a follow-up, and the tokens that it took.

        :param question: the words together with what they follow.
        """
        limit = 2 * self._settings.top_k
        rewriting = asyncio.create_task(self._rewritten(followup), name="rewriting")
        try:
            # One after the other: embedding takes every core as it is.
            alone = await self._search(followups.subject(words), collections, limit)
            together = await self._search(question, collections, limit)
            rewritten, spent = await rewriting
        finally:
            # A turn that ends here, or whose search failed, leaves no request in the engine behind.
            rewriting.cancel()
            await asyncio.gather(rewriting, return_exceptions=True)
        searches = [(followups.ALONE_WEIGHT, alone), (1 - followups.ALONE_WEIGHT, together)]
        if rewritten:
            searches.append((followups.REWRITTEN_WEIGHT, await self._search(rewritten, collections, limit)))
        return followups.mixed(*searches, limit=self._settings.top_k), spent

    async def _rewritten(self, followup: FollowUp | None) -> tuple[str, int]:
        """The follow-up as the engine would ask it, "" without that; and the tokens that it took."""
        if followup is None:
            return "", 0
        rewritten = await self._engine.rewrite(followup, seconds=self._settings.rewrite_seconds)
        if rewritten is None:
            return "", 0
        return usable(rewritten.text, followup, ticket_prefix=self._settings.ticket_prefix), rewritten.tokens

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
