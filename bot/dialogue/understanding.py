"""What a message is for, understood without a model call: fixed phrases first, then nearness to labelled examples."""

from __future__ import annotations

import asyncio
import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bot.dialogue import confidence
from bot.dialogue.evidence import Evidence
from bot.dialogue.grounding import Verdict, judge
from bot.dialogue.intents import (
    SHIPPED,
    Examples,
    Intent,
    read_examples,
    read_vectors,
    vectors_path,
    write_vectors,
)
from bot.dialogue.regression import Regression
from bot.dialogue.rules import clauses
from bot.dialogue.text import bare, fold
from bot.messages import Answered, Passage
from bot.ports import Knowledge, Vector

# Kernel ridge regression on two kernels: cosine of centred vectors (meaning) and cosine of rarity-weighted words and
# character pairs (the very words: 「工单」, "agent"). Chosen on the `tune` half of tests/data/intents.jsonl: accuracy
# .92 with the e5 embedder and .92 with USE, against .81 for the nearest example alone, whose cosines all lie in
# .80 to .95. Any ridge from .3 to 1 and any weight from .5 to 2 does within .01 of that.
_RIDGE = 0.6
_WORDS_WEIGHT = 1.0

# How sure one must be to act on anything but a question. Taking a question for a wish costs a ticket nobody wanted;
# the other way round costs one more message. On the same half: one question of 77 is taken for something else.
_QUESTION_BONUS = 0.1
_FLOOR = {
    Intent.GREETING: 0.25,
    Intent.THANKS: 0.25,
    Intent.HELP: 0.25,
    Intent.TICKET_STATUS: 0.3,
    Intent.WANTS_PERSON: 0.3,
    Intent.COMPLAINT: 0.3,
    Intent.WANTS_TICKET: 0.3,
    Intent.RESET: 0.5,
}
_LIKELY_WISH = 0.6
_SURE_WISH = 0.8
_FAINT_WISH = 0.1
"""From here on the end of a story is read for itself, which costs another embedding. Of 373 messages in our tests
that look like such a story, one is; as a whole it has .55."""
_LONGEST_COURTESY = 8
"""Characters or Latin words of a greeting that is also a question (「有人在吗」)."""
# Turns the scores into a probability; fitted with the above.
_TEMPERATURE = 0.15

COURTESIES = frozenset({Intent.GREETING, Intent.THANKS})
WISHES = frozenset({Intent.WANTS_PERSON, Intent.COMPLAINT, Intent.WANTS_TICKET})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one message is for."""

    intent: Intent
    certainty: float
    """0 to 1."""
    wish: float = 0.0
    """How much of the certainty is on a wish for a person or a ticket, 0 to 1: what an engine's call is checked by."""
    rest: str = ""
    """The message without courtesies around it: what there is to answer."""


