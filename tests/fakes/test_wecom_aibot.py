"""The fake AI-bot server, proved by somebody else's client (wecom-aibot-sdk-python, unpatched)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from wecom_aibot_sdk import WSClient
from wecom_aibot_sdk.types import WSClientOptions

from tests.fakes.wecom_aibot import FakeAiBot


@pytest.fixture
async def wecom() -> AsyncIterator[FakeAiBot]:
    async with FakeAiBot() as fake:
        yield fake


class Quiet:
    """The client's log, for nobody."""

    def debug(self, message: str, *args: Any) -> None: ...
    def info(self, message: str, *args: Any) -> None: ...
    def warn(self, message: str, *args: Any) -> None: ...
    def error(self, message: str, *args: Any) -> None: ...


class Bot:
    """The other party's client, and what it was told."""

    def __init__(self, wecom: FakeAiBot, **options: Any) -> None:
        about = {"bot_id": wecom.bot_id, "secret": wecom.secret, "ws_url": wecom.ws_url, "logger": Quiet()}
        self.client = WSClient(WSClientOptions(**{**about, **options}))
        self.told: asyncio.Queue[Any] = asyncio.Queue()
        self.down: list[str] = []
        self.client.on("message", self._hear)
        self.client.on("event", self._hear)
        self.client.on("disconnected", self._leave)

    async def _hear(self, frame: Any) -> None:
        await self.told.put(frame)

    async def _leave(self, frame: Any) -> None:
        self.down.append(frame.body)

    async def next(self) -> Any:
        async with asyncio.timeout(5):
            return await self.told.get()


@pytest.fixture
async def bot(wecom: FakeAiBot) -> AsyncIterator[Bot]:
    one = Bot(wecom)
    await one.client.connect_async()
    await wecom.until(lambda: wecom.links.live)
    try:
        yield one
    finally:
        await one.client.disconnect()


async def test_a_message_is_answered_with_a_growing_stream(wecom: FakeAiBot, bot: Bot) -> None:
    asked = wecom.people.says("密码忘了怎么办")
    frame = await bot.next()
    assert frame.cmd == "aibot_msg_callback"
    assert frame.body["text"] == {"content": "密码忘了怎么办"}
    assert frame.body["from"] == {"userid": "zhangsan"}
    for text in ("请", "请在登录页"):
        ack = await bot.client.reply_stream(frame, "s1", text)
        assert ack.errcode == 0
        wecom.clock.advance(1.0)
    await bot.client.reply_stream(frame, "s1", "请在登录页重设密码。", finish=True)
    [post] = wecom.answers(asked)
    assert [text for _, text in post.shown] == ["请", "请在登录页", "请在登录页重设密码。"]
    assert wecom.once("zhangsan", "重设密码").finished
    assert wecom.violations == []
