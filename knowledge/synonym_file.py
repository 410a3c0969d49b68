"""The file of synonyms while the bot runs: read when it changes, kept as it was when somebody made a mistake in it."""

import asyncio
import logging
import time
from pathlib import Path

from knowledge.disk import Signature, signature_of
from knowledge.errors import SynonymsError
from knowledge.synonyms import MOST_BYTES, NOTHING, Synonyms, parse
from knowledge.values import Problem

log = logging.getLogger(__name__)

_SETTLING = 0.05
"""Seconds that a changed file has to stay as it is: most editors empty it first, and then write."""

_NAMED = 5  # mistakes, in one line


class SynonymFile:
    """One file, or (None) none."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._signature: Signature | None = None
        self._said = ""
        self._settling = 0.0
        self._looking: asyncio.Task[None] | None = None
        self.current: Synonyms = NOTHING

    def look(self) -> None:
        """Begins to see whether the file has changed; searches do not wait for it."""
        if self._path is not None and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self.follow())

    async def follow(self) -> None:
        """Sees whether the file has changed, and reads it. What is wrong with it is said once, and what it said before
        goes on being used."""
        if self._path is None:
            return
        try:
            changed = await asyncio.to_thread(_read_if_changed, self._path, self._signature, self._settling)
        except OSError as error:
            self._signature, self._settling = None, _SETTLING
            self._complain(Problem(path=str(self._path), line=None, reason=error.strerror or type(error).__name__))
            return
        if changed is None:
            return
        (self._signature, data), self._settling = changed, _SETTLING
        synonyms, problems = await asyncio.to_thread(parse, data, str(self._path))
        if problems:
            self._complain(*problems)
            return
        if self.current is not NOTHING or self._said:
            log.info("synonyms read again", extra={"groups": synonyms.groups})
        self._said = ""
        self.current = synonyms

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    def _complain(self, *problems: Problem) -> None:
        first = str(problems[0])
        if first != self._said:
            log.warning("synonyms were not read", extra={"reason": first, "mistakes": len(problems)})
        self._said = first


def check_synonyms(path: Path) -> int:
    """How many groups a file has. Raises SynonymsError, which names its mistakes. Blocks."""
    try:
        _, data = _read(path)
    except OSError as error:
        raise SynonymsError(f"knowledge.synonyms: {path}: {error.strerror or type(error).__name__}") from error
    synonyms, problems = parse(data, str(path))
    if problems:
        more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        raise SynonymsError(f"knowledge.synonyms: {'; '.join(map(str, problems[:_NAMED]))}{more}")
    return synonyms.groups


def _read_if_changed(path: Path, before: Signature | None, settling: float) -> tuple[Signature, bytes] | None:
    if before is not None and signature_of(path) == before:
        return None
    found = _read(path)
    time.sleep(settling)
    return found if signature_of(path) == found[0] else None


def _read(path: Path) -> tuple[Signature, bytes]:
    """As it was no earlier than the signature says, so that what is written meanwhile is read the next time."""
    signature = signature_of(path)
    with path.open("rb") as stream:
        return signature, stream.read(MOST_BYTES + 1)
