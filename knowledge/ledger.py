"""The ledger: what the knowledge is and was, in numbered versions. The index follows it and can be made from it.

A version is all documents of all collections, each cut into passages. See docs/decisions/0008-ledger.md.
"""

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

from knowledge.errors import LedgerError
from knowledge.schema import content_hash
from knowledge.values import Chunk, Stamp

DocumentKey = tuple[str, str]
"""(collection, document)."""

Passages = tuple[Chunk, ...]
"""Of one document, in its order."""

VersionKind = Literal["sync", "samples", "rollback", "forget", "found"]
""""found": taken over from an index that had no ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A line of `kefu knowledge versions`. Counts are documents."""

    number: int
    key: str
    at: datetime
    kind: VersionKind
    collection: str
    """The one that was synced; "" where all are meant."""

    added: int
    changed: int
    removed: int
    basis: int | None = None
    """The version that a rollback went back to."""

    @property
    def stamp(self) -> Stamp:
        return Stamp(number=self.number, key=self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """From one state of the documents to another."""

    put: Mapping[DocumentKey, str]
    """Digests of documents that are new or different."""

    dropped: frozenset[DocumentKey]
    added: int
    """How many of `put` are new."""

    @property
    def is_empty(self) -> bool:
        return not self.put and not self.dropped

    @property
    def changed(self) -> int:
        return len(self.put) - self.added

    @classmethod
    def between(cls, before: Mapping[DocumentKey, str], after: Mapping[DocumentKey, str]) -> "Change":
        put = {key: digest for key, digest in after.items() if before.get(key) != digest}
        # Step by step, not as a difference of sets: other threads get their turn in between.
        dropped = frozenset(key for key in before if key not in after)
        return cls(put=put, dropped=dropped, added=sum(key not in before for key in put))


def following(
    head: Version | None,
    change: Change,
    *,
    kind: VersionKind,
    collection: str = "",
    basis: int | None = None,
    key: str | None = None,
) -> Version:
    """The version after `head`, now, with a key of its own unless one is given."""
    return Version(
        number=(head.number if head else 0) + 1,
        key=key or secrets.token_hex(8),
        at=datetime.now(UTC),
        kind=kind,
        collection=collection,
        added=change.added,
        changed=change.changed,
        removed=len(change.dropped),
        basis=basis,
    )


class Ledger(Protocol):
    """Versions in the order of their numbers. Each method is one transaction unless it says otherwise.

    All raise LedgerError when the database behind it can not be used.
    """

    async def head(self) -> Version | None:
        """The newest version, None while there is none."""

    async def versions(self) -> tuple[Version, ...]:
        """Those that are kept, the newest first."""

    async def documents(self, number: int) -> dict[DocumentKey, str]:
        """The digest of every document of a kept version."""

    async def passages(self, digests: Collection[str]) -> dict[str, Passages]:
        """What the digests stand for; stored ones only."""

    async def store(self, contents: Mapping[str, Passages]) -> None:
        """Keeps contents by their digests for a version that will name them, in several small transactions. What no
        version names is removed by `tidy`."""

    async def commit(self, version: Version, change: Change) -> None:
        """Makes the version the newest one, whole. Its contents have been stored.

        :raises SyncBusyError: another version took its number meanwhile; nothing was written.
        """

    async def erase(self, documents: Collection[DocumentKey]) -> None:
        """Takes documents out of every version."""

    async def named(self, document: str) -> frozenset[DocumentKey]:
        """Where a document of this name stands or stood, in any kept version."""

    async def tidy(self, keep: int) -> bool:
        """Removes all but the newest `keep` versions, and contents that none of them names; whether any text went.
        Several transactions; harmless to repeat."""

    async def scrub(self) -> None:
        """Takes what was removed out of the database's files.

        :raises LedgerError: it may still be there.
        """


async def documents_of(ledger: Ledger, number: int) -> dict[DocumentKey, str]:
    """The documents of a kept version. Raises LedgerError for one that is not kept."""
    kept = [version.number for version in await ledger.versions()]
    if number not in kept:
        there = f"kept are {kept[-1]} to {kept[0]}" if kept else "there is none yet"
        raise LedgerError(f"there is no version {number}; {there}")
    return await ledger.documents(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The documents that two versions differ in, sorted."""

    added: tuple[DocumentKey, ...]
    changed: tuple[DocumentKey, ...]
    removed: tuple[DocumentKey, ...]


async def difference(ledger: Ledger, earlier: int, later: int) -> Difference:
    """What became of the documents from one version to the other. Raises LedgerError for one that is not kept."""
    before, after = await documents_of(ledger, earlier), await documents_of(ledger, later)
    change = Change.between(before, after)
    return Difference(
        added=tuple(sorted(change.put.keys() - before.keys())),
        changed=tuple(sorted(change.put.keys() & before.keys())),
        removed=tuple(sorted(change.dropped)),
    )


def digest_of(passages: Sequence[Chunk]) -> str:
    """Equal for equal passages in the same order."""
    return hashlib.sha256("\n".join(content_hash(chunk) for chunk in passages).encode()).hexdigest()


def by_document(rows: Sequence[tuple[str, Chunk]]) -> dict[DocumentKey, Passages]:
    """(collection, passage) pairs, sorted into their documents."""
    found: dict[DocumentKey, list[Chunk]] = {}
    for collection, chunk in rows:
        found.setdefault((collection, chunk.document), []).append(chunk)
    return {key: tuple(chunks) for key, chunks in found.items()}


_COLUMNS = ("id", "document", "title", "text", "question", "answer", "url", "tags")


def encode(passages: Sequence[Chunk]) -> str:
    """As they are stored: JSON, a list of objects without what is not there."""
    rows = [
        {name: value for name in _COLUMNS if (value := getattr(chunk, name)) not in (None, ())} for chunk in passages
    ]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def decode(stored: str) -> Passages:
    return tuple(
        Chunk(
            id=row["id"],
            document=row["document"],
            title=row["title"],
            text=row["text"],
            question=row.get("question"),
            answer=row.get("answer"),
            url=row["url"],
            tags=tuple(row.get("tags", ())),
        )
        for row in json.loads(stored)
    )
