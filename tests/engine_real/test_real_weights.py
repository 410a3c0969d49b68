"""A real small Qwen2.5, where KEFU_TEST_MODEL names the folder of one: not part of any suite that runs by itself.

    KEFU_TEST_MODEL=folder make test-engine ARGS="-k real_weights -s"

What it must do is little, because it is small: its outputs are always of our form, it answers plain questions from the
passage that holds the answer, nothing it makes up leaves the house, and it opens a ticket through a call of its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bot.cli.opening import open_terminal, terminal_channel
from bot.dialogue.prompt import PERSONAS
from bot.engine.vllm import VllmEngine
from bot.messages import Answered, FunctionCall, Language, Outcome, Passage, Prompt
from bot.settings import load_settings
from tests.bench.confidence import opened_engine, shipped_functions
from tests.bench.models import environment_of

MODEL = os.environ.get("KEFU_TEST_MODEL", "")

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(1800),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not MODEL, reason="KEFU_TEST_MODEL names no folder with weights"),
]

PASSAGES: dict[Language, Passage] = {
    "zh": Passage(
        id="fee",
        document="fee",
        collection="default",
        title="运费",
        question="运费怎么算？",
        text="订单满 99 元包邮，不满收取运费 8 元。新疆、西藏运费 20 元。",
    ),
    "en": Passage(
        id="fee",
        document="fee",
        collection="default",
        title="Shipping",
        question="How much is shipping?",
        text="Orders of 99 yuan or more ship free; below that shipping costs 8 yuan. To Tibet it costs 20 yuan.",
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[VllmEngine]:
    async with opened_engine(Path(MODEL)) as opened:
        yield opened


async def said(engine: VllmEngine, language: Language, question: str) -> Answered | FunctionCall:
    prompt = Prompt(
        language=language,
        persona=PERSONAS[language],
        functions=shipped_functions().specs(language, ("default",), wish=1.0, has_ticket=True),
        passages=(PASSAGES[language],),
        question=question,
        max_answer_chars=150,
    )
    outputs = [output async for output in engine.generate(prompt)]
    assert isinstance(outputs[-1], Answered | FunctionCall)
    return outputs[-1]


@pytest.mark.parametrize(
    ("language", "question", "held"),
    [("zh", "寄到新疆运费多少？", "20"), ("en", "How much is shipping to Tibet?", "20")],
)
async def test_a_plain_question_is_answered_from_its_passage(
    engine: VllmEngine, language: Language, question: str, held: str
) -> None:
    answer = await said(engine, language, question)
    print(question, "→", answer)
    assert isinstance(answer, Answered) and held in answer.text


@pytest.mark.parametrize(
    ("language", "question"),
    [
        ("zh", "订单 20261103 一直没到，请帮我登记一个工单"),
        ("en", "Please open a ticket: my order 20261103 never arrived"),
    ],
)
async def test_a_ticket_is_opened_through_the_models_own_call(
    engine: VllmEngine, language: Language, question: str
) -> None:
    call = await said(engine, language, question)
    print(question, "→", call)
    assert isinstance(call, FunctionCall) and call.name == "create_support_ticket"
    shipped_functions().parse(call, ("default",))


async def test_the_sample_knowledge_is_answered_or_refused_and_a_follow_up_is_understood(tmp_path: Path) -> None:
    environ = {
        **environment_of(Path(MODEL)),
        "KEFU_DATABASE__URL": f"sqlite+aiosqlite:///{tmp_path}/kefu.db",
        "KEFU_KNOWLEDGE__URI": f"{tmp_path}/knowledge",
    }
    settings = await asyncio.to_thread(load_settings, None, environ)
    channel = terminal_channel(settings)
    async with open_terminal(settings, channel) as opened:
        await opened.wait()
        replies = [await channel.ask(text, "ann") for text in ("订单多久发货？", "那退货呢？", "你们的股票代码是什么")]
    for reply in replies:
        print(reply.outcome, reply.text)
        assert reply.outcome in (Outcome.ANSWERED, Outcome.REFUSED), "every output could be used"
    assert replies[0].outcome is Outcome.ANSWERED and replies[0].sources
    assert "发货" not in (replies[1].sources[0].title if replies[1].sources else "")
    assert replies[2].outcome is Outcome.REFUSED
