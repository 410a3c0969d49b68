"""A dialogue that does what the message says, so that a test knows what has to come back.

Words it obeys, anywhere in a turn's text:

- `T17` (any `T` with a number): the token; the reply names every token of the turn
- `ticket`: a ticket is opened, its subject the turn's tokens
- `close TICKET-X`: that ticket is to be closed
- `slow 3`: the answer takes 3 s; `hang`: for ever; `fail`: raises; `silent`: no reply at all
- `die`: kills the process, as a defect in native code would
- `late-engine 2`: fails at the first attempts, as often as the number says
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import secrets
import signal
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from bot.errors import EngineUnavailable
from bot.messages import (
    CloseTicket,
    DialogueState,
    Effect,
    IncomingMessage,
    OpenTicket,
    Outcome,
    Reply,
    Ticket,
    TicketState,
    Turn,
    TurnResult,
)
from bot.ports import SnapshotSink

TOKEN = re.compile(r"\bT\d+\b")
END = "完"
"""Stands behind every final text, so that a snapshot is never taken for one."""


def tokens(text: str) -> list[str]:
    """The tokens of a text in order, each once."""
    return list(dict.fromkeys(TOKEN.findall(text)))


def final_tokens(text: str) -> list[str]:
    """The tokens of a final reply; none of a snapshot."""
    return tokens(text) if END in text else []


@dataclass(slots=True)
class ScriptedDialogue:
    """A `Responder` with `Endings`, seeded. Counts what happened in it."""

    seed: int = 0
    latency: tuple[float, float] = (0.0, 0.0)
    """Seconds an ordinary answer takes, drawn from between these."""
    snapshots: int = 2
    """How often it shows the answer while it grows."""
    broken: bool = False
    """Every answer raises EngineUnavailable: a defect of the dialogue's own promise, for the lanes to survive."""
    chance: random.Random = field(init=False)
    running: Counter[str] = field(default_factory=Counter)
    """Answers being made now, by conversation."""
    overlaps: int = 0
    """How often two answers were made for one conversation at a time: never, if lanes are lanes."""
    cancelled: int = 0
    seen: list[Turn] = field(default_factory=list)
    expected: list[IncomingMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def expect(self, message: IncomingMessage) -> None:
        """As the dialogue is told by the inbox."""
        self.expected.append(message)

    async def respond(self, turn: Turn, show: SnapshotSink) -> TurnResult:
        """As `bot.turns.runner.Responder`."""
        place = str(turn.conversation)
        self.running[place] += 1
        self.overlaps += self.running[place] > 1
        self.seen.append(turn)
        try:
            return await self._answer(turn, show)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running[place] -= 1

    async def _answer(self, turn: Turn, show: SnapshotSink) -> TurnResult:
        text = turn.text
        if "die" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.broken or "fail" in text or _number(text, "late-engine") >= turn.attempt:
            raise EngineUnavailable("the script says so")
        if "hang" in text:
            await asyncio.Event().wait()
        seconds = _number(text, "slow") or self.chance.uniform(*self.latency)
        for number in range(self.snapshots):
            show("回答 " * (number + 1))
            await asyncio.sleep(seconds / max(1, self.snapshots))
        if "silent" in text:
            return TurnResult(reply=None, state=turn.state)
        if closed := re.search(r"close (TICKET-\w+)", text):
            return self._result(turn, "关闭", Outcome.STATUS, (CloseTicket(number=closed[1]),))
        effects: tuple[Effect, ...] = (OpenTicket(ticket=ticket_for(turn)),) if "ticket" in text else ()
        return self._result(turn, " ".join(tokens(text)), Outcome.TICKET if effects else Outcome.ANSWERED, effects)

    # -- Endings --

    def stopped(self, turn: Turn, partial: str) -> TurnResult:
        return self._result(turn, f"已停止 {' '.join(tokens(turn.text))}", Outcome.CHAT)

    def parked(self, turn: Turn) -> TurnResult:
        effect = OpenTicket(ticket=ticket_for(turn))
        return self._result(turn, f"抱歉 {' '.join(tokens(turn.text))}", Outcome.TICKET, (effect,))

    def over_budget(self, turn: Turn) -> TurnResult:
        return self._result(turn, f"明天 {' '.join(tokens(turn.text))}", Outcome.REFUSED)

    def out_of_time(self, turn: Turn) -> TurnResult:
        return self._result(turn, f"超时 {' '.join(tokens(turn.text))}", Outcome.ERROR)

    def _result(self, turn: Turn, text: str, outcome: Outcome, effects: tuple[Effect, ...] = ()) -> TurnResult:
        ticket = next((effect.ticket for effect in effects if isinstance(effect, OpenTicket)), None)
        reply = Reply(outcome=outcome, text=f"{text} {END}", language="zh", ticket=ticket)
        return TurnResult(reply=reply, state=DialogueState(language="zh"), effects=effects, engine="script")


def busy(message: IncomingMessage) -> Reply:
    """What is said over a limit."""
    return Reply(outcome=Outcome.CHAT, text="请稍候", language="zh")


def ticket_for(turn: Turn) -> Ticket:
    """A ticket whose subject names the turn's tokens."""
    return Ticket(
        number=f"TICKET-{secrets.token_hex(4).upper()}",
        subject=" ".join(tokens(turn.text)) or turn.text[:100],
        state=TicketState.OPEN,
        requester=turn.sender.id,
        conversation=turn.conversation,
        created_at=turn.started_at,
        updated_at=turn.started_at,
        due_at=turn.started_at + timedelta(hours=24),
    )


def _number(text: str, word: str) -> float:
    match = re.search(rf"\b{word} (\d+(?:\.\d+)?)", text)
    return float(match[1]) if match else 0.0
