"""F29: a knowledge index whose writers are killed, again and again, while it is searched."""

from __future__ import annotations

from pathlib import Path

import pytest

from knowledge.config import KnowledgeConfig
from tests.knowledge.crashing import kill_syncs, two_states


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_twenty_kills_never_leave_a_mixture(tmp_path: Path) -> None:
    config = KnowledgeConfig(uri=str(tmp_path / "index"), embedder="hashing")
    await kill_syncs(config, two_states(tmp_path), tmp_path / "kefu.db", 20)
