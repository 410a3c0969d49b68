"""The AI bot against the fake of WeCom that speaks its transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.adapters.wecom.bot.house import APART, POLL_SECONDS, Bench, fresh
from tests.fakes.logs import plain_logs
from tests.fakes.wecom_aibot import FakeAiBot
from tests.fakes.wecom_api import FakeWeCom


@pytest.fixture(autouse=True)
def _short_log_lines() -> Iterator[None]:
    with plain_logs():
        yield


@pytest.fixture
async def aibot() -> AsyncIterator[FakeAiBot]:
    """Its second is a shorter one; how we keep to the real one is shown apart."""
    async with FakeAiBot() as fake:
        fake.streams.apart = APART
        yield fake


@pytest.fixture
async def bench(aibot: FakeAiBot, tmp_path: Path) -> Bench:
    """Over the long connection."""
    return Bench(path=await fresh(tmp_path), wecom=aibot)


@pytest.fixture
async def wecom() -> AsyncIterator[FakeWeCom]:
    async with FakeWeCom() as fake:
        fake.chats.poll_seconds = POLL_SECONDS
        yield fake


@pytest.fixture
async def called(wecom: FakeWeCom, tmp_path: Path) -> Bench:
    """Over callbacks."""
    return Bench(path=await fresh(tmp_path), wecom=wecom)
