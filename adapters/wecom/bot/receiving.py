"""What came in, stored: the same for both transports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from adapters.wecom.bot.parsing import Judged, Parsed, Pressed, Reading, Said, parse
from adapters.wecom.bot.rows import Rows
from adapters.wecom.bot.timing import BotTiming
from bot.errors import StoreUnavailable
from bot.messages import ConversationRef, IncomingMessage, Receipt
from bot.ports import Clock, Intake

TurnOf: TypeAlias = Callable[[str], tuple[str, ConversationRef] | None]
Storable: TypeAlias = Said | Pressed | Judged
"""What the core has to hear of."""


class Receiver:
    """Reads, and hands in."""

    def __init__(
        self, *, bot_id: str, name: str, collections: tuple[str, ...], rows: Rows, clock: Clock, timing: BotTiming
    ) -> None:
        self._bot_id = bot_id
        self._name = name
        self._collections = collections
        self._rows = rows
        self._clock = clock
        self._timing = timing
        self.turn_of: TurnOf = _nobody_knows
        """What is known of answers before it is written down."""

    def read(self, body: Mapping[str, Any]) -> Parsed:
        """What it means."""
        now = self._clock.now()
        return parse(body, Reading(bot_id=self._bot_id, name=self._name, collections=self._collections, now=now))

    async def store(self, came: Sequence[Storable], intake: Intake) -> tuple[Receipt | None, ...]:
        """One receipt each, None where there is nothing to store: a thumb under an answer of which we know no more.

        :raises StoreUnavailable: nothing was stored.
        """
        try:
            async with asyncio.timeout(self._timing.store_limit):
                found = [await self._judgement(one) if isinstance(one, Judged) else one.message for one in came]
                messages = [message for message in found if message is not None]
                receipts = iter(await intake.accept(messages) if messages else ())
        except TimeoutError:
            raise StoreUnavailable("it took too long") from None
        return tuple(next(receipts) if message is not None else None for message in found)

    async def _judgement(self, judged: Judged) -> IncomingMessage | None:
        known = self.turn_of(judged.answer)
        if known is None:
            answer = await self._rows.get(judged.answer)
            known = (answer.turn, answer.conversation) if answer is not None and answer.turn else None
        # Whose dialogue it was, and not whose thumb: in a group anybody may judge.
        return judged.of_turn(*known) if known is not None else None


def _nobody_knows(answer: str) -> None:
    return None
