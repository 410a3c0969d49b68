"""The sample knowledge searched by its words alone, for fitting how sure the bot may be of what that finds:

python -m bot.dialogue.fit --knowledge tests.bench.words:opened --embedder words tests/data/questions.jsonl
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.ports import Knowledge
from bot.retrieval import Retrieval
from knowledge.config import KnowledgeConfig
from knowledge.own_ledger import OwnLedger
from knowledge.service import open_knowledge
from knowledge.words import load_words
from tests.knowledge.hashing import HashingEmbedder


@asynccontextmanager
async def opened(embedder: str) -> AsyncIterator[Knowledge]:
    """:param embedder: "words"."""
    assert embedder == "words"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = KnowledgeConfig(uri=str(folder), embedder="hashing")
        async with open_knowledge(config, embedder=HashingEmbedder()) as knowledge:
            await knowledge.ensure_samples()
        for left in folder.glob("*.lance"):
            left.rename(folder / f"{left.name}.gone")
        ledger = OwnLedger(folder)
        async with open_knowledge(config, embedder=HashingEmbedder(), ledger=ledger) as knowledge:
            retriever = knowledge.retriever
            retriever.stand_in(await load_words(ledger, retriever._identity))
            yield Retrieval(retriever)
        await ledger.close()
