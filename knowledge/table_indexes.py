"""Which indexes LanceDB keeps of the passages, and making them."""

from typing import Any

from knowledge.lance import FTS, IvfFlat
from knowledge.schema import SHOWN_COLUMNS

# What readers keep in memory at most: 307 MB of vectors and 256 MiB of texts. A long row counts as its length does.
MAX_PASSAGES_IN_MEMORY = 200_000
MAX_TEXT_BYTES_IN_MEMORY = 256 * 1024 * 1024

# What is searched on the disk has an index of the vectors from so many passages on: LanceDB's scan of them takes 8 ms
# at 10,000.
VECTOR_INDEX_FROM = 20_000

# Terms are stored as `knowledge.terms` made them, of questions too.
FULL_TEXT = FTS(
    base_tokenizer="whitespace",
    lower_case=False,
    stem=False,
    remove_stop_words=False,
    ascii_folding=False,
    max_token_length=None,
)


def indexed_columns(rows: Any) -> tuple[str, ...]:
    """The columns of these passages (see schema.to_table) that are to have an index: none of what readers keep in
    memory (`knowledge.memory_snapshot`)."""
    if _fits_memory(rows):
        return ()
    return ("terms", "vector") if rows.num_rows > VECTOR_INDEX_FROM else ("terms",)


def _fits_memory(rows: Any) -> bool:
    # A tenth less than readers allow themselves: they may count some bytes more, and would scan every vector.
    count: int = rows.num_rows
    text_bytes: int = rows.select(SHOWN_COLUMNS).nbytes
    return count <= MAX_PASSAGES_IN_MEMORY and text_bytes <= 0.9 * MAX_TEXT_BYTES_IN_MEMORY


async def make_indexes(table: Any, columns: tuple[str, ...]) -> None:
    """Over the newest version of the table. Raises what LanceDB raises."""
    for column in columns:
        config = FULL_TEXT if column == "terms" else IvfFlat(distance_type="cosine")
        await table.create_index(column, config=config, replace=True)
