"""The columns that hits are made of, in memory.

Arrow takes 1.5 µs to hand out one text, and a search hands out a hundred: ten columns of ten hits. What an array
consists of, a buffer of bytes and where each text ends in it, is read here in a third of that.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from knowledge.schema import SHOWN_COLUMNS
from knowledge.values import Hit

_LISTS = "tags"


class Shown:
    """Of one table the columns named in `SHOWN_COLUMNS`, row by row."""

    def __init__(self, table: Any) -> None:
        """:param table: Arrow's."""
        self.columns = {name: table.column(name).combine_chunks() for name in SHOWN_COLUMNS}
        self._texts = [(name, _Texts(column)) for name, column in self.columns.items() if name != _LISTS]
        self._tags = self.columns[_LISTS]
        self._tag_ends = memoryview(self._tags.offsets.to_numpy())

    def __len__(self) -> int:
        return len(self._tags)

    def sizes(self) -> npt.NDArray[np.int32]:
        """Bytes of each row's text."""
        sizes: npt.NDArray[np.int32] = pc.binary_length(self.columns["text"]).to_numpy(zero_copy_only=False)
        return sizes

    def id(self, row: int) -> str:
        """The passage's own."""
        found: str = self.columns["id"][row].as_py()
        return found

    def hit(self, row: int, *, score: float, dense: float, lexical: float, version: int) -> Hit:
        """A row as it is shown."""
        texts: dict[str, Any] = {name: column.at(row) for name, column in self._texts}
        # Most passages have none.
        tagged = self._tag_ends[row] != self._tag_ends[row + 1]
        tags = tuple(self._tags[row].as_py()) if tagged else ()
        return Hit(**texts, tags=tags, score=score, dense=dense, lexical=lexical, version=version)


class _Texts:
    """A column of texts, without Arrow around each."""

    def __init__(self, column: Any) -> None:
        """:param column: an Arrow array of type string, which must outlive this."""
        _, ends, data = column.buffers()
        self._first = column.offset
        self._ends = memoryview(ends).cast("i") if ends is not None else memoryview(b"")
        self._data = memoryview(data) if data is not None else memoryview(b"")
        # A byte a row.
        self._missing = column.is_null().to_numpy(zero_copy_only=False).tobytes() if column.null_count else b""

    def at(self, row: int) -> str | None:
        if self._missing and self._missing[row]:
            return None
        place = self._first + row
        return str(self._data[self._ends[place] : self._ends[place + 1]], "utf-8")
