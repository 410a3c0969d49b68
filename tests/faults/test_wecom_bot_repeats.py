"""F2 on WeCom's AI bot: it calls three times, each time encrypted anew, and asks for every answer again and again."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from adapters.wecom.bot.settings import CALLBACK_PATH
from tests.fakes.tcp_proxy import CLEAN, Behaviour, TcpProxy
from tests.fakes.wecom_api import Exchange
from tests.faults import seeds
from tests.faults.processes import free_port
from tests.faults.slack_rig import until
from tests.faults.store_faults import locked
from tests.faults.wecom_bot_rig import CALLBACK, WEBSOCKET, bot_rig, faster, person, served
from tests.faults.wecom_rig import once

pytestmark = pytest.mark.usefixtures("quick_repeats")

UNHEARD = Behaviour(cut_after=0)
"""What we answer is lost on its way to WeCom."""


@pytest.mark.parametrize("lost", [2, 3])
async def test_three_calls_that_are_encrypted_anew_are_one_message(tmp_path: Path, lost: int) -> None:
    """WeCom hears us at the third time, or never: then it gives up, and the answer goes where it still can."""
    port = free_port()
    async with TcpProxy(port) as door, bot_rig(tmp_path, CALLBACK, port=port, door=door.url) as rig:
        if lost == 3:
            rig.timing = faster(fetch=0.5, stream_life=1.0)  # nobody comes for it
        async with rig.life():
            door.behave(UNHEARD)
            rig.caller.feed.pause = 0.15
            asked = rig.says(1, "ticket T1")
            assert isinstance(asked, Exchange)
            call = asked.delivery
            assert call is not None
            await rig.caller.until(lambda: len(call.attempts) == lost and call.attempts[-1].seconds)
            door.behave(CLEAN)
            await rig.caller.until(lambda: call.fate)
            assert call.fate == ("gave_up" if lost == 3 else "acknowledged")
            assert len(call.attempts) == 3
            await rig.rest()
            assert await rig.stored() == once(1)
            assert rig.said() == once(1)
            assert len(await rig.query("SELECT number FROM tickets")) == 1
            assert len(rig.caller.calls("aibot/response", applied=True)) == (lost == 3)


async def test_a_locked_database_has_wecom_come_again(tmp_path: Path) -> None:
    async with bot_rig(tmp_path, CALLBACK, timing=faster(store_limit=0.3)) as rig, rig.life():
        rig.caller.feed.pause = 0.6
        async with locked(rig.path):
            asked = rig.says(1, "T1")
            assert isinstance(asked, Exchange)
            call = asked.delivery
            assert call is not None
            await rig.caller.until(lambda: call.attempts and call.attempts[0].seconds)
        await rig.rest()
        assert call.attempts[0].status == 503
        assert rig.said() == once(1)


async def _is_acknowledged_at_once(folder: Path, seconds: float, patience: float) -> None:
    async with bot_rig(folder, CALLBACK) as rig:
        rig.caller.feed.ack_seconds = patience
        async with rig.life():
            asked = rig.says(1, f"slow {seconds} T1")
            assert isinstance(asked, Exchange)
            await rig.rest(seconds + 30)
            await asyncio.sleep(0.3)
        assert asked.delivery is not None
        [attempt] = asked.delivery.attempts
        assert attempt.seconds < min(1.0, patience)
        assert asked.slowest < min(1.0, patience)
        assert asked.refreshes >= seconds - 1
        assert not asked.expired
        assert rig.texts() == ["T1 完"]
        assert rig.caller.calls() == [], "it was handed over, and not posted too"


async def test_an_answer_of_four_patiences_is_acknowledged_at_once_and_arrives_once(tmp_path: Path) -> None:
    await _is_acknowledged_at_once(tmp_path, 3.0, 0.75)


@pytest.mark.faults
async def test_an_answer_of_twenty_seconds_is_acknowledged_at_once_and_arrives_once(tmp_path: Path) -> None:
    await _is_acknowledged_at_once(tmp_path, 20.0, 5.0)


async def test_refreshes_are_served_by_whichever_of_two_is_asked(tmp_path: Path) -> None:
    """Every poll reaches the other one; the answer is the same, and its end is handed over once."""
    async with bot_rig(tmp_path, CALLBACK) as rig, rig.life(), AsyncExitStack() as stack:
        other = rig.another()
        stack.push_async_callback(other.close)
        urls = [rig.caller.bot.url.removesuffix(CALLBACK_PATH)]
        urls.append(await stack.enter_async_context(served(other, rig.house.inbox)))
        asked = [rig.says(number, f"slow 1.2 T{number}") for number in range(1, 6)]
        turn = 0
        while await rig.open_work() or not all(isinstance(one, Exchange) and one.finished for one in asked):
            turn += 1
            rig.caller.bot.url = urls[turn % 2] + CALLBACK_PATH
            await asyncio.sleep(0.06)
        await rig.rest()
        assert rig.said() == once(*range(1, 6))
        assert max(one.slowest for one in asked if isinstance(one, Exchange)) < 1.0
        assert rig.caller.calls() == []
        assert await rig.states() == {"sent": 5}


async def _repeated(folder: Path, transport: str, messages: int, lives: int) -> None:
    chance, report = seeds.begin(f"F2 wecom_bot {transport}")
    async with bot_rig(folder, transport) as rig:
        written, repeats, asked = 0, 0, []
        for _ in range(lives):
            async with rig.life():
                for _ in range(messages // lives):
                    written += 1
                    words = f"ticket T{written}" if written % 4 == 0 else f"T{written}"
                    asked.append(rig.says(written, words))
                repeats += await _again(rig, asked, chance, 1.0, 3)
                await rig.rest(60)
                repeats += await _again(rig, asked, chance, 0.2, 2)
                await rig.rest(60)
        stored, answered = await rig.stored(), rig.said()
        report.counts |= {"messages": written, "stored": stored.total(), "replies": answered.total()}
        report["repeats"] = repeats
        report.print()
        assert stored == once(*range(1, written + 1))
        assert answered == stored
        assert len(await rig.query("SELECT number FROM tickets")) == written // 4
        assert set(await rig.states()) == {"sent"}


async def _again(rig, asked, chance: random.Random, share: float, copies: int) -> int:  # type: ignore[no-untyped-def]
    """WeCom repeats some of all it has said, all copies of one at once; how many."""
    chosen = [one for one in asked if chance.random() < share]
    for one in chosen:
        if isinstance(one, Exchange):
            assert all(await rig.caller.feed.again(one.msgid, copies)), "a repetition was not acknowledged"
        else:
            for _ in range(copies):
                rig.wecom.people.again(one)
    await asyncio.sleep(0.3)
    return len(chosen) * copies


@pytest.mark.parametrize("transport", [WEBSOCKET, CALLBACK])
async def test_redelivery_is_answered_once(tmp_path: Path, transport: str) -> None:
    await _repeated(tmp_path, transport, 16, 2)


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("transport", [WEBSOCKET, CALLBACK])
async def test_redelivery_is_answered_once_long(tmp_path: Path, transport: str) -> None:
    await _repeated(tmp_path, transport, 300, 3)


async def test_what_comes_in_while_the_database_is_locked_is_stored_afterwards(tmp_path: Path) -> None:
    """Over the long connection WeCom says everything once: it is kept until it can be stored, in order."""
    async with bot_rig(tmp_path, WEBSOCKET, timing=faster(store_limit=0.3)) as rig, rig.life():
        async with locked(rig.path):
            for number in range(1, 9):
                rig.says(1, f"T{number}")
            await asyncio.sleep(1.0)
        await rig.rest()
        await until(lambda: rig.said() == once(*range(1, 9)))
        words = " ".join(rig.texts(person(1))).split()
        told = [word for word in words if word in rig.told]
        assert told == sorted(told, key=lambda token: int(token[1:])), "in order"
