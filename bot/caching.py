"""The cache of found passages, as the settings want it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from bot.errors import SettingsError
from bot.sections import CacheSettings
from bot.server.ports import PartHealth
from bot.telemetry import Metrics
from knowledge.errors import KnowledgeError
from knowledge.hit_cache import CacheEvent, MemoryHits

if TYPE_CHECKING:  # Redis is an extra, and reading its values costs pydantic's validators
    from knowledge.redis_hits import RedisHits

Cache: TypeAlias = "MemoryHits | RedisHits"

MEMORY = "memory://"


@asynccontextmanager
async def open_cache(settings: CacheSettings, metrics: Metrics) -> AsyncIterator[Cache]:
    """Waits for nothing: a Redis that is down is connected to later.

    :raises SettingsError: kefu[redis] is not installed.
    """

    def count(event: CacheEvent) -> None:
        match event:
            case "memory" | "redis":
                metrics.cache_hits.labels(event).inc()
            case "missed":
                metrics.cache_misses.inc()
            case "failed":
                metrics.cache_failures.inc()
            case "up" | "down":
                metrics.cache_up.set(event == "up")

    if is_remembered_here(settings):
        metrics.cache_up.set(1)
        yield MemoryHits(ttl_seconds=settings.ttl_seconds, tell=count)
        return
    from knowledge.redis_hits import open_redis_hits

    metrics.cache_up.set(0)
    async with AsyncExitStack() as stack:
        try:
            hits = await stack.enter_async_context(
                open_redis_hits(settings.url, ttl_seconds=settings.ttl_seconds, tell=count)
            )
        except KnowledgeError as error:
            raise SettingsError(str(error)) from error
        yield hits


async def check(settings: CacheSettings) -> str:
    """For `kefu doctor`. Raises SettingsError with what is wrong."""
    if is_remembered_here(settings):
        return f"in memory, for {settings.ttl_seconds} s" if settings.ttl_seconds else "off: cache.ttl_seconds is 0"
    async with open_cache(settings, Metrics()) as cache:
        problem = "" if isinstance(cache, MemoryHits) else await cache.standing()
    if problem:
        raise SettingsError(f"{place_of(settings)}: {problem}; answers come without it, a little slower")
    return f"{place_of(settings)}, for {settings.ttl_seconds} s"


def health_of(cache: Cache) -> tuple[PartHealth, ...]:
    """For /readyz, where there is a Redis; it is never needed."""
    if isinstance(cache, MemoryHits):
        return ()
    return (PartHealth(name="cache", up=not cache.problem, needed=False, detail=cache.problem),)


def is_remembered_here(settings: CacheSettings) -> bool:
    """Whether this process alone remembers: nothing is asked of Redis where nothing shall be remembered."""
    return settings.url.startswith(MEMORY) or not settings.ttl_seconds


def place_of(settings: CacheSettings) -> str:
    """Where the cache is, for operators: without user and password."""
    parts = urlsplit(settings.url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
