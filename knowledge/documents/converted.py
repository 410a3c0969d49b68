"""What the worker found in a document of another program, as documents of ours. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from knowledge.documents.tables import row_documents
from knowledge.documents.text import clean, first_heading, stem, without_invisible
from knowledge.values import Document, Problem

_PICTURE = re.compile(r"!\[([^\]\n]{0,500})\]\([^)\n]{0,4000}\)")
_HEADLESS = re.compile(r"^(?:\|[ \t]*)+\|?[ \t]*\n((?:\|[ \t]*:?-{3,}:?[ \t]*)+\|?[ \t]*\n)(\|.*\n?)", re.MULTILINE)
# A line that begins something of its own is never the continuation of the one above.
_BEGINS = re.compile(
    r"\s*(?:[-*+•·●■◆▪–—]\s|\(?\d{1,3}[.)、．]|[（(][一二三四五六七八九十\d]{1,3}[)）]"
    r"|[一二三四五六七八九十]{1,3}、|第.{1,4}[章节条]|\||#)"
)
_WIDE = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")
# A line shorter than this share of its paragraph's longest was ended by its author, not by the margin.
_FULL_LINE = 0.75


def converted_documents(document_id: str, found: Mapping[str, Any], *, url: str = "") -> Iterator[Document | Problem]:
    """The documents of one file: one, or for a sheet with the columns of a table one a row."""
    if found["kind"] == "sheets":
        yield from _sheets(document_id, found["sheets"])
        return
    text = without_line_breaks(found["text"]) if found["kind"] == "pdf" else _tidied(found["text"])
    document = _document(document_id, text, title=clean(str(found.get("title", ""))), url=url)
    if document is None:
        yield Problem(path=document_id, line=None, reason="holds no text")
    else:
        yield document


def _document(document_id: str, text: str, *, title: str = "", url: str = "") -> Document | None:
    body = without_invisible(text).strip()
    if not body:
        return None
    title = title or first_heading(body) or stem(document_id)
    return Document(id=document_id, title=title, text=body, format="markdown", url=url)


def _sheets(document_id: str, sheets: list[Mapping[str, Any]]) -> Iterator[Document | Problem]:
    tables: list[str] = []
    for number, sheet in enumerate(sheets):
        if "rows" in sheet:
            # The first sheet's rows are named as a CSV file's are: saving one as the other changes no id.
            owner = document_id if number == 0 else f"{document_id}#{clean(sheet['name'])}"
            yield from row_documents(owner, ((line, fields) for line, fields in sheet["rows"]))
        else:
            tables.append(f"## {clean(sheet['name'])}\n\n{sheet['table']}")
    document = _document(document_id, "\n\n".join(tables))
    if document is not None:
        yield document
    elif not sheets:
        yield Problem(path=document_id, line=None, reason="holds no text")


def _tidied(text: str) -> str:
    """A picture's description stays, for its address leads nowhere outside of the document. A table without a header
    row gets its first one, which is what authors mean by it."""
    return _HEADLESS.sub(r"\2\1", _PICTURE.sub(lambda found: found[1], text))


def without_line_breaks(text: str) -> str:
    """A PDF's lines as paragraphs: it knows only where each line was printed, and a word that is cut at the margin (in
    Chinese every second one) is found by nobody."""
    paragraphs = re.split(r"\n[ \t]*\n|\f", text)
    return "\n\n".join(filter(None, (_joined(paragraph) for paragraph in paragraphs)))


def _joined(paragraph: str) -> str:
    lines = [line.strip() for line in paragraph.split("\n") if line.strip()]
    longest = max(map(_width, lines), default=0)
    text = ""
    for number, line in enumerate(lines):
        above = lines[number - 1] if number else ""
        if not number:
            text = line
        elif _BEGINS.match(line) or above.startswith("|") or _width(above) < _FULL_LINE * longest:
            text += "\n" + line
        elif _WIDE.match(above[-1]) or _WIDE.match(line):
            text += line
        else:
            text += " " + line
    return text


def _width(line: str) -> int:
    return len(line) + sum(1 for _ in _WIDE.finditer(line))
