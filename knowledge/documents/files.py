"""Which files of a source are read, and how each becomes documents."""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from knowledge.documents.conversion import CONVERTED, Converter, RefusedError
from knowledge.documents.converted import converted_documents
from knowledge.documents.tables import csv_documents, jsonl_documents
from knowledge.documents.text import UnreadableTextError, decode, markdown_document, text_document
from knowledge.errors import SourceError
from knowledge.process import giving_way
from knowledge.values import Document, Problem

# A file is read whole. 64 MiB of text are some 20,000 pages: more in one file is a dump that nobody
# meant as knowledge, and would take the sync past a gigabyte of memory.
MAX_FILE_BYTES = 64 * 1024 * 1024

_TEXTS = frozenset({".md", ".markdown", ".txt", ".csv", ".jsonl"})
_READ = _TEXTS | CONVERTED
# Formats that plainly hold knowledge, but are not read: named, so that nobody believes they went in.
# Anything else in a folder (pictures, scripts) is passed by.
_INSTEAD = {
    ".doc": ".docx", ".xls": ".xlsx", ".ppt": ".pptx", ".docm": ".docx", ".xlsm": ".xlsx", ".pptm": ".pptx",
    ".rtf": ".docx", ".odt": ".docx", ".ods": ".xlsx", ".odp": ".pptx",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceContents:
    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    path: Path
    name: str
    """Relative to the source, with forward slashes: the document's id, or its beginning."""


def read_sources(paths: Sequence[Path], converter: Converter | None = None) -> SourceContents:
    """Several sources as one. A document id that two of them share is a problem of the later one."""
    return merged((str(path), read_source(path, converter)) for path in paths)


def merged(parts: Iterable[tuple[str, SourceContents]]) -> SourceContents:
    """The contents of several sources, each with the name of its source, as one. Blocks where they are many."""
    documents: dict[str, Document] = {}
    problems: list[Problem] = []
    for name, contents in parts:
        problems.extend(contents.problems)
        for document in giving_way(contents.documents):
            if document.id in documents:
                reason = f"{document.id} is also in another of the given sources"
                problems.append(Problem(path=name, line=None, reason=reason))
            else:
                documents[document.id] = document
    return SourceContents(documents=tuple(documents.values()), problems=tuple(problems))


def read_source(path: Path, converter: Converter | None = None) -> SourceContents:
    """A file, or every file below a folder, in the order of their names. Blocks.

    `converter` reads documents of other programs; one of its own is used where none is given.
    Raises SourceError when the path does not exist, cannot be read or is a file of another format.
    """
    try:
        root = path.resolve(strict=True)
        mode = root.stat().st_mode
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "a loop of links"
        raise SourceError(f"{path}: {reason}") from error
    entries: Iterable[_File | Problem]
    if stat.S_ISDIR(mode):
        entries = _walk(root)
    elif not stat.S_ISREG(mode):
        raise SourceError(f"{path}: is neither a file nor a folder")
    elif root.suffix.lower() not in _READ:
        raise SourceError(f"{path}: {_unread_reason(root.suffix)}")
    else:
        # The name that was given, not the one a link leads to: ids must not change with the link.
        entries = [_File(path=root, name=path.name or root.name)]
    documents: list[Document] = []
    problems: list[Problem] = []
    with nullcontext(converter) if converter is not None else Converter() as reader:
        for entry in entries:
            for item in [entry] if isinstance(entry, Problem) else giving_way(_read(entry, reader)):
                if isinstance(item, Problem):
                    problems.append(item)
                else:
                    documents.append(item)
    return SourceContents(documents=tuple(documents), problems=tuple(problems))


def _unread_reason(suffix: str) -> str:
    if instead := _INSTEAD.get(suffix.lower()):
        return f"{suffix} files are not read; save it as {instead}"
    return "is not a .md, .txt, .csv, .jsonl, .pdf, .docx, .xlsx, .pptx or .html file"


def _walk(root: Path) -> Iterator[_File | Problem]:
    """Files below `root` that are read, sorted; hidden ones are left out, links must stay inside."""
    unreadable: list[Problem] = []

    def note(error: OSError) -> None:
        name = _relative(Path(error.filename or root), root)
        unreadable.append(Problem(path=name, line=None, reason=f"cannot be read: {error.strerror}"))

    for folder, folders, names in os.walk(root, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in list(folders):
            target = Path(folder, name)
            # os.walk does not follow a link; one that stays inside is read where its files are.
            if target.is_symlink() and not _inside(target, root):
                yield Problem(path=_relative(target, root), line=None, reason="is a link out of the source")
        for name in sorted(names):
            if not name.startswith("."):
                yield from _consider(Path(folder, name), root)
    yield from unreadable


def _consider(path: Path, root: Path) -> Iterator[_File | Problem]:
    name, suffix = _relative(path, root), path.suffix.lower()
    if suffix not in _READ | _INSTEAD.keys():
        return
    if path.is_symlink() and not _inside(path, root):
        yield Problem(path=name, line=None, reason="is a link out of the source, or leads nowhere")
    elif suffix in _INSTEAD:
        yield Problem(path=name, line=None, reason=_unread_reason(path.suffix))
    else:
        yield _File(path=path, name=name)


def _inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):
        return False


def _relative(path: Path, root: Path) -> str:
    # A name that is not UTF-8 reaches Python as surrogates, which no index can store.
    return path.relative_to(root).as_posix().encode("utf-8", "replace").decode("utf-8")


def _read(file: _File, converter: Converter) -> Iterator[Document | Problem]:
    suffix = file.path.suffix.lower()
    try:
        data = _read_bytes(file.path)
        if suffix in CONVERTED:
            yield from converted_documents(file.name, converter.convert(suffix, data))
            return
        text = decode(data)
    except RefusedError as error:
        yield Problem(path=file.name, line=None, reason=str(error))
        return
    except UnreadableTextError as error:
        yield Problem(path=file.name, line=error.line, reason=error.reason)
        return
    except OSError as error:
        yield Problem(path=file.name, line=None, reason=f"cannot be read: {error.strerror}")
        return
    if suffix == ".csv":
        yield from csv_documents(file.name, text)
    elif suffix == ".jsonl":
        yield from jsonl_documents(file.name, text)
    else:
        make = text_document if suffix == ".txt" else markdown_document
        document = make(file.name, text)
        if document is not None:
            yield document


def _read_bytes(path: Path) -> bytes:
    # Not blocking on a pipe that carries a text file's name, and not trusting a size seen earlier.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnreadableTextError("is not a file")
        data = stream.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise UnreadableTextError(f"is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB; split it")
    return data
