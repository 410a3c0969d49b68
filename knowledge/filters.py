"""A scope as the index understands it: an expression for LanceDB, a mask for what is in memory.

Expressions are built from values (`lancedb.expr`). A filter put together from text would let a collection's or a tag's
name become part of the query.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from knowledge.lance import Expr, col, lit
from knowledge.schema import tagged_text
from knowledge.scope import Scope

Mask = npt.NDArray[np.bool_]


def present_of(scope: Scope, names: Sequence[str]) -> list[str]:
    """The collections of a scope that there are."""
    wanted = set(scope.collections)
    return [name for name in names if name in wanted]


def expression_of(scope: Scope, names: Sequence[str]) -> Expr | None:
    """What LanceDB is to search, None for everything. `names` are all its collections, of which one is wanted."""
    parts: list[Expr] = [col("tagged").contains(lit(tagged_text([tag]))) for tag in scope.tags]
    present = present_of(scope, names)
    if len(present) < len(names):
        parts.append(col("collection").isin([lit(name) for name in present]))
    if scope.language:
        parts.append(col("language").isin([lit(scope.language), lit("")]))
    if not parts:
        return None
    expression = parts[0]
    for part in parts[1:]:
        expression = expression & part
    return expression


class Masks:
    """Which rows of a table in memory are in a scope."""

    def __init__(self, collections: Any, tags: Any, languages: Any) -> None:
        """Three columns of one table, as pyarrow arrays."""
        self._rows = len(collections)
        self._collections = _Codes(collections)
        self._languages = _Codes(languages)
        self._tagged = _rows_by_value(tags)

    def of(self, scope: Scope) -> Mask | None:
        """Shape (rows,); None for all of them."""
        mask = self._collections.among(scope.collections)
        if scope.language:
            mask = _both(mask, self._languages.among((scope.language, "")))
        for tag in scope.tags:
            tagged = np.zeros(self._rows, dtype=np.bool_)
            tagged[self._tagged.get(tag, [])] = True
            mask = _both(mask, tagged)
        return mask


class _Codes:
    """A column of few different strings."""

    def __init__(self, column: Any) -> None:
        encoded = column.dictionary_encode()
        self._values: list[str] = encoded.dictionary.to_pylist()
        self._codes = encoded.indices.to_numpy(zero_copy_only=False)

    def among(self, wanted: Sequence[str]) -> Mask | None:
        """The rows that have one of these values, None where all have."""
        chosen = np.array([value in wanted for value in self._values], dtype=np.bool_)
        if chosen.all():
            return None
        mask: Mask = chosen[self._codes]
        return mask


def _rows_by_value(lists: Any) -> dict[str, npt.NDArray[np.int64]]:
    """Of a column of lists: in which rows each value stands."""
    encoded = lists.flatten().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    owners = lists.value_parent_indices().to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(1, len(encoded.dictionary)))
    groups = np.split(owners[order], bounds)
    return dict(zip(encoded.dictionary.to_pylist(), groups, strict=False))


def _both(first: Mask | None, second: Mask | None) -> Mask | None:
    if first is None or second is None:
        return first if second is None else second
    return first & second
