"""One writer that groups the commits of whoever waits, and readers beside it.

SQLAlchemy runs in threads of its own here, with plain Core functions over a `Connection`, and only the waiting is
asynchronous: a whole batch of transactions costs one hop to the writer's thread, where a driver that hops for every
statement cost eight times the processor time (docs/decisions/0002-one-writer.md).
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import QueuePool

from bot.errors import SettingsError, StoreUnavailable
from bot.telemetry import Metrics, get_logger

T = TypeVar("T")
Work = Callable[[Connection], T]
"""Statements of one transaction. It may run again after a failed commit, so it touches nothing but the connection."""

BATCH = 256
"""Transactions that share a commit at most: keeps the last one's wait near the commit's own time."""
BUSY_MILLISECONDS = 1000
"""How long one try waits for another process's lock; between tries, callers whose patience ended are told."""
RETRY_SECONDS = 0.25
CLOSE_SECONDS = 5.0
"""How long a closing database waits for its last commits."""
READERS = 2

# https://www.sqlite.org/rescode.html: the ones that pass when the world outside gets better.
_BUSY, _LOCKED, _READONLY, _IOERR, _FULL, _CANTOPEN = 5, 6, 8, 10, 13, 14

log = get_logger(__name__)


@dataclass(slots=True)
class _Job(Generic[T]):
    work: Work[T]
    done: asyncio.Future[T]
    deadline: float
    trying: bool = False
    """The writer's thread works on it: its fate is open until this try ends."""
    queued_at: float = field(default_factory=time.monotonic)


def sqlite_path(url: str) -> Path | None:
    """The file behind a SQLite address, None for any other database.

    :raises SettingsError: not an address, or SQLite without a file (the history has to survive a restart).
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingsError(
            "database.url is not an SQLAlchemy address, like sqlite+aiosqlite:///data/kefu.db"
        ) from error
    if parsed.get_backend_name() != "sqlite":
        return None
    if not parsed.database or parsed.database == ":memory:":
        raise SettingsError("database.url names no file; a history in memory would be lost at the first restart")
    return Path(parsed.database)


def create_sync_engine(url: str, *, readers: int = 0) -> Engine:
    """An engine for the writer (`readers` 0) or for that many readers."""
    path = sqlite_path(url)
    if path is None:
        try:
            return create_engine(
                make_url(url), pool_size=max(readers, 1), max_overflow=0, pool_pre_ping=True, hide_parameters=True
            )
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise SettingsError(
                f"database.url: the driver is not installed ({error}); kefu[postgres] has it"
            ) from error
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        module=_sqlite_module(),
        hide_parameters=True,  # people's words, which errors would quote
        poolclass=QueuePool,
        pool_size=max(readers, 1),
        max_overflow=0,
        connect_args={"check_same_thread": False, "timeout": BUSY_MILLISECONDS / 1000},
    )
    event.listen(engine, "connect", functools.partial(_on_connect, read_only=readers > 0))
    # IMMEDIATE: a transaction that reads first and writes later meets SQLITE_BUSY_SNAPSHOT, which no timeout heals.
    begin = "BEGIN" if readers else "BEGIN IMMEDIATE"
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _sqlite_module() -> ModuleType:
    """A SQLite of at least 3.51.3 (before it, a write-ahead-log reset could corrupt): pysqlite3's where it is newer."""
    import sqlite3

    try:
        from pysqlite3 import dbapi2
    except ImportError:
        return sqlite3
    module: ModuleType = dbapi2
    return module


def sqlite_version() -> str:
    """The version of the SQLite library in use, for `kefu doctor`."""
    return str(_sqlite_module().sqlite_version)


def _on_connect(connection: Any, _record: object, *, read_only: bool) -> None:
    connection.isolation_level = None  # transactions are begun by the event above, not by the driver's guess
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_MILLISECONDS}",
        "foreign_keys=ON",
        *(("query_only=ON",) if read_only else _WRITER_PRAGMAS),
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


