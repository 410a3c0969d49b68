"""Puts the channel of a group's robot together."""

from __future__ import annotations

import asyncio

from adapters.wecom.pacing import ROBOT, Pacer
from adapters.wecom.standing import Standing
from adapters.wecom.timing import Timing
from adapters.wecom.webhook.channel import WebhookChannel
from adapters.wecom.webhook.robot import Robot
from adapters.wecom.webhook.settings import SECTION, ChannelSettings
from bot.ports import Sleep, Surroundings


def build(
    settings: ChannelSettings,
    surroundings: Surroundings,
    *,
    timing: Timing | None = None,
    sleep: Sleep = asyncio.sleep,
) -> WebhookChannel:
    """The channel, without a connection yet. `timing` and `sleep` are for tests."""
    timing = timing or Timing()
    standing = Standing(SECTION, clock=surroundings.clock, timing=timing)
    return WebhookChannel(
        robot=Robot(settings.url.get_secret_value(), standing=standing, timing=timing, sleep=sleep),
        standing=standing,
        pacer=Pacer(surroundings.clock, sleep, rates=ROBOT, patience=timing.patience),
        sleep=sleep,
        timing=timing,
    )
