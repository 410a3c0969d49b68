"""F1 on WeCom: the process is killed in the middle, again and again. Nothing is lost, every reply stands there once.

Once, not twice: 微信客服 knows a message by its `msgid`, and the app's are sent under the duplicate check.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from itertools import cycle
from pathlib import Path

import pytest

from bot.failpoints import NAMES
from tests.fakes.wecom_api import FakeWeCom
from tests.faults import oracle, seeds
from tests.faults.wecom_rig import BOTH, customers_tokens, once, person, said, told_to_call
from tests.faults.zygote import UNLIMITED, Driver, Zygote, zygote

LIFE_SECONDS = 15.0
MESSAGES_A_LIFE = 6
POINTS = sorted(NAMES - {"inbox.after_ack"})
"""That one is passed where an acknowledgement is a deed of its own, not the answer to a call."""

_LEFT_TO_OPERATORS = """
SELECT platform, attempts FROM deliveries JOIN conversations ON conversations.id = conversation_id
WHERE deliveries.state = 'unknown'
"""


def wecom_settings(wecom: FakeWeCom, *ways: str) -> str:
    """The sections, behind limits that nobody reaches."""
    lines = [UNLIMITED]
    for way in ways:
        endpoint = wecom.feed.endpoints[way]
        secret = wecom.app_secret if way == "app" else wecom.kf_secret
        lines += [f"[wecom_{way}]", f'corp_id = "{wecom.corp_id}"', f'secret = "{secret}"']
        lines += [f'token = "{endpoint.token}"', f'aes_key = "{endpoint.aes_key}"', f'api_url = "{wecom.api_url}"']
        lines += [f"agent_id = {wecom.agent_id}"] if way == "app" else []
    return "\n".join([*lines, ""])


class Town:
    """Colleagues and customers who write while things break."""

    def __init__(self, wecom: FakeWeCom, bot: Zygote, chance: random.Random) -> None:
        self._wecom = wecom
        self._bot = bot
        self._chance = chance
        self._calls: dict[str, str] = {}
        self.written = 0

    def writes(self, count: int) -> None:
        """New messages; some want a ticket, some take long, and some customers' are told of with the next."""
        for _ in range(count):
            self.written += 1
            token, number = f"T{self.written}", self._chance.randrange(1, 30)
            text = self._chance.choice([token, token, f"slow 0.7 {token}", f"ticket {token}"])
            if self._chance.random() < 0.5:
                self._calls[self._wecom.colleagues.says(person("app", number), text).id] = token
            else:
                self._wecom.customers.says(person("kf", number), text, quiet=self._chance.random() < 0.5)
        self._wecom.customers.tells()

    async def writes_later(self, count: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.writes(count)

    def acked(self) -> set[str]:
        """Tokens of the messages that WeCom was told we have, and of all that it holds for us."""
        deliveries = self._wecom.feed.deliveries
        told = {token for call, token in self._calls.items() if deliveries[call].fate == "acknowledged"}
        return told | customers_tokens(self._wecom)

    async def is_idle(self) -> bool:
        if any(not one.fate for one in self._wecom.feed.deliveries.values()):
            return False
        rows = await asyncio.to_thread(oracle.query, self._bot.database, "SELECT text FROM inbound")
        words = " ".join(row["text"] for row in rows).split()
        if not customers_tokens(self._wecom) <= set(words):
            return False
        return not await asyncio.to_thread(oracle.open_work, self._bot.database)

    async def rest(self, seconds: float = 90.0) -> None:
        """:raises TimeoutError: not everything has come to its end."""
        deadline = time.monotonic() + seconds
        while not await self.is_idle():
            if time.monotonic() > deadline:
                raise TimeoutError(self._bot.words())
            await asyncio.sleep(0.05)


async def _dies_at_work(bot: Zygote, town: Town) -> bool:
    """Waits for the life's death. False: it has done all there was to do, and lives."""
    idle = 0
    deadline = time.monotonic() + LIFE_SECONDS
    while idle < 2 and time.monotonic() < deadline:
        if await bot.ended(0.1) is not None:
            return True
        idle = idle + 1 if await town.is_idle() else 0
    await bot.kill()
    return False


async def _run(driver: Driver, folder: Path, kills: int) -> None:
    chance, report = seeds.begin("F1 wecom")
    async with FakeWeCom() as wecom:
        wecom.feed.attempts, wecom.feed.pause = 1000, 0.2
        wecom.kf_api.page = 3
        wecom.tokens.per_minute = 10 * kills  # every life needs its own
        more = wecom_settings(wecom, *BOTH)
        async with zygote(driver, folder, seed=report.seed, latency=(0.0, 0.3), more=more) as bot:
            told_to_call(wecom, bot.site.url)
            town, fired = Town(wecom, bot, chance), Counter[str]()
            points = cycle(chance.sample(POINTS, len(POINTS)))
            for number in range(kills):
                town.writes(MESSAGES_A_LIFE)
                more_later = asyncio.create_task(town.writes_later(2, chance.uniform(0.1, 0.6)))
                if number % 3 < 2:
                    name = next(points)
                    await bot.start(f"{name}:{chance.randint(1, 4)}")
                    fired[name if await _dies_at_work(bot, town) else "none"] += 1
                else:
                    await bot.start()
                    await asyncio.sleep(chance.uniform(0.3, 1.2))
                    await bot.kill()
                    fired["random"] += 1
                await more_later
            await bot.start()
            await town.rest()
            assert await bot.kill(signal.SIGTERM) == 0, bot.words()
            messages = [{"text": text} for way in BOTH for text in wecom.texts(way)]
            verdict = await asyncio.to_thread(oracle.judge, bot.database, town.acked(), messages)
            report.counts |= {"kills": kills, "fired": dict(fired), **verdict.counts()}
            report.counts |= {"repeated": len(wecom.kf_api.repeated), "swallowed": len(wecom.app_api.swallowed)}
            report.print()
            assert not verdict.broken, f"{verdict.broken}\n{report}\n{bot.words()}"
            assert verdict.extra == 0, f"a reply stands there twice\n{report}\n{bot.words()}"
            # A third time nobody says it: what the app has perhaps said twice is for the operators.
            left = await asyncio.to_thread(oracle.query, bot.database, _LEFT_TO_OPERATORS)
            assert all(one["platform"] == "wecom_app" and one["attempts"] >= 2 for one in left), left
            assert verdict.operators <= kills / 2
            assert verdict.acked == town.written
            assert kills - fired["none"] >= kills / 2, "most kills have to hit"
            assert wecom.violations == []


async def test_kills_lose_nothing_and_double_nothing(driver: Driver, tmp_path: Path) -> None:
    await _run(driver, tmp_path, 3)


@pytest.mark.faults
@pytest.mark.timeout(1800)
async def test_forty_kills_lose_nothing_and_double_nothing(driver: Driver, tmp_path: Path) -> None:
    await _run(driver, tmp_path, 40)


async def _dies(bot: Zygote, failpoint: str) -> set[str]:
    """A life that ends there; the tokens that are stored after it."""
    await bot.start(failpoint)
    assert await bot.ended(LIFE_SECONDS) == -signal.SIGKILL, bot.words()
    rows = await asyncio.to_thread(oracle.query, bot.database, "SELECT text FROM inbound")
    return {row["text"] for row in rows}


async def test_a_death_between_two_pages_loses_and_repeats_nothing(driver: Driver, tmp_path: Path) -> None:
    """Page one is stored and page two not asked for; then page two is stored, page three read and not stored."""
    async with FakeWeCom() as wecom:
        wecom.kf_api.page = 3
        for number in range(1, 9):
            wecom.customers.says(person("kf", number), f"T{number}", quiet=True)
        async with zygote(driver, tmp_path, more=wecom_settings(wecom, "kf")) as bot:
            told_to_call(wecom, bot.site.url)
            assert await _dies(bot, "inbox.after_commit:1") == {"T1", "T2", "T3"}
            assert len(wecom.calls("kf/sync_msg")) == 1
            assert await _dies(bot, "inbox.before_commit:2") == {f"T{number}" for number in range(1, 7)}
            await bot.start()
            await wecom.until(lambda: said(wecom, "kf") == once(*range(1, 9)), timeout=LIFE_SECONDS)
            assert await bot.kill(signal.SIGTERM) == 0
            rows = await asyncio.to_thread(oracle.query, bot.database, "SELECT text FROM inbound")
        cursors = [call.params.get("cursor", "") for call in wecom.calls("kf/sync_msg")]
        assert cursors[0] == ""
        assert cursors[3] == cursors[2] != cursors[1] != "", "the page that was not stored is read again, no other"
        assert sorted(row["text"] for row in rows) == [f"T{number}" for number in range(1, 9)]
        assert len(wecom.messages("kf")) == 8
        assert wecom.violations == []
