"""What is read out of Arrow's buffers is what Arrow itself says."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from knowledge.schema import SHOWN_COLUMNS
from knowledge.shown import Shown

TEXTS = st.text(max_size=12)
ROWS = st.lists(
    st.fixed_dictionaries(
        {name: TEXTS for name in SHOWN_COLUMNS if name != "tags"}
        | {
            "question": st.none() | TEXTS,
            "answer": st.none() | TEXTS,
            "tags": st.lists(TEXTS, max_size=3),
        }
    ),
    max_size=12,
)
SCHEMA = pa.schema(
    [
        (name, pa.list_(pa.string()) if name == "tags" else pa.string()) for name in SHOWN_COLUMNS
    ]  # as the index has them
)


@given(rows=ROWS, left_out=st.integers(0, 3), parts=st.integers(1, 3))
def test_every_row_is_shown_as_arrow_has_it(rows: list[dict[str, Any]], left_out: int, parts: int) -> None:
    table = pa.concat_tables([pa.Table.from_pylist(rows, SCHEMA)] * parts).slice(left_out)
    shown = Shown(table)
    assert len(shown) == table.num_rows
    for row, expected in enumerate(table.to_pylist()):
        hit = shown.hit(row, score=0.5, dense=0.4, lexical=0.3, version=7)
        assert {name: getattr(hit, name) for name in SHOWN_COLUMNS} == expected | {"tags": tuple(expected["tags"])}
        assert (hit.score, hit.dense, hit.lexical, hit.version) == (0.5, 0.4, 0.3, 7)
        assert shown.id(row) == expected["id"]
