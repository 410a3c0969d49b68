"""A WeCom app's channel against the fake, over real HTTP in both directions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from adapters.wecom.app.build import build
from adapters.wecom.app.channel import AppChannel
from adapters.wecom.app.settings import CALLBACK_PATH, ChannelSettings
from adapters.wecom.timing import Timing
from bot.messages import ConversationRef
from tests.adapters.wecom.doubles import LaterDatabase, LaterIntake, serving, surroundings
from tests.adapters.wecom.samples import QUICK
from tests.fakes.intake import MemoryIntake
from tests.fakes.wecom_api import AGENT_ID, APP_SECRET, CORP_ID, FakeWeCom

ACCOUNT = f"{CORP_ID}/{AGENT_ID}"


class App:
    """The fake WeCom, and our app behind its callback."""

    def __init__(self, wecom: FakeWeCom) -> None:
        self.wecom = wecom
        self.intake = LaterIntake()
        self.memory = MemoryIntake()
        self.intake.inner = self.memory
        self.database = LaterDatabase()
        self.made: list[AppChannel] = []

    def settings(self, **changes: object) -> ChannelSettings:
        values = {
            "corp_id": CORP_ID,
            "agent_id": AGENT_ID,
            "secret": APP_SECRET,
            "token": self.wecom.app.token,
            "aes_key": self.wecom.app.aes_key,
            "api_url": self.wecom.api_url,
        }
        return ChannelSettings.model_validate({**values, **changes})

    def build(self, *, timing: Timing = QUICK, max_body_bytes: int = 100_000, **changes: object) -> AppChannel:
        around = surroundings(self.database, max_body_bytes=max_body_bytes)
        channel = build(self.settings(**changes), around, timing=timing)
        self.made.append(channel)
        return channel

    @contextlib.asynccontextmanager
    async def running(self, channel: AppChannel) -> AsyncIterator[asyncio.Task[None]]:
        """Served and looked after, inside `async with`."""
        async with serving(channel.routes(self.intake)) as server:
            self.wecom.app.url = str(server.make_url(CALLBACK_PATH))
            task = asyncio.create_task(channel.run(self.intake))
            try:
                yield task
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


@pytest.fixture
async def app() -> AsyncIterator[App]:
    async with FakeWeCom() as wecom:
        wecom.colleagues.knows("lisi")
        found = App(wecom)
        yield found
        for channel in found.made:
            await channel.close()
        assert wecom.violations == []


def conversation(user: str = "lisi") -> ConversationRef:
    return ConversationRef(platform="wecom_app", account=ACCOUNT, channel=user)