class Understanding:
    """Knows the examples and the embedder: reads messages, and weighs passages."""

    def __init__(
        self,
        knowledge: Knowledge,
        examples: Examples,
        vectors: npt.NDArray[np.float32],
        evidence: Evidence,
        calibration: Regression,
    ) -> None:
        """Takes some ten milliseconds of computing for 400 lines; use `load` on the event loop."""
        self._knowledge = knowledge
        self._evidence = evidence
        self._calibration = calibration
        self._model = _Ridge.fitted(examples, vectors)
        self._exact = {_key(text): intent for text, intent in zip(examples.texts, examples.intents, strict=True)}

    @classmethod
    async def load(
        cls, knowledge: Knowledge, path: Path = SHIPPED, *, embedder: str, cache: Path | None = None
    ) -> Understanding:
        """From a file of examples. Their vectors are taken from the file beside it, else from the folder `cache`;
        where neither has them they are made, which takes seconds, and kept in `cache`.

        :raises SettingsError: the file of examples is not readable or not of the right form.
        """
        examples = await asyncio.to_thread(read_examples, path)
        fingerprint = examples.fingerprint(embedder)
        places = [vectors_path(path.parent, path.stem, embedder)]
        if cache is not None:
            places.append(vectors_path(cache, path.stem, embedder))
        for place in places:
            vectors = await asyncio.to_thread(read_vectors, place, fingerprint)
            if vectors is not None and len(vectors) == len(examples.texts):
                break
        else:
            vectors = await knowledge.embed_many(examples.texts)
            if cache is not None:
                await asyncio.to_thread(write_vectors, places[-1], fingerprint, vectors)
        evidence = await asyncio.to_thread(Evidence.load, embedder)
        calibration = await asyncio.to_thread(confidence.load)
        return await asyncio.to_thread(cls, knowledge, examples, vectors, evidence, calibration)

    def weighed(self, question: str, passages: Sequence[Passage]) -> tuple[Passage, ...]:
        """The passages of one search with the chance that each answers the question, the likeliest first."""
        chances = self._evidence.chances(question, passages)
        weighed = [replace(passage, chance=chance) for passage, chance in zip(passages, chances, strict=True)]
        return tuple(sorted(weighed, key=lambda passage: -passage.chance))

    def judged(self, answer: Answered, question: str, passages: Sequence[Passage]) -> Verdict:
        """How sure the house is of an answer, and what it is drawn from; `passages` are weighed."""
        return judge(answer, question, passages, self._calibration)

    def expected(self, text: str) -> str:
        """What of this message will be searched for, as far as can be told at a glance; "" for nothing."""
        rest, _ = self._without_courtesies(text)
        return rest if bare(rest) and _key(rest) not in self._exact else ""

    async def read(self, text: str) -> Reading:
        """What this message is for. `text` is clean and short enough to embed (`text.searchable`)."""
        rest, courtesy = self._without_courtesies(text)
        if not rest or not (bare(rest) or _key(rest) in self._exact):
            # Nothing but courtesies, or nothing but signs: 「？」 wants to be asked what it is about.
            return Reading(intent=courtesy or Intent.GREETING, certainty=1.0, rest="")
        for piece in (rest, *clauses(rest)):
            intent = self._exact.get(_key(piece))
            if intent in WISHES or (intent and piece == rest):
                # A clause that is a wish to the letter is one, whatever stands around it: 「杯子碎了，转人工」.
                return Reading(intent=intent, certainty=1.0, wish=float(intent in WISHES), rest=rest)
        reading = _decide(self._model.scores(await self._knowledge.embed(rest), rest), rest)
        *_, last = clauses(rest) or (rest,)
        if reading.intent is Intent.QUESTION and reading.wish >= _FAINT_WISH and last != rest and not _asks(last):
            # A story that ends in a wish: 「订单一直没到，电话是 138…，帮我登记一下」.
            ending = _decide(self._model.scores(await self._knowledge.embed(last), last), rest)
            if ending.intent in WISHES and ending.wish >= _SURE_WISH:
                return ending
        return reading

    def _without_courtesies(self, text: str) -> tuple[str, Intent | None]:
        """「谢谢，那换货呢？」 is a question: greetings and thanks to the letter are taken off either end."""
        parts = list(re.finditer(r"[^。！？!?…；;，,\n]+[。！？!?…；;，,\n]*\s*", text)) or []
        kinds = [self._exact.get(_key(part[0])) for part in parts]
        courtesy = next((kind for kind in kinds if kind in COURTESIES), None)
        first, last = 0, len(parts)
        while first < last and (kinds[first] in COURTESIES or not bare(parts[first][0])):
            first += 1
        while last > first and (kinds[last - 1] in COURTESIES or not bare(parts[last - 1][0])):
            last -= 1
        if first == last:
            return ("", courtesy) if courtesy else (text.strip(), None)
        return text[parts[first].start() : parts[last - 1].end()].strip(" ，,；;"), courtesy


def _key(text: str) -> str:
    """Two wordings with one key are the same to the letter; signs count only where there is nothing else."""
    return bare(text) or fold(text).strip()


def _decide(scores: npt.NDArray[np.float64], rest: str) -> Reading:
    intents = list(Intent)
    odds = np.exp((scores - scores.max()) / _TEMPERATURE)
    chances = dict(zip(intents, (odds / odds.sum()).tolist(), strict=True))
    wish = sum(chances[intent] for intent in WISHES)
    biased = scores.copy()
    biased[intents.index(Intent.QUESTION)] += _QUESTION_BONUS
    best = intents[int(biased.argmax())]
    asking = _asks(rest)
    if best is not Intent.QUESTION and (
        scores[intents.index(best)] < _FLOOR[best]
        # Somebody who asks politely (能不能…？) or at length wants to know something, whatever the words around it.
        or (asking and best is Intent.COMPLAINT and chances[best] < _SURE_WISH)
        or (asking and best in COURTESIES and _length(rest) > _LONGEST_COURTESY)
    ):
        best = Intent.QUESTION
    if best is Intent.QUESTION and wish >= _LIKELY_WISH and not asking:
        # Clearly a wish, though not clearly for a person, a ticket or redress.
        best = max(WISHES, key=lambda intent: chances[intent])
    return Reading(intent=best, certainty=chances[best], wish=wish, rest=rest)


