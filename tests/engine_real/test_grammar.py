"""What xgrammar, which masks the model's tokens, makes of the structural tag: all that is accepted can be read, and all
that a function takes is accepted."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.engine.grammar import output_tag
from bot.engine.output import SaidAnswer, SaidCall, read_output
from bot.messages import FunctionCall
from tests.engine_real import functions
from tests.engine_real.functions import Address, CreateSupportTicket, HandToPerson, Item, PlanDelivery, TicketStatus

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

MAX_CHARS = 60
WALKS = 150
# As the tag has it: one line, no quotation mark, no backslash; and no half of a surrogate pair.
PLAIN = st.characters(
    codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters='"\\\x7f\u2028\u2029'
)  # fmt: skip


def words(least: int, most: int) -> st.SearchStrategy[str]:
    return st.text(PLAIN, min_size=least, max_size=most)


class Matchers:
    """Walks through the tag as the engine does."""

    def __init__(self, model: Path) -> None:
        import xgrammar
        from transformers import AutoTokenizer

        self._library: Any = xgrammar
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.vocabulary = len(self.tokenizer)
        info = xgrammar.TokenizerInfo.from_huggingface(self.tokenizer, vocab_size=self.vocabulary)
        tag = output_tag(functions.specs("zh"), max_chars=MAX_CHARS)
        self._compiled = xgrammar.GrammarCompiler(info).compile_structural_tag(tag)

    def accepts(self, text: str) -> bool:
        matcher = self._library.GrammarMatcher(self._compiled)
        return bool(matcher.accept_string(text)) and bool(matcher.is_completed())

    def walk(self, chance: random.Random, begin: str) -> str:
        """A text made of tokens that the mask allows, any of them with the same chance."""
        import numpy

        matcher = self._library.GrammarMatcher(self._compiled)
        said: list[int] = self.tokenizer(begin, add_special_tokens=False)["input_ids"]
        assert all(matcher.accept_token(token) for token in said)
        mask = self._library.allocate_token_bitmask(1, self.vocabulary)
        while not matcher.is_terminated():
            matcher.fill_next_token_bitmask(mask)
            bits = numpy.unpackbits(mask.numpy().view(numpy.uint8), bitorder="little")[: self.vocabulary]
            token = int(chance.choice(numpy.nonzero(bits)[0]))
            assert matcher.accept_token(token)
            said.append(token)
        return str(self.tokenizer.decode(said, skip_special_tokens=True))


@pytest.fixture(scope="module")
def matchers(tiny_model: Path) -> Matchers:
    return Matchers(tiny_model)


BEGINNINGS = {
    "an answer": '{"response"',
    **{spec.name: f'<tool_call>\n{{"name": "{spec.name}"' for spec in functions.specs("zh")},
    **{f"{spec.name} without tags": f'{{"name": "{spec.name}"' for spec in functions.specs("zh")},
}


@pytest.mark.parametrize("begin", BEGINNINGS.values(), ids=BEGINNINGS)
def test_whatever_the_mask_allows_can_be_read(matchers: Matchers, begin: str) -> None:
    chance = random.Random(begin)
    for _ in range(WALKS):
        text = matchers.walk(chance, begin)
        said = read_output(text)
        if isinstance(said, SaidCall):
            functions.check(FunctionCall(name=said.name, arguments=said.arguments))
        else:
            assert begin == BEGINNINGS["an answer"] and 0.0 <= said.confidence <= 1.0
            assert len(said.text) <= MAX_CHARS or "\ufffd" in said.text


CALLS: st.SearchStrategy[Any] = st.one_of(
    st.builds(
        CreateSupportTicket, issue=words(1, 400), contact=words(0, 200), order_no=words(0, 64),
        urgency=st.sampled_from(["low", "normal", "high"]),
    ),
    st.builds(TicketStatus, ticket=words(3, 64)),
    st.builds(HandToPerson, reason=words(0, 400)),
    st.builds(
        PlanDelivery, version=st.just(2), express=st.booleans(), note=words(0, 30),
        address=st.builds(Address, city=words(1, 20), street=words(0, 40), kind=st.sampled_from(["home", "work"])),
        second=st.none() | st.builds(Address, city=words(1, 20), street=words(0, 40), kind=st.just("work")),
        items=st.lists(
            st.builds(
                Item, number=words(2, 12), count=st.integers(-(10**12) + 1, 10**12 - 1),
                weight=st.none() | st.integers(-(10**6), 10**6).map(lambda tenths: tenths / 10),
            ), min_size=1, max_size=3,
        ),
        tags=st.lists(words(0, 8), max_size=2),
    ),
)  # fmt: skip
NAMES = {
    CreateSupportTicket: "create_support_ticket", TicketStatus: "ticket_status", HandToPerson: "hand_to_person",
    PlanDelivery: functions.PLAN_DELIVERY,
}  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=CALLS, spare=st.booleans())
def test_every_call_that_a_function_takes_can_be_made(matchers: Matchers, arguments: Any, spare: bool) -> None:
    said = arguments.model_dump(exclude_defaults=spare)
    call = json.dumps({"name": NAMES[type(arguments)], "arguments": said}, ensure_ascii=False)
    text = f"<tool_call>\n{call}\n</tool_call>"
    for form in (text, call):
        assert matchers.accepts(form), form
        assert read_output(form) == SaidCall(name=NAMES[type(arguments)], arguments=said)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=words(0, MAX_CHARS), hundredths=st.integers(0, 100))
def test_every_answer_of_one_line_can_be_given(matchers: Matchers, text: str, hundredths: int) -> None:
    answer = {"response": text, "confidence": hundredths / 100}
    whole = json.dumps(answer, ensure_ascii=False)
    assert matchers.accepts(whole), whole
    assert read_output(whole) == SaidAnswer(text=text, confidence=hundredths / 100)


@pytest.mark.parametrize(
    "text",
    [
        '{"response": "八元", "confidence": 0.9} ', '{"response":  "八元", "confidence": 0.9}', '{"response": "八元"}',
        '{"response": "八\\ud83d", "confidence": 0.9}', '{"response": "八\n元", "confidence": 0.9}',
        '{"response": "八元", "confidence": 2}', '{"response": "' + "八" * 61 + '", "confidence": 0.9}', "八元",
        '<tool_call>\n{"name": "drop_tables", "arguments": {}}\n</tool_call>',
        '<tool_call>\n{"name": "hand_to_person", "arguments": {"who": "root"}}\n</tool_call>',
    ],
    ids=["blank after", "blanks between", "half", "half a pair", "line end", "too sure", "too long", "prose",
         "another function", "another argument"],
)  # fmt: skip
def test_nothing_else_can_be_said(matchers: Matchers, text: str) -> None:
    assert not matchers.accepts(text)
