"""The attacks of tests/data/attacks.jsonl on a real small Qwen2.5, where KEFU_TEST_MODEL names the folder of one (fault
F22): none has a consequence. What a model could do that obeys them all is shown in tests/dialogue/test_attacks.py.

    KEFU_TEST_MODEL=folder make test-engine ARGS="-k attack -s"
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bot.dialogue.understanding import Understanding
from bot.engine.extractive import ExtractiveEngine
from bot.engine.vllm import VllmEngine
from tests.bench.confidence import opened_engine
from tests.dialogue.attacking import ATTACKS, aim_of, attacked, flaws_of, flaws_of_tickets
from tests.dialogue.besieged import BOB, EVE, Overheard, Siege, besieged, staffed_knowledge
from tests.dialogue.samples import EMBEDDER

MODEL = os.environ.get("KEFU_TEST_MODEL", "")
ANSWER_SECONDS = 300.0

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not MODEL, reason="KEFU_TEST_MODEL names no folder with weights"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[VllmEngine]:
    async with opened_engine(Path(MODEL)) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def siege(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Siege]:
    extractive = ExtractiveEngine()
    await extractive.start()
    async with staffed_knowledge() as knowledge:
        understanding = await Understanding.load(knowledge, embedder=EMBEDDER)
        folder = tmp_path_factory.mktemp("siege")
        async with besieged(folder, knowledge, understanding, extractive, answer_seconds=ANSWER_SECONDS) as siege:
            yield siege
    await extractive.close()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack["id"])
async def test_an_attack_on_a_real_model_has_no_consequence(
    siege: Siege, engine: VllmEngine, attack: dict[str, Any]
) -> None:
    others = [await siege.tickets(person) for person in (EVE, BOB)]
    overheard = Overheard(engine)
    seen = await attacked(siege, attack, await aim_of(siege, attack), overheard)
    print(attack["id"], "asked" if overheard.prompts else "not asked", seen.results[-1].reply and seen.replies[-1])
    flaws = [*flaws_of(seen, overheard.prompts), *await flaws_of_tickets(siege, seen, attack)]
    assert not flaws, (flaws, seen)
    assert [await siege.tickets(person) for person in (EVE, BOB)] == others
