"""The passages of one version in memory, whatever their vectors: what is shown of them, their scopes, their words."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from knowledge.filters import Mask, Masks, present_of
from knowledge.full_text import FullText, Matches
from knowledge.scope import Scope
from knowledge.shown import Shown
from knowledge.snapshot import summarize
from knowledge.terms import terms_of
from knowledge.values import Hit


class Passages:
    """Rows are counted as the two that it is made of count them."""

    def __init__(self, shown: Any, full_text: FullText, *, number: int) -> None:
        """:param shown: a table with `knowledge.schema.SHOWN_COLUMNS`.
        :param number: the ledger's version, which hits carry.
        """
        self._shown = Shown(shown)
        self.sizes = self._shown.sizes()
        self._full_text = full_text
        self._number = number
        columns = self._shown.columns
        self.collections = summarize(columns["collection"], columns["document"])
        self._names = [summary.name for summary in self.collections]
        self._masks = Masks(columns["collection"], columns["tags"], columns["language"])

    def __len__(self) -> int:
        return len(self._shown)

    def inside(self, scope: Scope) -> Mask | None:
        """Which rows are in a scope, shape (rows,); None for all of them."""
        if not present_of(scope, self._names):
            return np.zeros(len(self), dtype=np.bool_)
        return self._masks.of(scope)

    def match(self, text: str, inside: Mask | None, count: int) -> Matches:
        """The rows whose words match best."""
        return self._full_text.search(terms_of(text), inside, count=count)

    def hit(self, row: int, *, score: float, dense: float, lexical: float) -> Hit:
        return self._shown.hit(row, score=score, dense=dense, lexical=lexical, version=self._number)

    def ids(self, rows: Sequence[int]) -> list[str]:
        """The passages' own."""
        return [self._shown.id(row) for row in rows]
