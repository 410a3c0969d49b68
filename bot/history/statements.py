"""Statements of the hot path, prepared once.

SQLAlchemy builds, caches and checks so much for every execution that a turn's seventeen statements cost it more than
they cost SQLite, and all of it holds the interpreter's lock (docs/decisions/0002-one-writer.md has the figures). A
`Statement` keeps what SQLAlchemy has compiled for SQLite, the text and each column's own conversions, and hands it to
the driver's cursor. On any other database the statement runs as SQLAlchemy runs it.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from sqlalchemy import Connection, Dialect, Insert, Select, Table, Update, bindparam, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.schema import ScalarElementColumnDefault
from sqlalchemy.types import TypeEngine

Values: TypeAlias = dict[str, Any]
_Convert: TypeAlias = Callable[[Any], Any]


def insert_into(table: Table, columns: str) -> Insert:
    """An insert of these columns, named with spaces between; what the table has defaults for is filled in."""
    names = columns.split()
    defaults = {
        column.name: column.default.arg
        for column in table.columns
        if column.name not in names and isinstance(column.default, ScalarElementColumnDefault)
    }
    return insert(table).values({name: bindparam(name) for name in names} | defaults)


class Statement:
    """One statement. Every value it takes is a `bindparam` of the name it is given under."""

    def __init__(self, statement: Select[Any] | Insert | Update | ReturningInsert[Any]) -> None:
        self._statement = statement
        self._prepared: _Prepared | None = None

    def rows(self, connection: Connection, values: Values) -> Sequence[Any]:
        """Every row, its columns by name."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self._statement, values).all()
        return self._for(connection).fetch(connection, values)

    def first(self, connection: Connection, values: Values) -> Any:
        """The first row, or None."""
        return next(iter(self.rows(connection, values)), None)

    def scalar(self, connection: Connection, values: Values) -> Any:
        """The first column of the first row, or None."""
        row = self.first(connection, values)
        return None if row is None else row[0]

    def run(self, connection: Connection, values: Values | Sequence[Values]) -> None:
        """For what returns nothing; several rows in one go."""
        if connection.dialect.name != "sqlite":
            connection.execute(self._statement, values)
        else:
            self._for(connection).run(connection, values)

    def _for(self, connection: Connection) -> _Prepared:
        if self._prepared is None:
            self._prepared = _Prepared(self._statement, connection.dialect)
        return self._prepared


class _Prepared:
    """A statement as SQLite's driver takes it: a text, and values by position."""

    def __init__(self, statement: Any, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        assert compiled.positiontup is not None
        assert not compiled.post_compile_params, "a list of values has no fixed text"
        self._text = compiled.string
        # The values that stand in the statement itself. One that has to be given and is not is a KeyError, not NULL.
        self._written = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        self._takes = tuple(compiled.positiontup)
        self._binds = _converters([compiled.binds[name].type.dialect_impl(dialect) for name in self._takes], dialect)
        gives = list(getattr(statement, "exported_columns", ()))
        row: Any = namedtuple("Row", [str(column.key) for column in gives], rename=True)  # type: ignore[misc]
        self._row_of: Callable[[Sequence[Any]], Any] = row._make
        kinds = [column.type.dialect_impl(dialect) for column in gives]
        self._results = [
            (place, convert)
            for place, kind in enumerate(kinds)
            if (convert := kind.result_processor(dialect, None)) is not None
        ]

    def fetch(self, connection: Connection, values: Values) -> Sequence[Any]:
        with self._cursor(connection) as cursor:
            cursor.execute(self._text, self._given(values))
            rows = cursor.fetchall()
        return [self._row_of(self._read(row)) for row in rows]

    def run(self, connection: Connection, values: Values | Sequence[Values]) -> None:
        with self._cursor(connection) as cursor:
            if isinstance(values, dict):
                cursor.execute(self._text, self._given(values))
            else:
                cursor.executemany(self._text, [self._given(row) for row in values])

    @contextmanager
    def _cursor(self, connection: Connection) -> Iterator[Any]:
        """:raises DBAPIError: what the driver raises, as SQLAlchemy's own executions do."""
        cursor = connection.connection.cursor()
        try:
            yield cursor
        except connection.dialect.loaded_dbapi.Error as error:
            raise DBAPIError(self._text, None, error) from error
        finally:
            cursor.close()

    def _given(self, values: Values) -> Sequence[Any]:
        known = self._written | values
        given = [known[name] for name in self._takes]
        for place, convert in self._binds:
            given[place] = convert(given[place])
        return given

    def _read(self, row: Sequence[Any]) -> Sequence[Any]:
        if not self._results:
            return row
        read = list(row)
        for place, convert in self._results:
            read[place] = convert(read[place])
        return read


def _converters(kinds: Sequence[TypeEngine[Any]], dialect: Dialect) -> list[tuple[int, _Convert]]:
    """(place, function) where a value is not handed to the driver as it is."""
    found = ((place, kind.bind_processor(dialect)) for place, kind in enumerate(kinds))
    return [(place, convert) for place, convert in found if convert is not None]
