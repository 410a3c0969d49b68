"""A turn as a prompt. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.dialogue.settings import DialogueSettings
from bot.messages import (
    BotSaid,
    CustomerSaid,
    FunctionReturned,
    FunctionSpec,
    HistoryEntry,
    Language,
    Passage,
    Prompt,
)

PERSONAS: dict[Language, str] = {
    "zh": "你是公司的客服助手。语气亲切、简洁，像一位有经验的客服同事；只依据给出的资料回答，不编造。",
    "en": "You are the company's support assistant. Be warm and brief, like an experienced colleague; "
    "answer from the given passages only and invent nothing.",
}

_WIDE = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")


def estimated_tokens(text: str) -> int:
    """About what a multilingual tokenizer makes of it: .65 for a wide (Chinese) character, .25 for another."""
    wide = sum(1 for _ in _WIDE.finditer(text))
    return round(0.65 * wide + 0.25 * (len(text) - wide)) + 4


def build_prompt(
    question: str,
    passages: Sequence[Passage],
    *,
    history: Sequence[HistoryEntry],
    language: Language,
    functions: tuple[FunctionSpec, ...],
    settings: DialogueSettings,
) -> Prompt:
    """The question, in a form that stands on its own, with what may be said and what was said."""
    return Prompt(
        language=language,
        persona=settings.persona or PERSONAS[language],
        functions=functions,
        history=within_budget(history, turns=settings.history_turns, tokens=settings.history_tokens),
        passages=tuple(passages),
        question=question,
        max_answer_chars=settings.max_answer_chars,
    )


def within_budget(history: Sequence[HistoryEntry], *, turns: int, tokens: int) -> tuple[HistoryEntry, ...]:
    """The newest entries that fit: at most `turns` of the customer's, at most `tokens` altogether, oldest first.

    It starts with the customer's words, so that no answer stands without its question.
    """
    kept: list[HistoryEntry] = []
    customers = spent = 0
    for entry in reversed(history):
        customers += isinstance(entry, CustomerSaid)
        spent += estimated_tokens(entry.result if isinstance(entry, FunctionReturned) else entry.text)
        if customers > turns or spent > tokens:
            break
        kept.append(entry)
    while kept and isinstance(kept[-1], BotSaid):
        kept.pop()
    return tuple(reversed(kept))
