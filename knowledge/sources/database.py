"""Rows of a database as documents: a CRM's or an ERP's table of policies, read with a query of the operator's."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from knowledge.documents import Converter, SourceContents
from knowledge.documents.tables import row_documents
from knowledge.errors import SourceError
from knowledge.values import Document, Problem

BATCH_ROWS = 500
MOST_ROWS = 200_000
# A query that reads, by its first word; what the database itself is told says it again.
_READS = re.compile(r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*(?:select|with|table|values)\b", re.IGNORECASE | re.DOTALL)
_AT_FIRST = {
    "postgresql": ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET statement_timeout = '300s'"),
    "mysql": ("SET SESSION TRANSACTION READ ONLY",),
    "mariadb": ("SET SESSION TRANSACTION READ ONLY",),
    "sqlite": ("PRAGMA query_only = ON",),
}
_CONNECTING: Mapping[str, Mapping[str, int]] = {
    "psycopg": {"connect_timeout": 10},
    "psycopg2": {"connect_timeout": 10},
    "pymysql": {"connect_timeout": 10, "read_timeout": 300},
}
# Of all rows together: a database that stops in the middle of them must not stop the other sources.
READ_SECONDS = 900.0
_COLUMNS = "id, title, text, question, answer, url, tags, updated_at"


class DatabaseSource:
    """The rows of one query at one SQLAlchemy address; nothing is ever written there.

    Columns by name, in any case: `id` with `title` and `text`, or `question` and `answer`; `url` and `tags` if there
    are any. `updated_at` may be selected too: what changed is told by the words themselves. A row's document id is
    the source's name and the row's id: `policies#12`.
    """

    def __init__(self, name: str, address: str, query: str) -> None:
        """Raises SourceError when the address or the query can not be one."""
        self._name = name
        try:
            self._url: URL = make_url(address)
        except ArgumentError:
            raise SourceError(f"{name}: is no address of a database") from None
        if not _READS.match(query):
            raise SourceError(f"{name}: the query has to be a SELECT")
        self._query = query

    @property
    def name(self) -> str:
        return self._name

    async def read(self, converter: Converter) -> SourceContents:
        stopped = threading.Event()
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await asyncio.to_thread(self._read, stopped)
        except TimeoutError:
            raise SourceError(f"{self._name}: the database does not answer") from None
        finally:
            # Also when this is cancelled: the thread stops after the batch that it is at.
            stopped.set()

    async def check(self) -> str:
        return await asyncio.to_thread(self._look)

    def _read(self, stopped: threading.Event) -> SourceContents:
        documents: list[Document] = []
        problems: list[Problem] = []
        with self._connected() as connection:
            for item in row_documents(self._name, self._rows(connection, stopped)):
                if isinstance(item, Problem):
                    problems.append(item)
                else:
                    documents.append(item)
        return SourceContents(documents=tuple(documents), problems=tuple(problems))

    def _rows(self, connection: Connection, stopped: threading.Event) -> Iterator[tuple[int, dict[str, object]]]:
        # As it is: for SQLAlchemy's text() a time of day in it would be a parameter.
        result = connection.execution_options(yield_per=BATCH_ROWS).exec_driver_sql(self._query)
        columns = list(map(str.lower, result.keys()))
        self._check_columns(columns)
        number, place = 0, columns.index("id")
        for batch in result.partitions(BATCH_ROWS):
            if stopped.is_set():
                raise SourceError(f"{self._name}: the sync was stopped")
            for row in batch:
                number += 1
                if row[place] is None:
                    raise SourceError(f"{self._name}: row {number} has no id")
                if number > MOST_ROWS:
                    raise SourceError(f"{self._name}: the query gives more than {MOST_ROWS} rows; select fewer")
                yield number, dict(zip(columns, map(_plain, row), strict=True))

    def _check_columns(self, columns: list[str]) -> None:
        if "id" not in columns:
            # Without one, a row that is inserted above would rename every one below it.
            raise SourceError(f"{self._name}: the query gives no column id; name its columns {_COLUMNS}")
        if not ({"question", "answer"} <= set(columns) or "text" in columns):
            raise SourceError(
                f"{self._name}: the query gives neither title,text nor question,answer; name its columns {_COLUMNS}"
            )

    def _look(self) -> str:
        with self._connected() as connection:
            result = connection.execution_options(yield_per=1).exec_driver_sql(self._query)
            self._check_columns(list(map(str.lower, result.keys())))
            result.fetchmany(1)
            result.close()
        return f"the query works at {self._url.render_as_string(hide_password=True).partition('?')[0]}"

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A connection that can only read. What a driver says may hold the address or rows: only its kind is told."""
        try:
            dialect = self._url.get_dialect()
            if dialect.is_async:
                raise SourceError(f"{self._name}: {self._url.drivername} is an asynchronous driver; name another")
            options = dict(_CONNECTING.get(dialect.driver, {}))
            engine = create_engine(self._url, poolclass=NullPool, hide_parameters=True, connect_args=options)
        except (SQLAlchemyError, ImportError, ValueError) as error:
            missing = f": install {error.name}" if isinstance(error, ImportError) and error.name else ""
            raise SourceError(f"{self._name}: there is no driver for {self._url.drivername}{missing}") from None
        file = self._url.database if engine.dialect.name == "sqlite" else None
        if file and not file.startswith((":memory:", "file:")) and not Path(file).is_file():
            # SQLite would make one.
            raise SourceError(f"{self._name}: there is no file {file}")
        try:
            with engine.connect() as connection:
                for statement in _AT_FIRST.get(engine.dialect.name, ()):
                    connection.exec_driver_sql(statement)
                connection.commit()
                yield connection
        except SQLAlchemyError as error:
            kind = type(getattr(error, "orig", None) or error).__name__
            raise SourceError(f"{self._name}: the database can not be read ({kind})") from None
        finally:
            engine.dispose()


def from_address(address: str) -> DatabaseSource:
    """`postgresql+psycopg://user:password@host/name?query=SELECT …`, as it is given on a command line.

    Raises SourceError.
    """
    try:
        url = make_url(address)
    except ArgumentError:
        # The rest may hold a password.
        raise SourceError(f"{address.partition('://')[0]}://…: is no address of a database") from None
    query = url.query.get("query")
    if not isinstance(query, str):
        raise SourceError(f"{url.drivername}://…: needs ?query=SELECT…, once")
    rest = url.difference_update_query(["query"]).render_as_string(hide_password=False)
    return DatabaseSource(url.database.rpartition("/")[2] if url.database else url.drivername, rest, query)


def _plain(value: object) -> object:
    """A driver's value as the rows of files have it. Numbers as ids stay what they look like."""
    if value is None or isinstance(value, str | int) or (isinstance(value, list) and not isinstance(value, bytes)):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if not isinstance(value, bytes | bytearray | memoryview) else None
