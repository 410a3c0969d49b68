"""The process that opens documents of other programs. Run as a script by `knowledge.documents.conversion`; imports
nothing of ours, so that it starts without the index, the embedders and the settings.

Each file is opened in a child of its own: it has the parsers already imported, limits on its memory, its processor
time and its files, and nothing of it is left for the next one. Requests come on standard input (a line of JSON with
"suffix" and "size", then the bytes), replies go to standard output (eight bytes of length, then JSON).
"""

from __future__ import annotations

import importlib
import io
import json
import os
import re
import resource
import signal
import sys
import zipfile
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import Any, BinaryIO

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PARTS = {".docx": "word/document.xml", ".xlsx": "xl/workbook.xml", ".pptx": "ppt/presentation.xml"}
_PICTURES = "word/media/"
_MOST_PARTS = 10_000
# More cells are a dump of a database: nobody reads it, and no embedder gets through it.
_MOST_CELLS = 500_000
_COLUMNS = ({"question", "answer"}, {"text"})
_NEVER_SHOWN = ("script", "style", "noscript", "template", "iframe", "svg", "nav", "footer", "aside", "form", "dialog")
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])", re.IGNORECASE)
_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?([A-Za-z0-9_-]{2,20})""", re.IGNORECASE)


class _Refused(Exception):
    """The document is not taken; the text says why and holds nothing of it."""


def main() -> None:
    """Serves requests until standard input ends."""
    limits = json.loads(sys.argv[1])
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a parser prints is no reply
    try:
        for name in ("bs4", "markitdown.converters", "openpyxl", "pypdfium2"):
            importlib.import_module(name)  # once, for every child
    except ImportError:
        _reply(replies, b'{"missing": true}')
        return
    _reply(replies, b'{"ready": true}')
    while header := sys.stdin.buffer.readline():
        request = json.loads(header)
        data = sys.stdin.buffer.read(request["size"])
        _reply(replies, _in_a_child(request["suffix"], data, limits))


def _reply(stream: BinaryIO, body: bytes) -> None:
    stream.write(len(body).to_bytes(8, "big") + body)
    stream.flush()


def _in_a_child(suffix: str, data: bytes, limits: Mapping[str, Any]) -> bytes:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            _confine(limits)
            with os.fdopen(writing, "wb") as stream:
                stream.write(json.dumps(_converted(suffix, data, limits)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        body = stream.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        late = os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGALRM)
        return json.dumps({"refused": "takes too long to read; split it" if late else "breaks its reader"}).encode()
    return body or b'{"refused": "needs more memory than a document may"}'


def _confine(limits: Mapping[str, Any]) -> None:
    """Nothing the child does from here on can hold up or hurt anything else."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    _allow_seconds(limits["seconds"])
    try:
        with open("/proc/self/statm", encoding="ascii") as stream:  # noqa: PTH123 - a script that starts in a moment
            pages = int(stream.read().split()[0])
    except OSError:
        return  # not Linux: the address space of what is imported is not known, and without it no limit fits
    space = pages * resource.getpagesize() + limits["memory"]
    resource.setrlimit(resource.RLIMIT_AS, (space, space))


def _allow_seconds(seconds: float) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = max(1, round(seconds))
    resource.setrlimit(resource.RLIMIT_CPU, (wanted if hard < 0 else min(wanted, hard), hard))
    # By the clock five times as long: the machine has other work. What neither computes nor ends is ended too.
    signal.setitimer(signal.ITIMER_REAL, 5 * seconds)


def _converted(suffix: str, data: bytes, limits: Mapping[str, Any]) -> dict[str, Any]:
    try:
        found = _READERS[suffix](data, limits)
    except _Refused as refused:
        return {"refused": str(refused)}
    except MemoryError:
        return {"refused": "needs more memory than a document may"}
    except RecursionError:
        return {"refused": "is nested too deeply"}
    except Exception as error:  # noqa: BLE001 - parsers fail in every way there is; what they say may quote the document
        return {"refused": f"can not be read: it is damaged, or no {suffix} file ({type(error).__name__})"}
    size = sum(len(str(value)) for value in found.values())
    return found if size <= limits["characters"] else {"refused": "holds too much text; split it"}


