from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.dialogue.prompt import build_prompt, estimated_tokens, within_budget
from bot.dialogue.settings import DialogueSettings
from bot.messages import AgentSaid, BotSaid, CustomerSaid, FunctionReturned, HistoryEntry, Outcome
from tests.dialogue.people import NOW


def exchange(question: str, answer: str) -> list[HistoryEntry]:
    return [CustomerSaid(text=question, at=NOW), BotSaid(text=answer, at=NOW, outcome=Outcome.ANSWERED)]


def test_the_newest_exchanges_stay_oldest_first() -> None:
    history = [*exchange("一", "1"), *exchange("二", "2"), *exchange("三", "3")]
    assert within_budget(history, turns=2, tokens=1000) == tuple(history[2:])


def test_no_answer_stands_without_its_question() -> None:
    history = [*exchange("很长的问题" * 200, "短"), *exchange("二", "2")]
    kept = within_budget(history, turns=6, tokens=100)
    assert kept == tuple(history[2:])


def test_everybody_who_spoke_is_kept() -> None:
    history = [
        *exchange("在吗", "在"),
        AgentSaid(text="您好", at=NOW),
        FunctionReturned(name="ticket_status", result="…", at=NOW),
        CustomerSaid(text="谢谢", at=NOW),
    ]
    assert within_budget(history, turns=6, tokens=1000) == tuple(history)


@given(
    st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), max_size=12), st.integers(1, 5), st.integers(1, 200)
)
def test_the_budget_holds(said: list[tuple[str, str]], turns: int, tokens: int) -> None:
    history = [entry for question, answer in said for entry in exchange(question, answer)]
    kept = within_budget(history, turns=turns, tokens=tokens)
    spoken = [entry for entry in kept if isinstance(entry, CustomerSaid | BotSaid)]
    assert len(kept) <= 2 * turns + 1
    assert sum(estimated_tokens(entry.text) for entry in spoken) <= tokens
    assert kept == tuple(history[len(history) - len(kept) :])
    assert not kept or isinstance(kept[0], CustomerSaid)


def test_the_operators_persona_replaces_the_built_in_one() -> None:
    own = build_prompt("q", (), history=(), language="en", functions=(), settings=DialogueSettings(persona="Be brief."))
    built_in = build_prompt("q", (), history=(), language="zh", functions=(), settings=DialogueSettings())
    assert own.persona == "Be brief."
    assert "客服" in built_in.persona and built_in.max_answer_chars == 150
