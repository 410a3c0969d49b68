"""How good a search is, on questions whose right passages are known."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from math import log2

from knowledge.values import Hit

# Deep enough that the first ten of either half alone are among the hits, whatever the other half says of them.
DEPTH = 200
_RANKED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledQuestion:
    text: str
    gold: Collection[str]
    """Ids of the right documents or passages; any of them is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    questions: int
    recall_1: float
    """Share of the questions whose first hit is right."""

    recall_5: float
    mrr_10: float
    """Mean of 1 / the place of the first right hit, 0 where it is not among the first ten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HalvesFigures:
    """The search, and each of its halves alone, over the same questions."""

    dense: Figures
    lexical: Figures
    fused: Figures


Search = Callable[[str, int], Awaitable[Sequence[Hit]]]
"""A question and how many hits, best first."""


async def evaluate(
    search: Search, questions: Sequence[LabelledQuestion], progress: Callable[[int, int], None] | None = None
) -> HalvesFigures:
    """Asks every question once. Raises what `search` raises."""
    places: list[tuple[int | None, int | None, int | None]] = []
    for asked, question in enumerate(questions, start=1):
        hits = await search(question.text, DEPTH)
        by_meaning = sorted(hits, key=lambda hit: -hit.dense)
        by_words = sorted((hit for hit in hits if hit.lexical > 0), key=lambda hit: -hit.lexical)
        places.append(
            (
                first_right(by_meaning, question.gold),
                first_right(by_words, question.gold),
                first_right(hits, question.gold),
            )
        )
        if progress is not None:
            progress(asked, len(questions))
    dense, lexical, fused = (figures(column) for column in zip(*places, strict=True))
    return HalvesFigures(dense=dense, lexical=lexical, fused=fused)


def first_right(hits: Sequence[Hit], gold: Collection[str]) -> int | None:
    """The place, from 1, of the first hit whose document or passage is right, None past the tenth."""
    return next(iter(right_places(hits, gold)), None)


def right_places(hits: Sequence[Hit], gold: Collection[str]) -> tuple[int, ...]:
    """The places, from 1 to 10, of the hits whose document or passage is right.

    A document counts once, at its best passage, so that one cut into many does not crowd out the others. Passages are
    looked at where no document of the first ten is right.
    """
    documents = list(dict.fromkeys(hit.document for hit in hits))[:_RANKED]
    places = tuple(place for place, document in enumerate(documents, start=1) if document in gold)
    return places or tuple(place for place, hit in enumerate(hits[:_RANKED], start=1) if hit.id in gold)


def reciprocal(places: Sequence[int]) -> float:
    """What one question adds to the MRR: 1 / the place of its first right hit, 0 without one."""
    return 1 / places[0] if places else 0.0


def ndcg(places: Sequence[int], gold: int) -> float:
    """How near one question's ranking comes to one with all `gold` right ones in front, 0 to 1, over the first ten.

    Beside the MRR, it counts every right document and not the first alone.
    """
    best = sum(_gain(place) for place in range(1, min(gold, _RANKED) + 1))
    return min(1.0, sum(map(_gain, places)) / best) if best else 0.0


def _gain(place: int) -> float:
    return 1 / log2(place + 1)


def figures(places: Sequence[int | None]) -> Figures:
    """From the place of the first right hit of each question."""
    count = max(1, len(places))
    found = [place for place in places if place is not None]
    return Figures(
        questions=len(places),
        recall_1=sum(place == 1 for place in found) / count,
        recall_5=sum(place <= 5 for place in found) / count,
        mrr_10=sum(1 / place for place in found) / count,
    )
