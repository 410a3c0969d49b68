"""`kefu doctor` looks, and leaves the running bot where it is."""

from __future__ import annotations

import asyncio

import pytest

from adapters.wecom.bot.checking import check
from adapters.wecom.bot.settings import ChannelSettings
from bot.errors import KefuError
from tests.adapters.wecom.bot.house import Bench, until
from tests.adapters.wecom.bot.samples import WAYS
from tests.fakes.wecom_aibot import FakeAiBot
from tests.fakes.wecom_api import FakeWeCom


async def test_the_running_bot_keeps_its_connection(bench: Bench, aibot: FakeAiBot) -> None:
    settings = ChannelSettings(bot_id=aibot.bot_id, secret=aibot.secret, ws_url=aibot.ws_url)  # type: ignore[arg-type]
    async with bench.running() as run:
        line = await check(settings)
        assert "WeCom answers" in line
        assert aibot.secret not in line
        await asyncio.sleep(0.3)
        assert run.channel.health().up
        aibot.people.says("T1")
        await until(lambda: aibot.texts("zhangsan"))
    assert aibot.links.kicked == 0
    assert aibot.violations == []


async def test_callbacks_are_checked_as_far_as_they_can_be(wecom: FakeWeCom) -> None:
    settings = ChannelSettings.model_validate({**WAYS["callback"], "api_url": wecom.api_url})
    assert "WeCom's API answers" in await check(settings)


@pytest.mark.parametrize("way", WAYS)
async def test_nobody_there_is_said_in_words(way: str) -> None:
    with pytest.raises(KefuError, match="WeCom"):
        await check(ChannelSettings.model_validate(WAYS[way]))
