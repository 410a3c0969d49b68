"""Rows to documents: CSV and JSONL with the columns question,answer or title,text."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from knowledge.documents.text import clean, split_tags
from knowledge.values import Document, Problem

# A row is one passage and is never cut. Past this it is a page, and an embedder sees its beginning
# at most in outline; e5 needs 15 s of a core for it.
MAX_ROW_CHARS = 20_000

_COLUMNS = frozenset({"question", "answer", "title", "text", "id", "url", "tags"})
# Spreadsheet programs write a semicolon or a tab where the comma is the decimal sign.
_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    line: int
    fields: Mapping[str, object]


class _RowError(Exception):
    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


def csv_documents(path: str, text: str) -> Iterator[Document | Problem]:
    """Every row of a CSV file as a document, in order; a bad row as its problem."""
    return _documents(path, _csv_rows(text))


def jsonl_documents(path: str, text: str) -> Iterator[Document | Problem]:
    """Every line of a JSONL file as a document, in order; a bad line as its problem."""
    return _documents(path, _jsonl_rows(text))


def row_documents(path: str, rows: Iterable[tuple[int, Mapping[str, object]]]) -> Iterator[Document | Problem]:
    """Rows that something else has read, as (line, fields by lower-case column), the same way."""
    return _documents(path, (_Row(line=line, fields=fields) for line, fields in rows))


def _documents(path: str, rows: Iterable[_Row | _RowError]) -> Iterator[Document | Problem]:
    seen: dict[str, int] = {}
    for row in rows:
        if isinstance(row, _RowError):
            yield Problem(path=path, line=row.line, reason=row.reason)
            continue
        try:
            document = _document(path, row)
            if document.id in seen:
                raise _RowError(row.line, f"its id was used in line {seen[document.id]}")
        except _RowError as error:
            yield Problem(path=path, line=error.line, reason=error.reason)
            continue
        seen[document.id] = row.line
        yield document


def _document(path: str, row: _Row) -> Document:
    question, answer = _text(row, "question"), _text(row, "answer")
    title, text = _text(row, "title"), _text(row, "text")
    if sum(map(len, (question, answer, title, text))) > MAX_ROW_CHARS:
        raise _RowError(row.line, f"is longer than {MAX_ROW_CHARS} characters")
    if question or answer:
        for name, value in (("question", question), ("answer", answer)):
            if not value:
                raise _RowError(row.line, f"the {name} is empty")
    elif not text:
        raise _RowError(row.line, "the text is empty" if title else "has no question and answer, and no text")
    own_id = _text(row, "id", numbers=True)
    return Document(
        id=f"{path}#{own_id or row.line}",
        title=title or question,
        text=answer or text,
        format="row",
        question=question or None,
        answer=answer or None,
        url=_text(row, "url"),
        tags=_tags(row),
        line=row.line,
    )


def _text(row: _Row, name: str, *, numbers: bool = False) -> str:
    value = row.fields.get(name)
    if value is None:
        return ""
    if isinstance(value, str):
        return clean(value)
    if numbers and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise _RowError(row.line, f"the {name} is not text")


def _tags(row: _Row) -> tuple[str, ...]:
    value = row.fields.get("tags")
    if isinstance(value, list):
        if not all(isinstance(tag, str) for tag in value):
            raise _RowError(row.line, "the tags are not text")
        return tuple(dict.fromkeys(tag for tag in map(clean, value) if tag))
    return split_tags(_text(row, "tags"))


def _csv_rows(text: str) -> Iterator[_Row | _RowError]:
    header_line = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(header_line), strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield _RowError(line, f"is not CSV: {error}")
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [clean(cell).lower() for cell in cells]
            problem = _header_problem(header)
            if problem:
                yield _RowError(line, problem)
                return
        elif len(cells) != len(header):
            # One comma too many is most often an unquoted comma in an answer: taking the row would
            # cut the answer in silence.
            yield _RowError(line, f"has {len(cells)} cells, the header has {len(header)}")
        else:
            yield _Row(line=line, fields=dict(zip(header, cells, strict=True)))


def _delimiter(header_line: str) -> str:
    def known(delimiter: str) -> int:
        return sum(clean(cell).strip('"').lower() in _COLUMNS for cell in header_line.split(delimiter))

    return max(_DELIMITERS, key=known)


def _header_problem(header: list[str]) -> str | None:
    columns = set(header)
    if not ({"question", "answer"} <= columns or "text" in columns):
        return "the header names neither question,answer nor title,text"
    repeated = next((name for name in header if name in _COLUMNS and header.count(name) > 1), None)
    return f"the header names {repeated} twice" if repeated else None


def _jsonl_rows(text: str) -> Iterator[_Row | _RowError]:
    # Only \n ends a line: str.splitlines would also cut at U+2028, which JSON allows inside a string.
    for line, raw in enumerate(text.split("\n"), start=1):
        if not raw.strip():
            continue
        # Escapes take six characters for one at most.
        if len(raw) > 6 * MAX_ROW_CHARS:
            yield _RowError(line, f"is longer than {MAX_ROW_CHARS} characters")
            continue
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError) as error:
            where = f" (column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
            yield _RowError(line, f"is not JSON{where}")
            continue
        if not isinstance(value, dict):
            yield _RowError(line, "is not a JSON object")
            continue
        yield _Row(line=line, fields={clean(key).lower(): item for key, item in value.items()})
