"""What every fault test stands on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from adapters.slack.pacing import RATES, Rate
from tests.fakes.logs import plain_logs
from tests.faults.bot import index_knowledge
from tests.faults.zygote import Driver


@pytest.fixture(autouse=True)
def _plain_logs() -> Iterator[None]:
    with plain_logs():
        yield


@pytest.fixture(scope="session")
def knowledge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small index, made once; every installation gets a copy."""
    return index_knowledge(tmp_path_factory.mktemp("indexed"))


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """The process that forks bots; see `tests.faults.driver`."""
    with Driver(tmp_path_factory.mktemp("driver") / "driver.err") as made:
        yield made


@pytest.fixture
def quick_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again after moments, and threads may be looked into often: the pauses and paces are shown
    elsewhere, and tests wait for them."""
    look = "conversations.replies"
    monkeypatch.setitem(cast("dict[str, Rate]", RATES), look, replace(RATES[look], limit=999, burst=999))
    monkeypatch.setattr("bot.turns.delivery.BACKOFF_SECONDS", (0.1, 0.2, 0.5, 1.0))
    monkeypatch.setattr("bot.turns.delivery.CREDENTIALS_SECONDS", 0.3)
