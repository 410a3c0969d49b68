"""A running site for the HTTP tests of the web channel."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from adapters.web.calls import Timing
from tests.adapters.web.doubles import CoreDouble, Site, running_site

QUICK = Timing(ping=0.05, quiet=0.4, shed=0.1, body=0.5, write=0.5, store=0.5)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with running_site(CoreDouble()) as running:
        yield running


@pytest.fixture
async def quick_site() -> AsyncIterator[Site]:
    """The same with waits of a fraction of a second."""
    async with running_site(CoreDouble(), timing=QUICK) as running:
        yield running
