"""The sources of kefu.toml, kept in sync while the bot runs: one at a time, each at its interval."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bot.ports import Clock
from bot.source_settings import SourceSettings, seconds_of
from bot.telemetry import Metrics, get_logger
from knowledge.documents import Converter, SourceContents
from knowledge.errors import KnowledgeError, SyncBusyError
from knowledge.sources.base import FileSource, Source
from knowledge.sources.database import DatabaseSource
from knowledge.sources.website import WebSource
from knowledge.values import SyncReport

FIRST_SECONDS = 10.0
"""Within this the first syncs begin: several replicas that are started at once ask a website one after the other."""
JITTER = 0.1
BUSY_SECONDS = 60.0
RETRY_SECONDS = 300.0
"""After a failure, unless the interval is shorter."""

KEPT_FOLDER = "sources"
"""In the data folder: copies of pages."""

log = get_logger(__name__)


class Syncing(Protocol):
    """What is needed of `knowledge.service.Knowledge`."""

    async def sync(self, sources: Sequence[Path | str | Source], *, collection: str) -> SyncReport:
        """Makes the collection equal to the sources. Raises KnowledgeError."""


def make_source(settings: SourceSettings, *, keep: Path, allow_private: bool) -> Source:
    """The source itself. Raises SourceError when it can not be one.

    :param keep: the folder for copies of pages between two syncs.
    """
    if settings.path:
        return FileSource(Path(settings.path))
    if settings.query:
        return DatabaseSource(settings.name, settings.database.get_secret_value(), settings.query)
    return WebSource(
        settings.url or settings.sitemap,
        keep=keep,
        allow_private=allow_private,
        only_sitemap=bool(settings.sitemap),
    )


def by_collection(sources: Sequence[SourceSettings]) -> Mapping[str, tuple[SourceSettings, ...]]:
    """A collection is made equal to its sources, so those that share one are read together."""
    found: dict[str, tuple[SourceSettings, ...]] = {}
    for source in sources:
        found[source.collection] = (*found.get(source.collection, ()), source)
    return found


@dataclass(slots=True, kw_only=True)
class _Group:
    collection: str
    sources: tuple[SourceSettings, ...]
    due: float
    seconds: float = field(init=False)

    def __post_init__(self) -> None:
        self.seconds = float(min(seconds_of(source.every) for source in self.sources))


class _Counted:
    """A source that remembers how many problems it had."""

    def __init__(self, label: str, source: Source) -> None:
        self._source = source
        self.label = label
        self.problems: int | None = None

    @property
    def name(self) -> str:
        return self._source.name

    async def read(self, converter: Converter) -> SourceContents:
        contents = await self._source.read(converter)
        self.problems = len(contents.problems)
        return contents

    async def check(self) -> str:
        return await self._source.check()


class SourceKeeper:
    """Syncs the sources of the settings for as long as it runs."""

    def __init__(
        self,
        sources: Sequence[SourceSettings],
        *,
        make: Callable[[SourceSettings], Source],
        metrics: Metrics,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """:param make: see `make_source`.
        :param jitter: from 0 to 1, another one each time."""
        self._groups = by_collection(sources)
        self._make = make
        self._metrics = metrics
        self._clock = clock
        self._jitter = jitter

    async def run(self, knowledge: Syncing) -> None:
        """Runs until it is cancelled; returns at once where there are no sources."""
        now = self._clock.monotonic()
        groups = [_Group(collection=name, sources=sources, due=now) for name, sources in self._groups.items()]
        for group in groups:
            group.due += min(FIRST_SECONDS, group.seconds) * self._jitter()
        while groups:
            group = min(groups, key=lambda group: group.due)
            await asyncio.sleep(max(0.0, group.due - self._clock.monotonic()))
            pause = await self._sync(knowledge, group)
            group.due = self._clock.monotonic() + pause * (1 + JITTER * (2 * self._jitter() - 1))

    async def _sync(self, knowledge: Syncing, group: _Group) -> float:
        """One sync; how long to wait for the next."""
        try:
            sources = [_Counted(settings.name, self._make(settings)) for settings in group.sources]
            report = await knowledge.sync(sources, collection=group.collection)
        except SyncBusyError:
            log.info("another sync is running; the sources wait for it", collection=group.collection)
            return min(BUSY_SECONDS, group.seconds)
        except KnowledgeError as error:
            log.error("the knowledge could not be synced", collection=group.collection, reason=str(error))
            return min(RETRY_SECONDS, group.seconds)
        except Exception:  # whatever it was, the other sources go on, and this one is tried again
            log.exception("the knowledge could not be synced", collection=group.collection)
            return min(RETRY_SECONDS, group.seconds)
        self._record(sources, report)
        return group.seconds

    def _record(self, sources: Sequence[_Counted], report: SyncReport) -> None:
        now = self._clock.now().timestamp()
        for source in sources:
            self._metrics.source_last_success.labels(source.label).set(now)
            self._metrics.source_problems.labels(source.label).set(source.problems or 0)
        if report.added or report.changed or report.removed:
            log.info(
                "the knowledge was synced",
                collection=report.collection,
                added=report.added,
                changed=report.changed,
                removed=report.removed,
                version=report.version,
            )
        if report.problems:
            log.warning(
                "some of the knowledge could not be read; `kefu knowledge sync` names all of it",
                collection=report.collection,
                problems=len(report.problems),
                first=str(report.problems[0]),
            )
