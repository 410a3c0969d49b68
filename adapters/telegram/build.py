"""Puts the Telegram channel together. Only from here on is python-telegram-bot imported: it takes a second."""

from __future__ import annotations

import asyncio
import logging

from adapters.telegram.api import Api
from adapters.telegram.channel import Presses, TelegramChannel
from adapters.telegram.pacing import Pacer
from adapters.telegram.polling import Poller
from adapters.telegram.reading import Reader
from adapters.telegram.sending import Sender
from adapters.telegram.settings import ChannelSettings
from adapters.telegram.standing import Standing
from adapters.telegram.timing import Timing
from adapters.telegram.webhook import Webhook
from bot.ports import Sleep, Surroundings


def build(
    settings: ChannelSettings,
    surroundings: Surroundings,
    *,
    timing: Timing | None = None,
    sleep: Sleep = asyncio.sleep,
) -> TelegramChannel:
    """The channel, without a connection yet. `timing` and `sleep` are for tests."""
    _silence_libraries()
    timing = timing or Timing()
    clock = surroundings.clock
    token = settings.token.get_secret_value()
    api = Api(token, settings.api_url, timing)
    standing = Standing(clock)
    reader = Reader(collections=settings.collections, now=clock.now)
    presses = Presses()
    receiver: Poller | Webhook
    if settings.transport == "webhook":
        receiver = Webhook(
            api=api,
            reader=reader,
            standing=standing,
            url=settings.webhook_url,
            secret=settings.webhook_secret.get_secret_value(),
            max_body_bytes=surroundings.max_body_bytes,
            on_presses=presses.put,
            sleep=sleep,
            timing=timing,
        )
    else:
        receiver = Poller(
            api=api,
            reader=reader,
            standing=standing,
            account=settings.account,
            on_presses=presses.put,
            clock=clock,
            sleep=sleep,
            timing=timing,
        )
    return TelegramChannel(
        account=settings.account,
        api=api,
        receiver=receiver,
        sender=Sender(api, Pacer(clock, sleep), standing),
        presses=presses,
        standing=standing,
        sleep=sleep,
        timing=timing,
    )


def _silence_libraries() -> None:
    """Below WARNING, httpx logs addresses, which hold the token, and the library logs customers' words."""
    for name in ("httpx", "httpcore", "telegram"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
