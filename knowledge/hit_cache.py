"""What was found before, so that it need not be searched again.

A key names the version of the knowledge that was searched, for good: what a sync changed is asked for under another
key, and can not be answered from here with yesterday's text.
"""

import hashlib
import json
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol, TypeAlias

from knowledge.cache import LruCache
from knowledge.schema import FORMAT
from knowledge.scope import Scope
from knowledge.values import Hit

CACHED_SEARCHES = 1024
"""In this process's memory; about 5 KB each."""

Hits: TypeAlias = tuple[Hit, ...]

CacheEvent = Literal["memory", "redis", "missed", "failed", "up", "down"]
""""memory", "redis": found there; "missed": had to be searched; "failed": Redis did not do what it was asked; "up",
"down": it is reachable, or no longer."""

Tell = Callable[[CacheEvent], None]
"""Counts what happens. Called on the event loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """Which knowledge is searched, and how it is embedded."""

    key: str
    """`Stamp.key`: numbers of versions are given out again by a restored database, keys never. "" for an index from
    before there was a ledger: then what is found stays in this process."""

    embedder: str
    dimension: int
    table: int = 0
    """The table's version where there is no key, else 0: maintenance raises it and changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchKey:
    """Everything that decides what a search finds: searches of equal keys find the same. A field that is added here
    is a part of every name in Redis (`digest_of`)."""

    question: str = field(repr=False)
    """As `QueryEncoder.prepare` leaves it."""

    scope: Scope
    """As `Scope.of` makes it."""

    top_k: int
    edition: Edition
    manner: str = ""
    """What else decides the answer: the synonyms in use, the reranker."""


def digest_of(key: SearchKey) -> str:
    """Names a search outside this process without saying what was asked.

    The version's key is mixed in as a secret: it is in the index and the database, not in Redis, so that whoever sees
    the names there can not try questions out on them.
    """
    parts = json.dumps([FORMAT, asdict(key)], sort_keys=True, separators=(",", ":")).encode()
    return hashlib.blake2b(parts, key=key.edition.key.encode()[:64], digest_size=16).hexdigest()


def version_name(key: str) -> str:
    """Names a version outside this process, by its `Stamp.key`."""
    return hashlib.blake2b(key.encode(), person=b"kefu hits", digest_size=8).hexdigest()


class HitCache(Protocol):
    """Keeps what was found, for a while. Never raises: whatever it can not give is searched again."""

    def at_hand(self, key: SearchKey) -> Hits | None:
        """What can be had without waiting."""

    async def get(self, key: SearchKey) -> Hits | None:
        """What `at_hand` does not have, if it can be had from elsewhere in less time than a search takes."""

    def put(self, key: SearchKey, hits: Hits) -> None:
        """Keeps it. Does not wait."""

    def follow(self, former: str, newest: str) -> None:
        """Another version is served, by `Stamp.key`: begins to delete what is kept of the former one."""

    async def drop(self, versions: Collection[str]) -> bool:
        """Deletes what is kept of these versions everywhere; whether it is gone."""


class MemoryHits:
    """Keeps it in this process."""

    def __init__(
        self,
        *,
        ttl_seconds: float = 3600.0,
        size: int = CACHED_SEARCHES,
        tell: Tell | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """:param ttl_seconds: how long; 0 remembers nothing."""
        self._ttl = ttl_seconds
        self._found: LruCache[SearchKey, tuple[float, Hits]] = LruCache(size)
        self._tell: Tell = tell or _nobody
        self._clock = clock

    def at_hand(self, key: SearchKey) -> Hits | None:
        """See `HitCache`."""
        kept = self._found.get(key)
        if kept is None or self._clock() >= kept[0]:
            return None
        self._tell("memory")
        return kept[1]

    async def get(self, key: SearchKey) -> Hits | None:
        """See `HitCache`."""
        self._tell("missed")
        return None

    def put(self, key: SearchKey, hits: Hits) -> None:
        """See `HitCache`."""
        if self._ttl > 0:
            self._found.put(key, (self._clock() + self._ttl, hits))

    def follow(self, former: str, newest: str) -> None:
        """See `HitCache`."""
        self._found.clear()

    async def drop(self, versions: Collection[str]) -> bool:
        """See `HitCache`."""
        self._found.clear()
        return True


def _nobody(_: CacheEvent) -> None:
    pass
