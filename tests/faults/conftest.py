"""What every fault test stands on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.logs import plain_logs


@pytest.fixture(autouse=True)
def _plain_logs() -> Iterator[None]:
    with plain_logs():
        yield
