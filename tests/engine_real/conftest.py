"""One tiny model and one engine for all tests that do not break it: a load takes half a minute."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.engine.tiny_qwen import make
from tests.engine_real.engines import Real, running, settings
from tests.fakes.logs import plain_logs
from tests.faults.bot import index_knowledge

ENVIRONMENT = {
    "VLLM_HOST_IP": "127.0.0.1",  # else it asks the network which address it has
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "2",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}
"""For the engine in the test's own process and in those it starts."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            # Warnings of vLLM and torch are theirs.
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(autouse=True)
def _plain_logs() -> Iterator[None]:
    with plain_logs():
        yield


@pytest.fixture(scope="session", autouse=True)
def _environment() -> None:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model; the same every time."""
    return make(tmp_path_factory.mktemp("tiny-qwen"))


@pytest.fixture(scope="session")
def knowledge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small index, made once; every installation gets a copy."""
    return index_knowledge(tmp_path_factory.mktemp("indexed"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def real(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Real]:
    """A loaded engine at a temperature of 1. Whoever kills it uses one of their own."""
    async with running(settings(tiny_model), tmp_path_factory.mktemp("data")) as opened:
        yield opened
