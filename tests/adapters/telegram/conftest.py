"""A Telegram channel against the fake Bot API, over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from adapters.telegram.build import build
from adapters.telegram.channel import TelegramChannel
from adapters.telegram.settings import ChannelSettings
from adapters.telegram.timing import Timing
from bot.messages import ConversationRef
from tests.adapters.telegram.doubles import TOKEN, surroundings
from tests.fakes.intake import MemoryIntake
from tests.fakes.telegram_api import FakeTelegram

QUICK = Timing(
    poll=1.0, patience=1.0, first_pause=0.02, longest_pause=0.2, refused_pause=0.3, store_limit=2.0, upkeep=0.2
)

Build = Callable[..., Awaitable[TelegramChannel]]
Until = Callable[[Callable[[], object]], Awaitable[None]]
Running = Callable[[TelegramChannel], AbstractAsyncContextManager[asyncio.Task[None]]]


@pytest.fixture
async def fake() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram(token=TOKEN) as telegram:
        yield telegram


@pytest.fixture
def intake() -> MemoryIntake:
    return MemoryIntake()


@pytest.fixture
async def make(fake: FakeTelegram) -> AsyncIterator[Build]:
    """Builds channels for the fake's bot, off the loop as the product does, and closes them at the end."""
    made: list[TelegramChannel] = []

    async def make_one(*, timing: Timing = QUICK, max_body_bytes: int = 100_000, **settings: object) -> TelegramChannel:
        values = ChannelSettings.model_validate({"token": TOKEN, "api_url": fake.url, **settings})
        around = surroundings(max_body_bytes=max_body_bytes)
        channel = await asyncio.to_thread(build, values, around, timing=timing)
        made.append(channel)
        return channel

    yield make_one
    for channel in made:
        await channel.close()


@pytest.fixture
async def channel(make: Build) -> TelegramChannel:
    return await make()


@pytest.fixture
def running(intake: MemoryIntake) -> Running:
    """Runs a channel inside `async with`."""

    @asynccontextmanager
    async def run(channel: TelegramChannel) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(channel.run(intake))
        try:
            yield task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    return run


@pytest.fixture
def until() -> Until:
    """Waits until something is so, and not for ever."""

    async def wait(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(15.0):
            while not condition():
                await asyncio.sleep(0.01)

    return wait


def conversation(chat: int = 5, thread: int | str = "") -> ConversationRef:
    return ConversationRef(platform="telegram", account=TOKEN.partition(":")[0], channel=str(chat), thread=str(thread))
