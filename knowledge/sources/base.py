"""What a source promises, and several of them read as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from knowledge.documents import Converter, SourceContents
from knowledge.documents.files import merged, read_source


class Source(Protocol):
    """Something that holds documents."""

    @property
    def name(self) -> str:
        """How an operator knows it: never a password."""

    async def read(self, converter: Converter) -> SourceContents:
        """Every document it holds now, and what could not be read.

        Raises SourceError when nothing is to be had: the knowledge then stays as it is.
        """

    async def check(self) -> str:
        """Looks whether it can be read, without reading it all; says in a few words what is there.

        Raises SourceError.
        """


class FileSource:
    """A file, or a folder with everything below it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        return str(self._path)

    async def read(self, converter: Converter) -> SourceContents:
        return await asyncio.to_thread(read_source, self._path, converter)

    async def check(self) -> str:
        return await asyncio.to_thread(self._look)

    def _look(self) -> str:
        if self._path.is_dir():
            return f"the folder {self._path}"
        return f"{len(read_source(self._path).documents)} documents in {self._path}"


async def read_all(sources: Sequence[Source]) -> SourceContents:
    """Several sources as one, in their order. A document id that two of them share is a problem of the later one.

    Raises SourceError when one of them can not be read.
    """
    converter = Converter()
    try:
        parts = [(source.name, await source.read(converter)) for source in sources]
        return await asyncio.to_thread(merged, parts)
    finally:
        # Also when this is cancelled: a long document would hold up the end of the process.
        await asyncio.to_thread(converter.close)
