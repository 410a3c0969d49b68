"""The fake WeCom, and a fresh database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.core.house import _template, new_database
from tests.fakes.logs import plain_logs
from tests.fakes.wecom_api import FakeWeCom


@pytest.fixture(scope="session", autouse=True)
def _empty_database() -> None:
    """Made outside the event loop; every test copies it."""
    _template()


@pytest.fixture(autouse=True)
def _short_log_lines() -> Iterator[None]:
    with plain_logs():
        yield


@pytest.fixture
async def fake() -> AsyncIterator[FakeWeCom]:
    async with FakeWeCom() as wecom:
        yield wecom


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return new_database(tmp_path)
