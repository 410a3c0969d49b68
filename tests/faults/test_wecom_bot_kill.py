"""F1 on WeCom's AI bot: the process is killed in the middle, again and again, on both transports.

Over callbacks WeCom comes again, and every reply stands there once. Over the long connection it says everything once
and takes no answer over another connection: what had not been stored is asked again by people, and a reply that may
have arrived is said once more in a message of its own, and never a third time.
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

from adapters.wecom.bot.settings import CALLBACK_PATH
from bot.failpoints import NAMES
from tests.fakes.wecom_aibot import FakeAiBot, Fault
from tests.fakes.wecom_api import FakeWeCom
from tests.faults import oracle, seeds
from tests.faults.slack_rig import until
from tests.faults.wecom_bot_office import Office, bot_settings, time_passes
from tests.faults.wecom_bot_rig import CALLBACK, WEBSOCKET, BotRig, faster, person
from tests.faults.zygote import Driver, Zygote, zygote

LIFE_SECONDS = 15.0
MESSAGES_A_LIFE = 6
BOTH = pytest.mark.parametrize("transport", [CALLBACK, WEBSOCKET])


async def _begins(bot: Zygote, rig: BotRig, office: Office, failpoint: str = "") -> None:
    """A life, and whom its predecessor did not hear writes again."""
    await asyncio.to_thread(time_passes, bot.database)
    await bot.start(failpoint)
    if rig.aibot is not None:
        deadline = time.monotonic() + LIFE_SECONDS
        while rig.aibot.links.live is None and await bot.ended(0.05) is None and time.monotonic() < deadline:
            pass
        if rig.aibot.links.live is not None:
            await office.asks_again()


async def _dies_at_work(bot: Zygote, office: Office) -> bool:
    """Waits for the life's death. False: it has done all there was to do, and lives."""
    idle = 0
    deadline = time.monotonic() + LIFE_SECONDS
    while idle < 2 and time.monotonic() < deadline:
        if not bot.pid or await bot.ended(0.1) is not None:
            return True
        idle = idle + 1 if await office.is_idle() else 0
    await bot.kill()
    return False


async def _life(bot: Zygote, rig: BotRig, office: Office, chance: random.Random, point: str) -> str:
    """One life and its death; where it came."""
    if rig.called is not None:
        office.writes(MESSAGES_A_LIFE)
    await _begins(bot, rig, office, f"{point}:{chance.randint(1, 4)}" if point else "")
    if rig.aibot is not None and rig.aibot.links.live is not None:
        office.writes(MESSAGES_A_LIFE)
    more_later = asyncio.create_task(office.writes_later(2, chance.uniform(0.1, 0.6)))
    died = "random"
    if point:
        died = point if await _dies_at_work(bot, office) else "none"
    else:
        await asyncio.sleep(chance.uniform(0.3, 2.0))
        await bot.kill()
    if rig.aibot is not None:
        died_at = time.monotonic()
        rig.aibot.links.kill()
        await more_later
        await office.check_heard(died_at)
    await more_later
    return died


async def _run(driver: Driver, folder: Path, rig: BotRig, kills: int) -> None:
    wecom = rig.aibot or rig.caller
    transport = WEBSOCKET if rig.aibot is not None else CALLBACK
    chance, report = seeds.begin(f"F1 wecom_bot {transport}")
    async with zygote(driver, folder, seed=report.seed, latency=(0.0, 0.3), more=bot_settings(wecom)) as bot:
        rig.path = bot.database
        if rig.called is not None:
            rig.called.bot.url = bot.site.url + CALLBACK_PATH
        office, fired = Office(rig, bot, chance), Counter[str]()
        points = cycle(chance.sample(sorted(NAMES), len(NAMES)))
        for number in range(kills):
            fired[await _life(bot, rig, office, chance, next(points) if number % 3 < 2 else "")] += 1
        await _begins(bot, rig, office)
        rested = await office.rest()
        await asyncio.sleep(0.5)
        assert await bot.kill(signal.SIGTERM) == 0, bot.words()
        messages = [{"text": text} for text in rig.texts()]
        verdict = await asyncio.to_thread(oracle.judge, bot.database, office.told, messages)
        report.counts |= {"kills": kills, "fired": dict(fired), "unheard": office.unheard, **verdict.counts()}
        report["rested"] = f"{rested:.0f} s"
        report.print()
        assert not verdict.broken, f"{verdict.broken}\n{report}\n{bot.words()}"
        # What a killed process has perhaps said by itself nobody says a third time: operators decide.
        assert verdict.operators <= (0 if transport == CALLBACK else kills), f"{report}\n{bot.words(20000)}"
        assert verdict.acked == office.written
        assert kills - fired["none"] >= kills / 2, "most kills have to hit"
        if transport == CALLBACK:
            assert verdict.extra == 0, f"a reply stands there twice\n{report}\n{bot.words()}"
        elif rig.wecom.answering.survive:
            twice = {token for token, copies in rig.said().items() if copies > 1}
            assert twice <= await office.apart(), f"a stream of its own was passed over\n{report}\n{bot.words()}"
        else:
            # A stream over another connection than its own is refused; a fake that is kinder is asked in the long form.
            assert verdict.extra <= kills * MESSAGES_A_LIFE
        assert wecom.violations == []


async def _over_callbacks(driver: Driver, folder: Path, kills: int) -> None:
    async with FakeWeCom() as wecom:
        wecom.feed.attempts, wecom.feed.pause = 1000, 0.2
        wecom.chats.poll_seconds = 0.3
        await _run(driver, folder, BotRig(path=folder, called=wecom), kills)


