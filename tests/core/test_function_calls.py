"""A change outside is made once, whatever happens to the process: the real core on a real SQLite file."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from bot.clock import SystemClock
from bot.dialogue.calls import Calls
from bot.dialogue.endings import Endings
from bot.dialogue.functions.registry import Functions
from bot.dialogue.hearing import hear
from bot.dialogue.moment import Moment
from bot.dialogue.phrases import Phrases
from bot.dialogue.settings import DialogueSettings
from bot.dialogue.ticketing import Ticketing
from bot.history.database import Database
from bot.history.function_calls import StoredCalls
from bot.history.tables import conversations, function_calls, history, people, turns
from bot.messages import FunctionCall, IncomingMessage, MessageKind, Turn, TurnResult
from bot.ports import CallLog, SnapshotSink
from bot.telemetry import Metrics
from tests.core.house import House, address, copy_database, new_database, open_house
from tests.core.test_turns import CLOCK, LIN, PLACE, said, until
from tests.dialogue.people import CallsInMemory
from tests.dialogue.shop import Shop
from tests.fakes.channel import MemoryChannel

# -- The log --


@pytest.fixture(params=["in memory", "stored"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CallLog]:
    if request.param == "in memory":
        yield CallsInMemory()
        return
    now = CLOCK.now()
    async with Database(address(new_database(tmp_path)), metrics=Metrics()) as database:
        for table, row in (
            (people, {"id": LIN.id, "platform": "memory", "created_at": now}),
            (conversations, {"id": 1, "platform": "memory", "account": "", "channel": "7", "created_at": now}),
            (turns, {"id": "t1", "conversation_id": 1, "person_id": LIN.id, "state": "running", "started_at": now}),
        ):
            await database.write(lambda connection, t=table, r=row: connection.execute(insert(t), r))
        yield StoredCalls(database, SystemClock())


async def begin(log: CallLog, key: str) -> Any:
    return await log.begin(key, function="cancel_order", turn_id="t1", requester=LIN.id)


async def test_a_call_may_be_begun_once(log: CallLog) -> None:
    assert await log.find("t1-0") is None
    assert await begin(log, "t1-0") is None
    for record in (await log.find("t1-0"), await begin(log, "t1-0")):
        assert record is not None and record.result is None
    assert await begin(log, "t1-1") is None


async def test_what_became_of_a_call_is_remembered_as_it_was(log: CallLog) -> None:
    result = {"text": "已取消。😀", "wish": None, "ticket": {"number": "TICKET-1", "transcript": ["一", "二"]}}
    await begin(log, "t1-0")
    await log.finish("t1-0", result)
    for record in (await log.find("t1-0"), await begin(log, "t1-0")):
        assert record is not None and record.result == result


async def test_of_two_that_begin_at_a_time_one_may(log: CallLog) -> None:
    records = await asyncio.gather(*(begin(log, "t1-0") for _ in range(5)))
    assert records.count(None) == 1


# -- A house in which everybody is asked whether their order 1001 should be cancelled --


class Shopkeeper:
    """A responder and its endings, made of the real parts; the engine wants the order cancelled in every turn."""

    def __init__(self, shop: Shop, *, log: type[StoredCalls] = StoredCalls) -> None:
        self._shop = shop
        self._log = log
        self._opened = asyncio.Event()

    def open(self, house: House) -> None:
        phrases, settings = Phrases(), DialogueSettings()
        ticketing = Ticketing(tickets=house.desk, phrases=phrases, settings=settings, clock=CLOCK)
        self._functions = Functions(self._shop.functions(), log=self._log(house.database, CLOCK), clock=CLOCK)
        self._calls = Calls(self._functions, ticketing, phrases=phrases, clock=CLOCK)
        self._endings = Endings(phrases, settings, house.desk, ticketing, CLOCK)
        self._opened.set()

    def expect(self, message: IncomingMessage) -> None:
        """Nothing is searched for."""

    async def respond(self, turn: Turn, show: SnapshotSink) -> TurnResult:
        await self._opened.wait()
        state = type(turn.state)(language="zh")
        moment = Moment(turn=turn, heard=hear(turn), language="zh", state=state, show=show)
        if result := await self._calls.settled(moment) or await self._calls.answered(moment):
            return result
        call = FunctionCall(name="cancel_order", arguments={"order_no": "1001"})
        return await self._calls.wanted(moment, self._functions.parse(call, turn.collections), wish=0.0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._endings, name)


@contextlib.asynccontextmanager
async def house(path: Path, channel: MemoryChannel, keeper: Shopkeeper) -> AsyncIterator[House]:
    async with open_house(path, [channel], keeper, clock=CLOCK) as opened:  # type: ignore[arg-type]
        keeper.open(opened)
        yield opened


async def agree(opened: House, channel: MemoryChannel) -> None:
    """The customer asks, is shown the action, and says yes."""
    await opened.inbox.accept([said("取消订单 1001", 1)])
    await until(lambda: channel.texts(PLACE))
    assert "取消订单 1001" in channel.texts(PLACE)[-1]
    await opened.inbox.accept([said("好的", 2)])


async def rows(opened: House) -> list[Any]:
    return list(await opened.database.read(lambda connection: connection.execute(select(function_calls)).all()))


async def test_a_change_is_written_down_under_the_person_it_was_made_for(tmp_path: Path) -> None:
    channel, shop = MemoryChannel(), Shop()
    async with house(new_database(tmp_path), channel, Shopkeeper(shop)) as opened:
        await agree(opened, channel)
        await until(lambda: "订单 1001 已取消。" in channel.texts(PLACE))
        [row] = await rows(opened)
        [(who, _, key)] = shop.cancelled
        assert (row.key, row.person_id, row.function, who) == (key, LIN.id, "cancel_order", LIN.id)
        assert row.result["text"] == "订单 1001 已取消。" and row.finished_at >= row.started_at
        told = await opened.database.read(
            lambda connection: connection.execute(
                select(history.c.name, history.c.text).where(history.c.role == "function")
            ).all()
        )
        assert told == [("cancel_order", "订单 1001 已取消。")]


async def test_a_crash_while_it_is_made_leaves_it_to_a_person(tmp_path: Path) -> None:
    before, after = tmp_path / "a", tmp_path / "b"
    before.mkdir()
    after.mkdir()
    channel, shop = MemoryChannel(), Shop()
    shop.mishap = 60.0
    async with house(new_database(before), channel, Shopkeeper(shop)) as opened:
        await agree(opened, channel)
        await until(lambda: shop.cancelled)
        copied = copy_database(before / "kefu.db", after)
        channel.dead = True
    second, untouched = MemoryChannel(), Shop()
    async with house(copied, second, Shopkeeper(untouched)) as opened:
        await until(lambda: second.texts(PLACE))
        [told] = second.texts(PLACE)
        [ticket] = await opened.desk.list()
        assert not untouched.cancelled
        assert "没能确认" in told and ticket.number in told and "取消订单 1001" in ticket.subject
        await opened.inbox.accept([said("好的", 3)])
        await until(lambda: len(second.texts(PLACE)) == 2)
        assert not untouched.cancelled, "a second yes is to the second question"
        [row] = await rows(opened)
        assert row.result is None and row.finished_at is None


async def test_a_crash_after_it_was_made_tells_what_was_done(tmp_path: Path) -> None:
    finished = asyncio.Event()

    class DiesAfterwards(StoredCalls):
        async def finish(self, key: str, result: Mapping[str, Any]) -> None:
            await super().finish(key, result)
            finished.set()
            await asyncio.Event().wait()

    before, after = tmp_path / "a", tmp_path / "b"
    before.mkdir()
    after.mkdir()
    channel, shop = MemoryChannel(), Shop()
    async with house(new_database(before), channel, Shopkeeper(shop, log=DiesAfterwards)) as opened:
        await agree(opened, channel)
        async with asyncio.timeout(5):
            await finished.wait()
        copied = copy_database(before / "kefu.db", after)
        channel.dead = True
    second, untouched = MemoryChannel(), Shop()
    async with house(copied, second, Shopkeeper(untouched)) as opened:
        await until(lambda: second.texts(PLACE))
        assert second.texts(PLACE) == ["订单 1001 已取消。"]
        assert not untouched.cancelled and not await opened.desk.list()


@pytest.mark.parametrize(
    "interruption",
    [
        pytest.param(said("", 3, kind=MessageKind.STOP), id="stop"),
        pytest.param(said("不用了", 2, keys=("edit",), kind=MessageKind.EDIT), id="edited into a no"),
    ],
)
async def test_an_interruption_while_it_is_made_leaves_it_to_a_person(tmp_path: Path, interruption: Any) -> None:
    channel, shop = MemoryChannel(), Shop()
    async with house(new_database(tmp_path), channel, Shopkeeper(shop)) as opened:
        shop.mishap = 60.0
        await agree(opened, channel)
        await until(lambda: shop.cancelled)
        await opened.inbox.accept([interruption])
        await until(lambda: len(channel.texts(PLACE)) == 2)
        [ticket] = await opened.desk.list()
        assert "没能确认" in channel.texts(PLACE)[-1] and ticket.number in channel.texts(PLACE)[-1]
        await opened.inbox.accept([said("好的", 4)])
        await until(lambda: len(channel.texts(PLACE)) == 3)
        assert len(shop.cancelled) == 1
