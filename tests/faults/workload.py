"""People who write while things break, and the memory of who wrote what."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

from tests.fakes.botapi.remote import RemoteTelegram
from tests.faults import oracle
from tests.faults.oracle import Verdict

GROUP = -1_000_000_000_000


class Crowd:
    """Customers in private chats and groups; every message has a token of its own."""

    def __init__(
        self, telegram: RemoteTelegram, chance: random.Random, *, chats: int = 60, groups: int = 6, repeat: float = 0.1
    ) -> None:
        self._telegram = telegram
        self._chance = chance
        self._chats = [*range(1, chats + 1), *(GROUP - number for number in range(1, groups + 1))]
        self._repeat = repeat
        self._tokens: dict[int, str] = {}
        self._written = 0
        self.repeated = 0
        """How often something was delivered again under a new number, after it was acknowledged."""

    async def write(self, count: int) -> None:
        """So many new messages, one in six of them wanting a ticket; some old ones come again."""
        deeds = []
        made = []
        for _ in range(count):
            self._written += 1
            token = f"T{self._written}"
            chat = self._chance.choice(self._chats)
            words = "ticket " if self._chance.random() < 1 / 6 else ""
            mention = "@kefu_test_bot " if chat < 0 else ""
            sender = {"sender": self._chance.randrange(1000, 1010)} if chat < 0 else {}
            deeds.append(("says", {"chat": chat, "text": f"{mention}{words}{token}", **sender}))
            made.append(token)
        for token, told in zip(made, await self._telegram.do_all(deeds), strict=True):
            assert told["update_id"] is not None, "the bot does not ask for messages"
            self._tokens[told["update_id"]] = token
        await self._write_again(count)

    async def write_later(self, count: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.write(count)

    async def _write_again(self, count: int) -> None:
        again = [update for update in self._tokens if self._chance.random() < self._repeat * count / len(self._tokens)]
        deeds = [("redelivers", {"update_id": update, "fresh_id": True}) for update in again]
        for update, told in zip(again, await self._telegram.do_all(deeds), strict=True):
            self._tokens[told["update_id"]] = self._tokens[update]
        self.repeated += len(again)

    async def acked(self) -> set[str]:
        """Tokens of the messages that the platform has forgotten."""
        return {
            self._tokens[update["id"]]
            for update in await self._telegram.updates()
            if update["confirmed_at"] is not None and update["id"] in self._tokens
        }

    async def is_idle(self, database: Path) -> bool:
        """Whether everything was taken and has come to its end."""
        return not await self._telegram.unconfirmed() and not await asyncio.to_thread(oracle.open_work, database)

    async def rest(self, database: Path, seconds: float = 60.0) -> None:
        """Waits until everything was taken and has come to its end.

        :raises TimeoutError: it has not.
        """
        deadline = time.monotonic() + seconds
        while not await self.is_idle(database):
            if time.monotonic() > deadline:
                raise TimeoutError(f"still open: {await asyncio.to_thread(oracle.open_work, database)}")
            await asyncio.sleep(0.1)

    async def verdict(self, database: Path) -> Verdict:
        """Both sides compared."""
        return await asyncio.to_thread(oracle.judge, database, await self.acked(), await self._telegram.messages())
