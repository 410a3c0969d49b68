"""The empty database that every test here copies is made once, outside any event loop."""

import pytest

from tests.core.house import _template


@pytest.fixture(scope="session", autouse=True)
def _empty_database() -> None:
    _template()
