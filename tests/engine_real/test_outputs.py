"""Whatever the model says, at random and in hundreds of ways, is an answer or a call that can be used."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

import pytest

from bot.errors import EngineError
from bot.messages import Answered, Delta, EngineOutput, FunctionCall, FunctionSpec, Language
from tests.engine_real import functions
from tests.engine_real.engines import ENGINE_ARGUMENTS, Real, passage, prompt
from tests.faults import seeds

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

QUESTIONS: dict[Language, tuple[str, ...]] = {
    "zh": ("订单多久发货？", "我要投诉，登记一个工单", "TICKET-7K2M9Q4D 怎么样了", "转人工"),
    "en": ("When do you ship?", "Open a ticket, please", "How is TICKET-7K2M9Q4D?", "I want a person"),
}
PASSAGE = passage("付款后 48 小时内发货。Orders ship within 48 hours.")
OUTPUTS = 200


def offered(number: int, language: Language) -> tuple[FunctionSpec, ...]:
    """Every other time none, else the product's own, the test's own, or all."""
    *own, plan = functions.specs(language)
    return ((), tuple(own), (), (plan,), (), (*own, plan))[number % 6]


async def test_all_of_200_outputs_can_be_read(real: Real) -> None:
    _, report = seeds.begin("P15 real outputs")
    at_once = asyncio.Semaphore(ENGINE_ARGUMENTS["max_num_seqs"])

    async def one(number: int) -> list[EngineOutput] | EngineError:
        language: Language = "zh" if number % 2 else "en"
        asked = prompt(
            QUESTIONS[language][number % 4], functions=offered(number // 2, language), passages=(PASSAGE,),
            language=language, max_answer_chars=(20, 100, 150)[number % 3],
        )  # fmt: skip
        async with at_once:
            try:
                return await real.ask(asked)
            except EngineError as error:
                return error

    outputs = await asyncio.gather(*(one(number) for number in range(OUTPUTS)))
    broken = [output for output in outputs if isinstance(output, EngineError)]
    ends = [output[-1] for output in outputs if isinstance(output, list)]
    calls = [end for end in ends if isinstance(end, FunctionCall)]
    answers = [end for end in ends if isinstance(end, Answered)]
    for call in calls:
        functions.check(call)
    report.counts |= {"outputs": len(outputs), "answers": len(answers), "calls": len(calls), "broken": len(broken)}
    report["characters"] = sum(len(answer.text) for answer in answers)
    report["called"] = dict(Counter(call.name for call in calls))
    report.print()
    assert broken == []
    assert len(answers) >= 50 and len(calls) >= 30, "both forms were tried"
    assert {call.name for call in calls} == {spec.name for spec in functions.specs("zh")}
    assert sum(bool(answer.text) for answer in answers) > len(answers) * 0.8
    assert all(0.0 <= answer.confidence <= 1.0 and answer.tokens > 0 for answer in answers)
    assert all(answer.logprob is not None and answer.logprob < 0 for answer in answers)


async def test_an_answer_grows_while_it_is_written(real: Real) -> None:
    for _ in range(3):
        *deltas, end = await real.ask(prompt("订单多久发货？", passages=(PASSAGE,), max_answer_chars=100))
        assert isinstance(end, Answered)
        texts = [delta.text for delta in deltas if isinstance(delta, Delta)]
        assert len(texts) == len(deltas) >= 5
        assert all(later.startswith(earlier) and later != earlier for earlier, later in pairwise(texts))
        assert end.text == texts[-1]
        assert not any(0xD800 <= ord(character) <= 0xDFFF for text in texts for character in text)


async def test_what_turns_have_in_common_is_found_in_the_prefix_cache(real: Real) -> None:
    before = real.model.load()
    for question in ("怎么申请退货？", "运费多少？", "有发票吗？"):
        await real.end_of(prompt(question, functions=functions.specs("zh"), passages=(PASSAGE,)))
    await real.idle()
    after = real.model.load()
    asked = after.prompt_tokens - before.prompt_tokens
    cached = after.cached_tokens - before.cached_tokens
    assert asked > 1500
    assert cached / asked > 0.5, "persona, rules and functions are the same three times"
    assert after.output_tokens > before.output_tokens
    assert real.figure("kefu_engine_up") == 1
