"""The values that flow through the knowledge: documents, passages, search results, reports."""

from dataclasses import dataclass, field

DEFAULT_COLLECTION = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One thing a source holds: a Markdown or text file, or one row of a table."""

    id: str
    """Its path relative to the source (`guide/returns.md`), for a row with `#` and its id or line
    (`faq.csv#12`)."""

    title: str
    text: str
    """The body in the source's own format; for a question and its answer, the answer."""

    format: str
    """"markdown", "text" or "row"; a row is one passage and is never cut."""

    question: str | None = None
    answer: str | None = None
    url: str = ""
    tags: tuple[str, ...] = ()
    line: int = 1
    """Where in its file the document starts, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One passage: what is embedded, searched and shown."""

    id: str
    """Stable while the passage's section keeps its heading: `returns.md#refunds`, `faq.csv#12`."""

    document: str
    title: str
    """The heading path ("Returns › Refunds"), or the row's question or title."""

    text: str
    question: str | None = None
    answer: str | None = None
    url: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One passage that a search found."""

    id: str
    document: str
    collection: str
    title: str
    text: str
    question: str | None
    """Set for a row of questions and answers; then `answer` is set too."""

    answer: str | None
    url: str
    tags: tuple[str, ...]
    score: float
    """The mix of both halves, 0 to 1; comparable within one search, not across searches."""

    dense: float
    """Raw cosine of query and passage, -1 to 1 (e5: about .75 to .95 whatever the text)."""

    lexical: float
    """Full-text score divided by this search's best, 0 to 1; 0 where no word is shared."""

    language: str = ""
    """Of the passage, as `knowledge.language` names it; "" where it shows none."""

    version: int = 0
    """Of the knowledge that was searched, as `kefu knowledge versions` counts; 0 for an index without a ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Names a version of the knowledge for good: a restored database gives numbers out again, keys never repeat."""

    number: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something in a source that did not go in, and why."""

    path: str
    line: int | None
    """From 1; None when the whole file or folder is meant."""

    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}" if self.line else f"{self.path}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What one sync did. Counts are documents."""

    collection: str
    added: int
    changed: int
    removed: int
    unchanged: int
    embedded: int
    """Texts that had to be embedded; the others' vectors were known."""

    version: int
    problems: tuple[Problem, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSummary:
    """One line of `kefu knowledge list`."""

    name: str
    documents: int
    passages: int
