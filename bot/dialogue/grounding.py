"""Whether an answer may leave the house: is it drawn from the passages, and how sure are we that it answers?  Pure.

An engine that writes can write anything. Its words must be found in the passages, its numbers and addresses to the
letter; what is not becomes the refusal, however sure the engine is of itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bot.dialogue.confidence import Signs, confidence, likelihood_of
from bot.dialogue.evidence import words_of
from bot.dialogue.language import shown
from bot.dialogue.regression import Regression
from bot.dialogue.text import addresses, is_machine_talk, stands_in, terms, visible
from bot.messages import Answered, Passage

FULL_SUPPORT = 0.6
"""Share of the answer's words found in the passages from which on it counts as drawn from them: a faithful rewording
of a passage keeps two thirds of its words and pairs of characters."""
NO_SUPPORT = 0.35
"""Below this the answer is the engine's own invention."""
_OTHER_LANGUAGE_SUPPORT = 0.8
"""An answer in another language than its passages shares no words with them; only its figures can be checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is held of an answer."""

    confidence: float
    """Calibrated, 0 to 1; 0 for what is not drawn from the passages."""
    sources: tuple[Passage, ...] = ()
    """The passages it is drawn from, the nearest first."""


def judge(answer: Answered, question: str, passages: Sequence[Passage], calibration: Regression) -> Verdict:
    """Weighs an answer by the passages it had, which carry their chances.

    The passages' own words are as likely right as their passage is: an engine that quotes states that figure. Words
    that an engine made up itself are weighed by `calibration` (`bot.dialogue.confidence`).
    """
    found = signs_of(answer, question, passages)
    if found is None:
        return Verdict(confidence=0.0)
    signs, sources = found
    if answer.quoted:
        return Verdict(confidence=min(signs.support / FULL_SUPPORT, 1.0) * signs.stated, sources=sources)
    return Verdict(confidence=confidence(signs, calibration), sources=sources)


def signs_of(answer: Answered, question: str, passages: Sequence[Passage]) -> tuple[Signs, tuple[Passage, ...]] | None:
    """What speaks for an answer, and the passages it is drawn from. None for what is not drawn from any: that does not
    leave the house, however sure the engine is."""
    if not answer.text.strip() or not passages:
        return None
    plain = _plain(answer.text)
    if is_machine_talk(plain) or _invented(plain, question, passages):
        return None
    said = terms(answer.text)
    sources = _sources(answer, said, passages)
    if not sources:
        return None
    support = _support(answer.text, said, sources)
    if support < NO_SUPPORT:
        return None
    chance = max(source.chance for source in sources)
    documents = {source.document for source in sources}
    rivals = [passage.chance for passage in passages if passage.document not in documents]
    stated = answer.confidence if math.isfinite(answer.confidence) else 0.0
    signs = Signs(
        chance=chance,
        lead=chance - max(rivals, default=0.0),
        support=support,
        news=len(said - terms(question)) / len(said) if said else 1.0,
        stated=min(max(stated, 0.0), 1.0),
        likelihood=likelihood_of(answer.logprob),
    )
    return signs, sources


def _share(said: frozenset[str], passage: Passage) -> float:
    return len(said & words_of(passage).all) / len(said) if said else 1.0


def _sources(answer: Answered, said: frozenset[str], passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """The passages the answer is drawn from: those the engine names, else those that share its words."""
    named = tuple(passage for passage in passages if passage.id in answer.passages)
    if named:
        return named
    shares = {passage.id: _share(said, passage) for passage in passages}
    enough = max(0.25, 0.6 * max(shares.values()))
    near = [passage for passage in passages if shares[passage.id] >= enough]
    if not near:
        language = shown(answer.text)
        near = [passage for passage in passages if words_of(passage).language not in (None, language)]
    return tuple(sorted(near, key=lambda passage: (-shares[passage.id], -passage.chance))[:3])


def _support(text: str, said: frozenset[str], sources: Sequence[Passage]) -> float:
    """Share of the answer's words that the sources hold."""
    if not said:
        return 1.0
    languages = {words_of(passage).language for passage in sources}
    if shown(text) not in languages | {None} and None not in languages:
        return _OTHER_LANGUAGE_SUPPORT
    held = frozenset().union(*(words_of(passage).all for passage in sources))
    return len(said & held) / len(said)


_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_LIST_MARK = re.compile(r"(?m)^\s*\d{1,2}[.)、]\s")


def _invented(plain: str, question: str, passages: Sequence[Passage]) -> bool:
    """Whether the answer has a link or a mail address that stands in no passage, or a number that stands neither there
    nor in the question.

    A wrong price or a made-up link does more harm than no answer. A customer's own link is not said back either: in a
    group it would stand there in the company's name.
    """
    found = addresses(plain)
    figures = set(_NUMBER.findall(_LIST_MARK.sub("", _without(found, plain))))
    if not found and not figures:
        return False
    known = _plain("\n".join(f"{p.question}\n{p.title}\n{p.text}\n{p.url}" for p in passages))
    if any(not stands_in(address, known) for address in found):
        return True
    return not figures <= set(_NUMBER.findall(f"{known}\n{_plain(question)}"))


def _without(found: frozenset[str], plain: str) -> str:
    for address in sorted(found, key=len, reverse=True):
        plain = plain.replace(address, " ")
    return plain


def _plain(text: str) -> str:
    """As a reader sees it; digit grouping does not count: 1,000 and １０００ are 1000."""
    return re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", visible(text))
