"""LanceDB, imported in half the time: everything of it that the knowledge uses.

`import lancedb` brings a generated client for a REST service that we never call, whose 150 request methods
pydantic compiles one by one: 1 of the 1.8 s of processor time that the import takes on our two cores, and 12 MB.
kefu has three seconds to start in. That client's methods, and nothing else, are left out while LanceDB is imported.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_CLIENT = "lance_namespace_urllib3_client"
_LEFT_OUT = f"{_CLIENT}.api"


class _Hollow(Loader, MetaPathFinder):
    """Modules below `_LEFT_OUT` that have any class they are asked for, and nothing in it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _LEFT_OUT and not fullname.startswith(f"{_LEFT_OUT}."):
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = _hollow_class  # type: ignore[method-assign]


def _hollow_class(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


@contextmanager
def _client_left_out() -> Iterator[None]:
    if "lancedb" in sys.modules or _CLIENT in sys.modules:
        yield
        return
    finder = _Hollow()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        # Whoever wants the real ones after this imports them.
        for name in [name for name in sys.modules if name == _LEFT_OUT or name.startswith(f"{_LEFT_OUT}.")]:
            del sys.modules[name]


with _client_left_out():
    from lancedb import Session, connect_async, tokenize
    from lancedb.expr import Expr, col, lit
    from lancedb.index import FTS, IvfFlat
    from lancedb.query import MatchQuery

__all__ = ["FTS", "Expr", "IvfFlat", "MatchQuery", "Session", "col", "connect_async", "lit", "tokenize"]
