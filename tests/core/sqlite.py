"""The SQLite library that the product uses, for tests that look at its file beside it.

Two different SQLite libraries in one process must not open one file: closing a descriptor drops the locks that the
process holds on it, whoever took them, and a reader of the shared memory may end in a bus error.
"""

from __future__ import annotations

import importlib
from types import ModuleType


def library() -> ModuleType:
    """pysqlite3 where it is installed, as in `bot.history.database`."""
    try:
        return importlib.import_module("pysqlite3.dbapi2")
    except ImportError:
        return importlib.import_module("sqlite3")