def _length(text: str) -> int:
    folded = fold(text)
    return sum(map(len, _HAN_RUN.findall(folded))) + len(_WORD.findall(folded))


def _asks(text: str) -> bool:
    return bool(_ASKING.search(fold(text)))


# -- The classifier --

_HAN_RUN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]+")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_TICKET = re.compile(r"ticket-[0-9a-z]+")
_ASKING = re.compile(
    r"[?？吗呢么怎哪几谁]|什么|多少|多久|如何|是否|能不能|可以|\b(?:how|what|when|where|which|who|why|is|are|do|does|can|could|will|if)\b"
)


def _grams(text: str) -> list[str]:
    """Characters and pairs of a Chinese text, words and pairs of a Latin one, and whether it asks."""
    folded = _TICKET.sub("单号", fold(text))
    found: list[str] = []
    for run in _HAN_RUN.findall(folded):
        found.extend(run)
        found.extend(run[i : i + 2] for i in range(len(run) - 1))
    words = _WORD.findall(folded)
    found.extend(words)
    found.extend(f"{left} {right}" for left, right in itertools.pairwise(words))
    if _ASKING.search(folded):
        found.append("?")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ridge:
    """Linear scores a intent, over a centred vector and weighted grams."""

    mean: npt.NDArray[np.float64]
    by_vector: npt.NDArray[np.float64]
    """(dimension, intents)"""
    by_gram: dict[str, npt.NDArray[np.float64]]
    rarity: dict[str, float]
    unseen: float
    base: npt.NDArray[np.float64]

    @classmethod
    def fitted(cls, examples: Examples, vectors: npt.NDArray[np.float32]) -> _Ridge:
        documents = [_grams(text) for text in examples.texts]
        spread = Counter(gram for document in documents for gram in set(document))
        rarity = {gram: math.log(1 + len(documents) / count) for gram, count in spread.items()}
        unseen = math.log(1 + len(documents))
        columns = {gram: i for i, gram in enumerate(spread)}
        words = np.zeros((len(documents), len(columns)))
        for row, document in enumerate(documents):
            for gram, weight in _weighted(document, rarity, unseen):
                words[row, columns[gram]] = weight
        mean = vectors.mean(axis=0, dtype=np.float64)
        centred = vectors - mean
        # Makes the mean self-similarity 1, as it is for words, whatever range the embedder's cosines have.
        scale = 1 / np.square(centred).sum(axis=1).mean()
        kernel = scale * centred @ centred.T + _WORDS_WEIGHT * words @ words.T
        truth = np.array([[float(intent is other) for other in Intent] for intent in examples.intents])
        base = truth.mean(axis=0)
        duals = np.linalg.solve(kernel + _RIDGE * np.eye(len(documents)), truth - base)
        by_words = _WORDS_WEIGHT * words.T @ duals
        return cls(
            mean=mean,
            by_vector=scale * centred.T @ duals,
            by_gram={gram: by_words[column] for gram, column in columns.items()},
            rarity=rarity,
            unseen=unseen,
            base=base,
        )

    def scores(self, vector: Vector, text: str) -> npt.NDArray[np.float64]:
        """About 1 for the intent that is meant and 0 for the others, in the order of `Intent`."""
        scores = self.base + (vector.astype(np.float64) - self.mean) @ self.by_vector
        for gram, weight in _weighted(_grams(text), self.rarity, self.unseen):
            if gram in self.by_gram:
                scores += weight * self.by_gram[gram]
        return np.asarray(scores)


def _weighted(document: Sequence[str], rarity: dict[str, float], unseen: float) -> list[tuple[str, float]]:
    """Each gram once with its rarity, the whole of length 1. Grams never seen before lengthen, and so dilute."""
    weights = {gram: rarity.get(gram, unseen) for gram in document}
    length = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
    return [(gram, weight / length) for gram, weight in weights.items()]
