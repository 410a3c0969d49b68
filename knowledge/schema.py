"""How a passage is stored: the columns of the table, and what of a passage is embedded and searched.

The table's own metadata remember the embedder, so that vectors of two models can never meet.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from knowledge.embedders.base import Embedder, Vector
from knowledge.errors import IndexMismatchError, IndexOutdatedError
from knowledge.language import language_of
from knowledge.process import giving_way
from knowledge.terms import SEPARATOR, terms_of
from knowledge.values import Chunk, Hit, Stamp

# Raised when columns, the embedded texts or the searched terms change their meaning.
FORMAT = 3

_METADATA_KEY = b"kefu"
_TEXT_COLUMNS = ("id", "document", "collection", "title", "text", "question", "answer", "url")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexIdentity:
    """Which embedder an index belongs to."""

    embedder: str
    dimension: int

    @classmethod
    def of(cls, embedder: Embedder) -> "IndexIdentity":
        return cls(embedder=embedder.name, dimension=embedder.dimension)


def table_schema(identity: IndexIdentity, stamp: Stamp) -> Any:
    """The pyarrow schema of the passages, carrying the identity and the version they are."""
    metadata = {"format": FORMAT, "embedder": identity.embedder, "dimension": identity.dimension}
    metadata |= {"version": stamp.number, "key": stamp.key}
    return pa.schema(
        [
            *(pa.field(name, pa.string()) for name in _TEXT_COLUMNS),
            pa.field("tags", pa.list_(pa.string())),
            pa.field("language", pa.string()),
            pa.field("tagged", pa.string()),
            pa.field("terms", pa.string()),
            pa.field("hash", pa.string()),
            pa.field("vector_key", pa.string()),
            pa.field("vector", pa.list_(pa.float32(), identity.dimension)),
        ],
        metadata={_METADATA_KEY: json.dumps(metadata).encode()},
    )


def read_identity(schema: Any) -> IndexIdentity:
    """Raises IndexMismatchError when another version of kefu wrote the table."""
    metadata = _metadata(schema)
    if metadata.get("format", 0) > FORMAT:
        raise IndexMismatchError("the knowledge index was made by a newer kefu; upgrade, or `kefu knowledge rebuild`")
    if metadata.get("format", 0) < FORMAT:
        raise IndexOutdatedError(
            "the knowledge index was made by an older kefu; `kefu run` and `kefu knowledge rebuild` make it anew",
            embedder_of(schema),
        )
    return IndexIdentity(embedder=metadata["embedder"], dimension=metadata["dimension"])


def embedder_of(schema: Any) -> IndexIdentity | None:
    """Whose vectors a table holds, whatever its format."""
    metadata = _metadata(schema)
    if "embedder" not in metadata or "dimension" not in metadata:
        return None
    return IndexIdentity(embedder=metadata["embedder"], dimension=metadata["dimension"])


def read_stamp(schema: Any) -> Stamp | None:
    """The version that the table holds; None where it was written before there was a ledger."""
    metadata = _metadata(schema)
    return Stamp(number=metadata["version"], key=metadata["key"]) if "key" in metadata else None


def _metadata(schema: Any) -> dict[str, Any]:
    raw = (schema.metadata or {}).get(_METADATA_KEY)
    return json.loads(raw) if raw else {}


def mismatch(found: IndexIdentity, configured: IndexIdentity) -> IndexMismatchError:
    """The one sentence about an index of another embedder."""
    return IndexMismatchError(
        f"the knowledge index was made with embedder {found.embedder!r} ({found.dimension} dimensions), "
        f"knowledge.embedder is {configured.embedder!r} ({configured.dimension}); "
        "run `kefu knowledge rebuild` (or sync with --rebuild), or set knowledge.embedder back"
    )


def content_hash(chunk: Chunk) -> str:
    """Equal for equal passages; a passage that keeps it is neither written nor embedded again."""
    fields = [chunk.id, chunk.document, chunk.title, chunk.text, chunk.question, chunk.answer, chunk.url]
    return _digest([*fields, *chunk.tags])


# How much the title or question counts in a passage's vector against the whole. Measured at 0, .2, .25, .33
# and .5: a third is best on questions about the sample shop and as good as .5 on StackFAQ, and costs .005 on long
# encyclopedia passages, whose titles say little (docs/decisions/0003-retrieval.md).
_TITLE_SHARE = np.float32(1 / 3)


def embedded_texts(chunk: Chunk) -> tuple[str, ...]:
    """What is embedded for a passage: its title (or question) alone, and with the text below it.

    A customer's sentence is nearer to the question alone than to question and answer together, but the
    answer knows words that the question lacks.
    """
    whole = f"{chunk.title}\n{chunk.text}".strip()
    return (chunk.title, whole) if chunk.title and chunk.text else (whole,)


def vector_key(chunk: Chunk, identity: IndexIdentity) -> str:
    """Names the passage's vector: equal keys, equal vectors, in whatever collection or document."""
    return _digest([identity.embedder, *embedded_texts(chunk)])


