"""Copies of a website's pages between two syncs, so that what did not change is not fetched again, and a server that is
down for an hour does not empty the knowledge."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One page as it was read."""

    etag: str
    modified: str
    url: str
    """Where it was in the end."""

    robots: str
    found: Mapping[str, Any] = field(repr=False)
    """See `knowledge.documents.converted`."""


class KeptCopies:
    """The copies of one source, in one file. Blocks: call it in a thread."""

    def __init__(self, folder: Path, source: str) -> None:
        self._path = folder / f"{hashlib.sha256(source.encode()).hexdigest()[:24]}.json"

    def load(self) -> dict[str, Copy]:
        """By address; none where the file is missing, damaged or of another version: it only ever saves work."""
        try:
            stored = json.loads(self._path.read_bytes())
            if stored["version"] != _VERSION:
                return {}
            return {url: Copy(**copy) for url, copy in stored["pages"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def store(self, copies: Mapping[str, Copy]) -> None:
        """Replaces all of them in one step: a page that is gone from the site is gone from here."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        body = json.dumps({"version": _VERSION, "pages": {url: asdict(copy) for url, copy in copies.items()}})
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, suffix=".part")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(body)
            Path(name).replace(self._path)
        except BaseException:  # a cancellation, too, leaves nothing behind
            Path(name).unlink(missing_ok=True)
            raise
