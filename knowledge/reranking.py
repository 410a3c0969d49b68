"""A second look at what a search found: the best of the fused candidates, sorted by a model that reads question and
passage together. When it takes too long or fails, the fused order is served."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

import numpy as np

from knowledge.embedders.base import Vector
from knowledge.values import Hit

log = logging.getLogger(__name__)

CANDIDATES = 30
"""As many of the fused order are looked at again."""

_TIME_LIMIT = 1.5
"""Seconds that a customer may wait for a better order. bge-reranker-v2-m3 computes some 4 TFLOP for 30 passages of 200
tokens: a fifth of a second of a small graphics card, a minute of two cores."""


class Reranker(Protocol):
    """Scores passages for a question. Called from one thread at a time."""

    @property
    def name(self) -> str:
        """As in `knowledge.reranker`."""

    def scores(self, question: str, passages: Sequence[str]) -> Vector:
        """Shape (len(passages),), 0 to 1, the higher the better. Blocks; may raise anything."""


class Reranking:
    """Owns the thread that a reranker works in."""

    def __init__(self, reranker: Reranker, *, time_limit: float = _TIME_LIMIT) -> None:
        self.name = reranker.name
        self._reranker = reranker
        self._time_limit = time_limit
        # One: a model on a card gains nothing from two, and on a processor they would share it.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="knowledge-rerank")
        self._overdue: Future[Vector] | None = None
        self._well = True

    async def sort(self, question: str, hits: Sequence[Hit]) -> tuple[Hit, ...] | None:
        """The hits by the reranker's scores, which they carry from here on; None when there are none in time."""
        if len(hits) < 2:
            return tuple(hits)
        if self._overdue is not None and not self._overdue.done():
            return None  # it would stand in line behind what was too late already
        work = self._pool.submit(self._scores, question, [f"{hit.title}\n{hit.text}" for hit in hits])
        try:
            async with asyncio.timeout(self._time_limit):
                scores = await asyncio.wrap_future(work)
        except TimeoutError:
            self._overdue = work
            self._tell(f"takes longer than {self._time_limit:g} s")
            return None
        except Exception as error:  # noqa: BLE001 - whatever a model raises, there is an order to serve
            # Its words may hold the texts.
            self._tell(f"fails with {type(error).__name__}")
            return None
        if not self._well:
            log.info("passages are reranked again", extra={"reranker": self.name})
            self._well = True
        order = np.argsort(-scores, kind="stable")
        return tuple(replace(hits[place], score=float(scores[place])) for place in order)

    async def close(self) -> None:
        # A pass that is under way ends by itself: a process that leaves waits for it, and nobody else does.
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _scores(self, question: str, passages: Sequence[str]) -> Vector:
        scores = self._reranker.scores(question, passages)
        if scores.shape != (len(passages),) or not np.isfinite(scores).all():
            raise ValueError("not a number for each passage")
        return scores

    def _tell(self, reason: str) -> None:
        if self._well:
            log.warning(
                "passages are not reranked; the fused order is served",
                extra={"reranker": self.name, "reason": reason},
            )
        self._well = False


def create_reranker(name: str, *, device: str = "") -> Reranker:
    """Loads it: seconds, and gigabytes for the large ones. Blocks. Raises RerankerError."""
    from knowledge.cross_encoder import CrossEncoderReranker

    return CrossEncoderReranker(name, device=device)