_WRITER_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",  # NORMAL may lose the last commits at a power loss
    "secure_delete=ON",
    "journal_size_limit=67108864",
)


def is_passing(error: DBAPIError) -> bool:
    """Whether the database may work again without anybody changing the program."""
    if error.connection_invalidated:
        return True
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in {_BUSY, _LOCKED, _READONLY, _IOERR, _FULL, _CANTOPEN}
    text = str(error.orig)
    return any(
        words in text
        for words in ("locked", "disk is full", "disk I/O error", "readonly database", "unable to open", "connection")
    )


class Database:
    """The product's own database. `async with Database(url) as database`."""

    def __init__(self, url: str, *, metrics: Metrics) -> None:
        self._url = url
        self._metrics = metrics
        # (deadline, number, job), the most pressing first, then as they came; no job: nothing more will come.
        self._queue: asyncio.PriorityQueue[tuple[float, int, _Job[Any] | None]] = asyncio.PriorityQueue()
        self._numbers = itertools.count()
        self._writer_thread = ThreadPoolExecutor(1, thread_name_prefix="kefu-writer")
        self._reader_threads = ThreadPoolExecutor(READERS, thread_name_prefix="kefu-reader")
        self._engine: Engine | None = None
        self._readers: Engine | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._failing_since: float | None = None

    async def __aenter__(self) -> Database:
        self._engine = await asyncio.to_thread(create_sync_engine, self._url)
        self._readers = await asyncio.to_thread(create_sync_engine, self._url, readers=READERS)
        self._task = asyncio.create_task(self._write_batches(), name="database writer")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        assert self._engine is not None
        assert self._readers is not None
        self._put(float("inf"), None)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._task, CLOSE_SECONDS)
        self._closed = True
        self._refuse_waiting(StoreUnavailable("the database is closed"))
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._writer_thread, self._engine.dispose)
        await loop.run_in_executor(self._reader_threads, self._readers.dispose)
        self._writer_thread.shutdown(wait=False)
        self._reader_threads.shutdown(wait=False)

    @property
    def available(self) -> bool:
        """Whether the last try to commit worked."""
        return self._failing_since is None

    async def write(self, work: Work[T], *, patience: float = float("inf")) -> T:
        """Runs the work in a transaction and returns its result after the commit. Who has less patience goes first:
        in a burst, platforms are acknowledged before turns begin.

        Cancelling the caller does not undo the work: once begun, it is committed.

        :param patience: seconds to wait for a database that can not commit.
        :raises StoreUnavailable: the patience ended, or the database is closed; nothing was kept.
        """
        if self._closed:  # nobody would ever come for the job
            raise StoreUnavailable("the database is closed")
        loop = asyncio.get_running_loop()
        job = _Job(work, loop.create_future(), time.monotonic() + patience)
        job.done.add_done_callback(_look_at_error)
        self._put(job.deadline, job)
        try:
            async with asyncio.timeout(None if patience == float("inf") else patience):
                return await asyncio.shield(job.done)
        except TimeoutError:
            if not job.trying:
                job.done.cancel()
                raise StoreUnavailable("the database is too busy to commit") from None
        return await asyncio.shield(job.done)  # this try ends within BUSY_MILLISECONDS

    async def read(self, work: Work[T]) -> T:
        """Runs the work beside the writer, on a snapshot of what was committed.

        :raises StoreUnavailable: the database can not be read now.
        """
        return await asyncio.get_running_loop().run_in_executor(self._reader_threads, self._read, work)

    def _read(self, work: Work[T]) -> T:
        assert self._readers is not None
        try:
            with self._readers.connect() as connection:
                return work(connection)
        except DBAPIError as error:
            if is_passing(error):
                raise StoreUnavailable(f"the database can not be read: {error.orig}") from error
            raise

    def _put(self, deadline: float, job: _Job[Any] | None) -> None:
        self._queue.put_nowait((deadline, next(self._numbers), job))

    async def _write_batches(self) -> None:
        while (first := (await self._queue.get())[-1]) is not None:
            jobs, last = self._drain([first])
            while jobs:
                jobs = await self._try(jobs)
            if last:
                return

    def _drain(self, jobs: list[_Job[Any]]) -> tuple[list[_Job[Any]], bool]:
        """The jobs and those that queue behind them, up to a batch; and whether the end of the queue was met."""
        while len(jobs) < BATCH and not self._queue.empty():
            _, _, job = self._queue.get_nowait()
            if job is None:
                return jobs, True
            jobs.append(job)
        return jobs, False

    async def _try(self, jobs: list[_Job[Any]]) -> list[_Job[Any]]:
        """Commits the jobs; returns those to try again."""
        jobs = [job for job in jobs if not job.done.cancelled()]
        for job in jobs:
            job.trying = True
        try:
            outcomes = await asyncio.get_running_loop().run_in_executor(self._writer_thread, self._commit, jobs)
        except DBAPIError as error:
            patient = self._after_failure(jobs, error)
            await asyncio.sleep(RETRY_SECONDS)
            return patient
        self._after_commit(jobs, outcomes)
        return []

    def _commit(self, jobs: Sequence[_Job[Any]]) -> list[tuple[Any, Exception | None]]:
        """One transaction for all jobs. Runs in the writer's thread.

        A job that fails undoes the whole, and then each is committed by itself: failures are rare, and a savepoint
        around every job cost a third of a turn's statements.
        """
        assert self._engine is not None
        try:
            with self._engine.begin() as connection:
                return [(job.work(connection), None) for job in jobs]
        except DBAPIError as error:
            if is_passing(error):
                raise
            if len(jobs) == 1:
                return [(None, error)]
        except Exception as error:  # noqa: BLE001 - it belongs to the caller of one job
            if len(jobs) == 1:
                return [(None, error)]
        return [self._commit_alone(job) for job in jobs]

    def _commit_alone(self, job: _Job[Any]) -> tuple[Any, Exception | None]:
        try:
            [outcome] = self._commit([job])
        except DBAPIError as error:
            # Others of the batch are committed by now, so it can not be tried again as a whole.
            return None, StoreUnavailable(f"the database can not commit: {error.orig}")
        return outcome

    def _after_commit(self, jobs: Sequence[_Job[Any]], outcomes: Sequence[tuple[Any, Exception | None]]) -> None:
        if self._failing_since is not None:
            log.info("the database commits again", seconds=round(time.monotonic() - self._failing_since, 1))
            self._failing_since = None
        self._metrics.database_up.set(1)
        now = time.monotonic()
        for job, (result, error) in zip(jobs, outcomes, strict=True):
            self._metrics.commit_seconds.observe(now - job.queued_at)
            if job.done.done():
                continue
            if error is None:
                job.done.set_result(result)
            else:
                job.done.set_exception(error)

    def _after_failure(self, jobs: list[_Job[Any]], error: DBAPIError) -> list[_Job[Any]]:
        """The jobs with patience left; the callers of the others are told."""
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            log.error("the database can not commit", reason=str(error.orig))
        self._metrics.database_up.set(0)
        now = time.monotonic()
        patient = []
        for job in jobs:
            job.trying = False
            if job.deadline > now:
                patient.append(job)
            elif not job.done.done():
                job.done.set_exception(StoreUnavailable(f"the database can not commit: {error.orig}"))
        return patient

    def _refuse_waiting(self, error: Exception) -> None:
        while not self._queue.empty():
            _, _, job = self._queue.get_nowait()
            if job is not None and not job.done.done():
                job.done.set_exception(error)


def _look_at_error(done: asyncio.Future[Any]) -> None:
    """A caller that was cancelled does not look at its job's error; that is no defect."""
    if not done.cancelled():
        done.exception()
