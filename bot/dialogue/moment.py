"""One turn on its way through the dialogue."""

from __future__ import annotations

from dataclasses import dataclass

from bot.dialogue.hearing import Heard
from bot.messages import DialogueState, Language, Turn
from bot.ports import SnapshotSink


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What every step of a turn needs."""

    turn: Turn
    heard: Heard
    language: Language
    state: DialogueState
    """As it will be after the turn, so far; nothing is offered or pending any more unless a step says so anew."""
    show: SnapshotSink