# --- PDF ----------------------------------------------------------------------------------------------


def _pdf(data: bytes, limits: Mapping[str, Any]) -> dict[str, Any]:
    import pypdfium2
    from markitdown import StreamInfo
    from markitdown.converters import PdfConverter

    if b"%PDF-" not in data[:1024]:
        raise _Refused("is no PDF")
    try:
        pages = len(pypdfium2.PdfDocument(data))
    except pypdfium2.PdfiumError as error:
        protected = "password" in str(error).lower()
        raise _Refused("is protected by a password; save it without" if protected else "is a damaged PDF") from None
    if pages > limits["pages"]:
        raise _Refused(f"has {pages} pages, and at most {limits['pages']} are read; split it")
    _allow_seconds(limits["seconds"] + limits["page_seconds"] * pages)
    result = PdfConverter().convert(io.BytesIO(data), StreamInfo(extension=".pdf"))
    if not result.markdown.strip():
        raise _Refused("holds no text: is it a scan? Run text recognition over it first")
    return {"kind": "pdf", "text": result.markdown}


# --- Office -------------------------------------------------------------------------------------------


def _check_package(suffix: str, data: bytes, limits: Mapping[str, Any]) -> None:
    """Office files are ZIP archives of XML; what they may not be is told before any parser unpacks them."""
    if data.startswith(_OLE):
        raise _Refused(f"is protected by a password, or of an old format; save it as {suffix} without")
    try:
        package = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile:
        raise _Refused(f"is damaged, or no {suffix} file") from None
    parts = package.infolist()
    names = {part.filename for part in parts}
    if any(name.lower().endswith("vbaproject.bin") for name in names):
        raise _Refused("holds macros; save it without")
    if any(part.flag_bits & 1 for part in parts):
        raise _Refused("is protected by a password; save it without")
    # A reader takes no more of a part than it declares, so a lie here ends as a damaged file.
    if len(parts) > _MOST_PARTS or sum(map(_unpacked, parts)) > limits["unpacked"]:
        raise _Refused("unpacks to more than a document may hold")
    if _PARTS[suffix] not in names:
        raise _Refused(f"is damaged, or no {suffix} file")
    for part in parts:
        if part.filename.endswith((".xml", ".rels")):
            with package.open(part) as stream:
                start = stream.read(4096).replace(b"\0", b"")
            if b"<!DOCTYPE" in start or b"<!ENTITY" in start:
                raise _Refused("declares entities, which no office program writes")


def _unpacked(part: zipfile.ZipInfo) -> int:
    return 0 if part.filename.startswith(_PICTURES) else part.file_size


def _without_pictures(data: bytes) -> io.BytesIO:
    """A manual's photographs are most of it; the converter would write them all out in letters, to throw them away."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as given, zipfile.ZipFile(stream, "w") as left:
        for part in given.infolist():
            left.writestr(part.filename, b"" if part.filename.startswith(_PICTURES) else given.read(part))
    stream.seek(0)
    return stream


def _docx(data: bytes, limits: Mapping[str, Any]) -> dict[str, Any]:
    from markitdown import StreamInfo
    from markitdown.converters import DocxConverter

    _check_package(".docx", data, limits)
    result = DocxConverter().convert(_without_pictures(data), StreamInfo(extension=".docx"), strict=True)
    return {"kind": "markdown", "text": result.markdown}


def _pptx(data: bytes, limits: Mapping[str, Any]) -> dict[str, Any]:
    from markitdown import StreamInfo
    from markitdown.converters import PptxConverter

    _check_package(".pptx", data, limits)
    result = PptxConverter().convert(io.BytesIO(data), StreamInfo(extension=".pptx"))
    return {"kind": "markdown", "text": result.markdown}


def _xlsx(data: bytes, limits: Mapping[str, Any]) -> dict[str, Any]:
    """By openpyxl itself: the converter's way through pandas makes NaN of empty cells and 400123.0 of 400123."""
    import openpyxl

    _check_package(".xlsx", data, limits)
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    sheets: list[dict[str, Any]] = []
    left = _MOST_CELLS
    for sheet in book.worksheets:
        if sheet.sheet_state != "visible":
            continue
        rows: list[tuple[int, list[str]]] = []
        for row in sheet.iter_rows():
            left -= len(row)
            if left < 0:
                raise _Refused(f"has more than {_MOST_CELLS} cells; split it")
            cells = [_shown(cell) for cell in row]
            if any(cells):
                rows.append((next(cell.row for cell in row if cell.value is not None), cells))
        if rows:
            sheets.append(_sheet(sheet.title, rows))
    return {"kind": "sheets", "sheets": sheets}