def embed_chunks(embedder: Embedder, chunks: Sequence[Chunk]) -> Vector:
    """Shape (len(chunks), dimension), rows of length 1: the weighted mean of what was embedded for
    each, whose product with a question is the same mean of both cosines. Blocks, for long."""
    groups = [embedded_texts(chunk) for chunk in chunks]
    # A section that was cut gives several passages one title.
    texts = list(dict.fromkeys(text for group in groups for text in group))
    places = {text: place for place, text in enumerate(texts)}
    vectors = embedder.embed(texts, "passage")
    whole = vectors[[places[group[-1]] for group in groups]]
    title = vectors[[places[group[0]] for group in groups]]
    mixed: Vector = _TITLE_SHARE * title + (1 - _TITLE_SHARE) * whole
    mixed /= np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12)
    return mixed


def _terms(chunk: Chunk) -> str:
    # The title or question twice: people's words meet it more often than the body's.
    text = "\n".join((chunk.title, chunk.title, chunk.text, " ".join(chunk.tags)))
    return SEPARATOR.join(terms_of(text))


_TAG_EDGE = "\x1f"


def tagged_text(tags: Iterable[str]) -> str:
    """Tags as a text that holds `tagged_text([tag])` exactly where the tag is among them: `lancedb.expr` knows no
    function for lists, and its `contains` for texts takes no character for a wildcard."""
    edged = (f"{tag.replace(_TAG_EDGE, ' ')}{_TAG_EDGE}" for tag in tags)
    return _TAG_EDGE + "".join(edged)


def to_table(rows: Sequence[tuple[str, Chunk]], vectors: Vector, identity: IndexIdentity, stamp: Stamp) -> Any:
    """(collection, passage) pairs and their vectors as a pyarrow table."""
    chunks = [chunk for _, chunk in rows]
    columns: dict[str, Any] = {
        name: [getattr(chunk, name) for chunk in chunks] for name in _TEXT_COLUMNS if name != "collection"
    }
    columns["collection"] = [collection for collection, _ in rows]
    columns["tags"] = [list(chunk.tags) for chunk in chunks]
    columns["language"] = [language_of(f"{chunk.title}\n{chunk.text}") for chunk in giving_way(chunks)]
    columns["tagged"] = [tagged_text(chunk.tags) for chunk in chunks]
    columns["terms"] = [_terms(chunk) for chunk in giving_way(chunks)]
    columns["hash"] = [content_hash(chunk) for chunk in giving_way(chunks)]
    columns["vector_key"] = [vector_key(chunk, identity) for chunk in giving_way(chunks)]
    columns["vector"] = vector_array(vectors, identity.dimension)
    schema = table_schema(identity, stamp)
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def vector_array(vectors: Vector, dimension: int) -> Any:
    flat = np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), dimension)


def vector_matrix(column: Any, dimension: int) -> Vector:
    """A vector column (an array or a chunked one) as a matrix of shape (rows, dimension)."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    # flatten() honours slices, `.values` does not.
    parts = [chunk.flatten().to_numpy(zero_copy_only=False).reshape(-1, dimension) for chunk in chunks]
    if not parts:
        return np.empty((0, dimension), dtype=np.float32)
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def to_chunks(table: Any) -> list[tuple[str, Chunk]]:
    """The (collection, passage) pairs that `to_table` stored."""
    return [
        (
            row["collection"],
            Chunk(
                id=row["id"],
                document=row["document"],
                title=row["title"],
                text=row["text"],
                question=row["question"],
                answer=row["answer"],
                url=row["url"],
                tags=tuple(row["tags"]),
            ),
        )
        for row in table.select([*_TEXT_COLUMNS, "tags"]).to_pylist()
    ]


SHOWN_COLUMNS = (*_TEXT_COLUMNS, "tags", "language")
"""What a hit is made of."""


def shown_columns(table: Any) -> dict[str, Any]:
    """The shown columns as plain arrays: one value of those is read three times faster than one of a table's."""
    return {name: table.column(name).combine_chunks() for name in SHOWN_COLUMNS}


def text_sizes(columns: Mapping[str, Any]) -> npt.NDArray[np.int32]:
    """Bytes of each row's text, of `shown_columns`."""
    sizes: npt.NDArray[np.int32] = pc.binary_length(columns["text"]).to_numpy(zero_copy_only=False)
    return sizes


def to_hit(columns: Mapping[str, Any], row: int, *, score: float, dense: float, lexical: float, version: int) -> Hit:
    """One row of `shown_columns`."""
    values = {name: column[row].as_py() for name, column in columns.items()}
    values["tags"] = tuple(values["tags"])
    return Hit(**values, score=score, dense=dense, lexical=lexical, version=version)


def _digest(parts: Iterable[str | None]) -> str:
    encoded = json.dumps(list(parts), ensure_ascii=False, separators=(",", ":")).encode()
    return hashlib.sha256(encoded).hexdigest()
