"""The dialogue's share of the configuration, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from bot.dialogue.language import LanguageSetting


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogueSettings:
    """Section `dialogue` of kefu.toml, with the few settings of other sections that a turn needs."""

    history_turns: int = 6
    """Exchanges of the past that a prompt and a ticket's transcript may hold."""
    history_tokens: int = 2000
    """The most those may cost in a prompt, estimated."""
    max_answer_chars: int = 150
    """Characters of one answer; notes around it (an apology for a wait) are not counted."""
    min_confidence: float = 0.5
    """Below this an answer becomes the refusal. 0 to 1, calibrated (`bot.dialogue.evidence`)."""
    language: LanguageSetting = "auto"
    refusal: str = ""
    """Replaces the built-in refusal in every language; "" keeps it."""
    persona: str = ""
    """How the bot presents itself, for engines that write; "" keeps the built-in one."""
    top_k: int = 5
    """Passages searched for (`knowledge.top_k`)."""
    sla_hours: float = 24.0
    """Within how many hours a person answers a ticket (`tickets.sla_hours`)."""
    rewrite_seconds: float = 1.5
    """How long a follow-up's search waits for the engine's rewriting; 0 for none."""
    turn_seconds: float = 90.0
    """The longest a turn may take altogether; longer than `model.timeout_seconds`, which ends a generation."""
    ticket_prefix: str = "TICKET"
    """What a ticket's number starts with (`tickets.prefix`)."""