def _sheet(name: str, rows: list[tuple[int, list[str]]]) -> dict[str, Any]:
    width = max(max((n for n, cell in enumerate(cells, 1) if cell), default=0) for _, cells in rows)
    even = [(line, [*cells[:width], *[""] * (width - len(cells))]) for line, cells in rows]
    header = [cell.lower() for cell in even[0][1]]
    if any(columns <= set(header) for columns in _COLUMNS):
        return {"name": name, "rows": [(line, dict(zip(header, cells, strict=True))) for line, cells in even[1:]]}
    return {"name": name, "table": "\n".join(_table_lines([cells for _, cells in even]))}


def _table_lines(rows: list[list[str]]) -> Iterator[str]:
    for number, cells in enumerate(rows):
        yield "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
        if number == 0:
            yield "|" + " --- |" * len(cells)


def _shown(cell: Any) -> str:
    """A cell's value as a reader of the sheet sees it."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        if str(cell.number_format).endswith("%"):
            return f"{100 * value:.10g}%"
        return str(value) if isinstance(value, int) else f"{value:.15g}"
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time.min else value.isoformat(" ", "minutes")
    return value.isoformat() if isinstance(value, date | time) else str(value).strip()


# --- HTML ---------------------------------------------------------------------------------------------


def _html(data: bytes, limits: Mapping[str, Any]) -> dict[str, Any]:
    from bs4 import BeautifulSoup, Comment
    from markitdown.converters import HtmlConverter

    soup = BeautifulSoup(_decoded(data), "html.parser")
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    robots = " ".join(
        str(tag.get("content", ""))
        for tag in soup.find_all("meta", attrs={"name": re.compile("^robots$", re.IGNORECASE)})
    )
    base = soup.find("base", href=True)
    links = [str(tag["href"]) for tag in soup.find_all("a", href=True)]
    for tag in soup(_NEVER_SHOWN):
        tag.decompose()
    for comment in soup.find_all(string=lambda text: isinstance(text, Comment)):
        comment.extract()
    # What no visitor sees, no customer should: the usual place for words that are meant for a model.
    for tag in soup.find_all(lambda tag: tag.has_attr("hidden") or _HIDDEN_STYLE.search(str(tag.get("style", "")))):
        if not tag.decomposed:
            tag.decompose()
    main = soup.find("main") or soup.find("article") or soup.body or soup
    result = HtmlConverter().convert_string(f"<body>{main}</body>", strict=True)
    return {
        "kind": "markdown",
        "text": result.markdown,
        "title": title,
        "robots": robots.lower(),
        "base": str(base["href"]) if base else "",
        "links": links[:5000],
    }


def _decoded(data: bytes) -> str:
    declared = _CHARSET.search(data[:4096])
    for encoding in ("utf-8-sig", declared.group(1).decode() if declared else "", "gb18030"):
        try:
            # A page that says GB2312 is written in its successor, as browsers know.
            return data.decode({"gb2312": "gb18030", "gbk": "gb18030"}.get(encoding.lower(), encoding or "utf-8"))
        except (UnicodeDecodeError, LookupError):
            continue
    raise _Refused("is in no known encoding; save it as UTF-8")


_READERS = {".pdf": _pdf, ".docx": _docx, ".pptx": _pptx, ".xlsx": _xlsx, ".html": _html, ".htm": _html}

if __name__ == "__main__":
    main()
