"""The ledger of a knowledge without the bot, opened when it is first asked."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from knowledge.ledger import Change, DocumentKey, Passages, Version

if TYPE_CHECKING:
    from knowledge.local_ledger import LocalTransactions
    from knowledge.sql_ledger import SqlLedger

LEDGER_FILE = "ledger.db"


class OwnLedger:
    """A SQLite file in the index's folder; in memory where the index is not on this machine.

    SQLAlchemy takes a tenth of a second to import, which whoever only searches need not pay.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / LEDGER_FILE
        self._opened: tuple[SqlLedger, LocalTransactions] | None = None

    def _ledger(self) -> "SqlLedger":
        if self._opened is None:
            from knowledge.local_ledger import local_ledger

            self._opened = local_ledger(self._path)
        return self._opened[0]

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened[1].close()

    async def head(self) -> Version | None:
        """See `Ledger`."""
        return await self._ledger().head()

    async def versions(self) -> tuple[Version, ...]:
        """See `Ledger`."""
        return await self._ledger().versions()

    async def documents(self, number: int) -> dict[DocumentKey, str]:
        """See `Ledger`."""
        return await self._ledger().documents(number)

    async def passages(self, digests: Collection[str]) -> dict[str, Passages]:
        """See `Ledger`."""
        return await self._ledger().passages(digests)

    async def store(self, contents: Mapping[str, Passages]) -> None:
        """See `Ledger`."""
        await self._ledger().store(contents)

    async def commit(self, version: Version, change: Change) -> None:
        """See `Ledger`."""
        await self._ledger().commit(version, change)

    async def erase(self, documents: Collection[DocumentKey]) -> None:
        """See `Ledger`."""
        await self._ledger().erase(documents)

    async def named(self, document: str) -> frozenset[DocumentKey]:
        """See `Ledger`."""
        return await self._ledger().named(document)

    async def tidy(self, keep: int) -> bool:
        """See `Ledger`."""
        return await self._ledger().tidy(keep)

    async def scrub(self) -> None:
        """See `Ledger`."""
        await self._ledger().scrub()
