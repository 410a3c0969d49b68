"""An intake in memory, for adapters that are tested apart from the core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bot.errors import StoreUnavailable
from bot.messages import IncomingMessage, Receipt, ReceiptStatus


@dataclass
class MemoryIntake:
    """Accepts as the real intake does: whole or not at all, every key once."""

    messages: list[IncomingMessage] = field(default_factory=list)
    duplicates: int = 0
    cursors: dict[tuple[str, str], str] = field(default_factory=dict)
    attempts: int = 0
    failures: int = 0
    """How many of the next calls find the database locked."""
    defects: int = 0
    """How many of the next calls end in a surprise."""
    _keys: set[str] = field(default_factory=set)

    async def accept(
        self, messages: Sequence[IncomingMessage], *, cursor: tuple[str, str, str] | None = None
    ) -> tuple[Receipt, ...]:
        self.attempts += 1
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the database is locked")
        if self.defects:
            self.defects -= 1
            raise ZeroDivisionError("a defect")
        receipts = []
        for message in messages:
            seen = bool(self._keys & set(message.keys))
            self._keys |= set(message.keys)
            self.duplicates += seen
            if not seen:
                self.messages.append(message)
            receipts.append(Receipt(status=ReceiptStatus.DUPLICATE if seen else ReceiptStatus.ACCEPTED))
        if cursor is not None:
            self.cursors[cursor[:2]] = cursor[2]
        return tuple(receipts)

    async def cursor(self, platform: str, account: str) -> str | None:
        return self.cursors.get((platform, account))

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.messages]
