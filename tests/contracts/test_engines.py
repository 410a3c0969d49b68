"""The contract of `bot.ports.Engine`, asked of every engine that needs no model."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contracts.engine_contract import EngineContract, Stage
from tests.contracts.engines import ENGINES


class TestEngines(EngineContract):
    @pytest.fixture(params=ENGINES.values(), ids=ENGINES)
    async def stage(self, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
        async with request.param() as stage:
            yield stage