async def _over_the_connection(driver: Driver, folder: Path, kills: int, *, survive: bool) -> None:
    async with FakeAiBot() as aibot:
        aibot.answering.survive = survive
        aibot.rates.subscribes = (60.0, 1000)
        await _run(driver, folder, BotRig(path=folder, aibot=aibot), kills)


async def test_kills_lose_nothing_and_double_nothing_over_callbacks(driver: Driver, tmp_path: Path) -> None:
    await _over_callbacks(driver, tmp_path, 3)


async def test_kills_lose_nothing_over_the_long_connection(driver: Driver, tmp_path: Path) -> None:
    await _over_the_connection(driver, tmp_path, 3, survive=False)


@pytest.mark.faults
@pytest.mark.timeout(1800)
async def test_forty_kills_lose_nothing_and_double_nothing_over_callbacks(driver: Driver, tmp_path: Path) -> None:
    await _over_callbacks(driver, tmp_path, 40)


@pytest.mark.faults
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("survive", [False, True], ids=["strict", "kind"])
async def test_forty_kills_lose_nothing_over_the_long_connection(driver: Driver, tmp_path: Path, survive: bool) -> None:
    await _over_the_connection(driver, tmp_path, 40, survive=survive)


@BOTH
async def test_a_reply_whose_sender_is_killed_again_and_again_stands_there_once(
    driver: Driver, tmp_path: Path, transport: str
) -> None:
    """Each time when it has just been sent, and before the core has written that down."""
    async with FakeAiBot() as aibot, FakeWeCom() as wecom:
        rig = BotRig(path=tmp_path, aibot=aibot) if transport == WEBSOCKET else BotRig(path=tmp_path, called=wecom)
        wecom.chats.poll_seconds = 0.3
        async with zygote(driver, tmp_path, more=bot_settings(rig.aibot or wecom)) as bot:
            wecom.bot.url = bot.site.url + CALLBACK_PATH
            office = Office(rig, bot, random.Random(0))
            for number in range(4):
                await _begins(bot, rig, office, "send.after:1")
                if not number:
                    await bot.ready()
                    rig.says(1, "slow 0.7 T1")
                await bot.ended(LIFE_SECONDS if number < 2 else 5.0)
                if bot.pid:
                    await bot.kill()
            await _begins(bot, rig, office)
            await bot.ready()
            await office.rest()
            assert await bot.kill(signal.SIGTERM) == 0
            states = await _states(bot)
        assert rig.said() == {"T1": 1}
        assert states == ["sent"]
        assert (rig.aibot or wecom).violations == []


async def test_no_reply_is_said_a_third_time(driver: Driver, tmp_path: Path) -> None:
    """Each life is killed while it waits for an acknowledgement that does not come: in the stream, and then twice in
    messages of its own, had the second of them not been left to the operators."""
    async with FakeAiBot() as aibot:
        rig = BotRig(path=tmp_path, aibot=aibot)
        lost = [
            aibot.faults.add(Fault(kind="no_ack", method=method, contains="完", apply=True, times=1))
            for method in ("aibot_respond_msg", "aibot_send_msg")
        ]
        async with zygote(driver, tmp_path, more=bot_settings(aibot)) as bot:
            office = Office(rig, bot, random.Random(0))
            await _begins(bot, rig, office)
            rig.says(1, "slow 0.7 T1")
            await aibot.until(lambda: lost[0].fired == 1, timeout=LIFE_SECONDS)
            await bot.kill()
            await _begins(bot, rig, office)
            await aibot.until(lambda: lost[1].fired == 1, timeout=LIFE_SECONDS)
            await bot.kill()
            await _begins(bot, rig, office)
            await office.rest()
            assert await bot.kill(signal.SIGTERM) == 0
            assert await _states(bot) == ["failed"]
        assert rig.said() == {"T1": 2}
        assert aibot.violations == []


async def _states(bot: Zygote) -> list[str]:
    rows = await asyncio.to_thread(oracle.query, bot.database, "SELECT state FROM deliveries")
    return [row["state"] for row in rows]


async def test_a_process_that_is_killed_loses_its_place_to_the_one_that_stands_by(
    driver: Driver, tmp_path: Path
) -> None:
    """The second takes over when the first has counted on no more for so long. Nobody is kicked."""
    timing = faster(apart=1.05, lease_beat=0.2, lease_life=5.0)
    async with FakeAiBot() as aibot, zygote(driver, tmp_path, more=bot_settings(aibot)) as bot:
        await bot.start()
        await bot.ready()
        await aibot.until(lambda: aibot.links.live, timeout=LIFE_SECONDS)
        rig = BotRig(path=bot.database, aibot=aibot, timing=timing)
        async with rig.life(connected=False):
            await until(lambda: "stands by" in rig.channel.health().detail)
            rig.says(1, "T1")
            await aibot.until(lambda: aibot.texts(person(1)))
            await asyncio.sleep(1.0)
            assert aibot.links.subscribed == 1
            await bot.kill()
            killed = time.monotonic()
            await until(rig.is_heard, 3 * timing.lease_life)
            took = time.monotonic() - killed
            rig.says(2, "T2")
            await rig.rest(growing=False)
        print(f"taken over after {took:.1f} s")
        assert took <= timing.lease_life + 2.0
        assert rig.said() == {"T1": 1, "T2": 1}
        assert (aibot.links.subscribed, aibot.links.kicked) == (2, 0)
        assert aibot.violations == []
