"""Colleagues who write to an AI bot whose process is killed, and what is left of what they wrote."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

from tests.core import sqlite
from tests.fakes.dialogue import tokens
from tests.fakes.wecom_aibot import FakeAiBot
from tests.fakes.wecom_api import FakeWeCom
from tests.faults import oracle
from tests.faults.wecom_bot_rig import BotRig
from tests.faults.zygote import UNLIMITED, Zygote

HEARD_SECONDS = 5.0
"""What came in so long before a death is stored, on a machine that does other things too."""
STILL_SECONDS = 75.0
"""Where nothing comes to its end for so long, nothing will: the outbox's longest pause is shorter."""


def bot_settings(wecom: FakeAiBot | FakeWeCom) -> str:
    """The section, behind limits that nobody reaches."""
    lines = [UNLIMITED, "[wecom_bot]", f'bot_id = "{wecom.bot_id}"']
    if isinstance(wecom, FakeAiBot):
        lines += [f'secret = "{wecom.secret}"', f'ws_url = "{wecom.ws_url}"']
    else:
        lines += ['transport = "callback"', f'token = "{wecom.bot.token}"', f'aes_key = "{wecom.bot.aes_key}"']
        lines += [f'api_url = "{wecom.api_url}"']
    return "\n".join([*lines, ""])


def time_passes(path: Path) -> None:
    """As if so much had passed since the death that nobody holds the connection any more: the next life need not wait
    for it. That it does wait is shown apart."""
    connection = sqlite.library().connect(str(path), timeout=30)
    try:
        connection.execute("DELETE FROM leases")
        connection.commit()
    finally:
        connection.close()


class Office:
    """Colleagues who write while things break, alone with the bot and in groups, over either transport."""

    def __init__(self, rig: BotRig, bot: Zygote, chance: random.Random) -> None:
        self._rig = rig
        self._bot = bot
        self._chance = chance
        self._words: dict[str, tuple[int, str, str]] = {}
        self._told_at: dict[str, float] = {}
        self.written = 0
        self.unheard = 0

    @property
    def told(self) -> set[str]:
        """Every token there is."""
        return set(self._words)

    def writes(self, count: int) -> None:
        for _ in range(count):
            self.written += 1
            token = f"T{self.written}"
            text = self._chance.choice([token, token, f"slow 0.7 {token}", f"slow 1.6 {token}", f"ticket {token}"])
            chat = self._chance.choice(["", "", f"wrGroup{self._chance.randrange(9)}"])
            self._words[token] = (self.written, text, chat)
            self._says(token)

    def _says(self, token: str) -> None:
        number, text, chat = self._words[token]
        self._told_at[token] = time.monotonic()
        self._rig.says(number, text, chat=chat)

    async def writes_later(self, count: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self._rig.called is not None or self._rig.wecom.links.live is not None:
            self.writes(count)

    async def stored(self) -> set[str]:
        rows = await asyncio.to_thread(oracle.query, self._bot.database, "SELECT text FROM inbound")
        return {token for row in rows for token in tokens(row["text"])}

    async def asks_again(self) -> None:
        """Over the long connection: those whom a dead process had not heard, and those alone."""
        for token in sorted(set(self._words) - await self.stored()):
            self.unheard += 1
            self._says(token)

    async def check_heard(self, died_at: float) -> None:
        """Only what came in last, and a moment before the death, may be missing: it is stored in the order it comes."""
        stored = await self.stored()
        heard_last = max((self._told_at[token] for token in stored), default=0.0)
        missing = {token: told for token, told in self._told_at.items() if token not in stored}
        assert all(told >= heard_last for told in missing.values()), "something was passed over"
        early = {token: died_at - told for token, told in missing.items()}
        assert all(seconds < HEARD_SECONDS for seconds in early.values()), early

    async def apart(self) -> set[str]:
        """Tokens of messages whose stream was not written down when their process died: they are answered apart."""
        statement = "SELECT text FROM inbound WHERE id NOT IN (SELECT inbound_id FROM growing_answers)"
        rows = await asyncio.to_thread(oracle.query, self._bot.database, statement)
        return {token for row in rows for token in tokens(row["text"])}

    async def left(self) -> dict[str, int]:
        """What has not come to its end, and how much of it."""
        found: dict[str, int] = {}
        if self._rig.called is not None:
            found["with WeCom"] = sum(not one.fate for one in self._rig.caller.feed.deliveries.values())
            found["growing"] = sum(not one.finished for one in self._rig.caller.chats.exchanges.values())
        else:
            found["unread"] = len(set(self._words) - await self.stored())
        found["open"] = await asyncio.to_thread(oracle.open_work, self._bot.database)
        return {name: count for name, count in found.items() if count}

    async def is_idle(self) -> bool:
        return not await self.left()

    async def rest(self) -> float:
        """Waits until everything has come to its end, as long as something moves. What was being answered at two deaths
        runs alone from then on, one after the other: after many deaths a hundred answers may queue there. Returns how
        many seconds that took.

        :raises TimeoutError: nothing has come to its end for so long.
        """
        begun_at = moved_at = time.monotonic()
        before = await self.left()
        while before:
            await asyncio.sleep(0.05)
            if (now := await self.left()) != before:
                before, moved_at = now, time.monotonic()
            elif time.monotonic() > moved_at + STILL_SECONDS:
                raise TimeoutError(f"{now}: {await self._open_rows()}\n{self._bot.words()}")
        return time.monotonic() - begun_at

    async def _open_rows(self) -> list[dict[str, object]]:
        """What the product says of what is left."""
        statement = (
            "SELECT i.id, i.state, i.turn_id, d.state AS reply, d.attempts, d.error, g.state AS answer, g.fetched "
            "FROM inbound i LEFT JOIN growing_answers g ON g.inbound_id = i.id "
            "LEFT JOIN deliveries d ON d.turn_id = i.turn_id "
            "WHERE i.state != 'done' OR d.state IN ('waiting', 'sending') OR g.state = 'open' OR g.fetched = 0 LIMIT 20"
        )
        return await asyncio.to_thread(oracle.query, self._bot.database, statement)
