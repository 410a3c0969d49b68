"""Puts the channel of a WeCom app together."""

from __future__ import annotations

import asyncio

from adapters.wecom.app.channel import AppChannel
from adapters.wecom.app.parsing import Reading
from adapters.wecom.app.presses import Presses
from adapters.wecom.app.receiving import Doorway
from adapters.wecom.app.sending import Sender
from adapters.wecom.app.settings import SECTION, ChannelSettings
from adapters.wecom.app.twins import Twins
from adapters.wecom.callbacks import Callback
from adapters.wecom.client import make_client
from adapters.wecom.crypto import Cipher
from adapters.wecom.pacing import Pacer
from adapters.wecom.timing import Timing
from bot.ports import Sleep, Surroundings


def build(
    settings: ChannelSettings,
    surroundings: Surroundings,
    *,
    timing: Timing | None = None,
    sleep: Sleep = asyncio.sleep,
) -> AppChannel:
    """The channel, without a connection yet. `timing` and `sleep` are for tests."""
    timing = timing or Timing()
    clock = surroundings.clock
    client, standing = make_client(
        url=settings.api_url,
        corp_id=settings.corp_id,
        secret=settings.secret.get_secret_value(),
        section=SECTION,
        clock=clock,
        timing=timing,
        sleep=sleep,
    )
    presses = Presses(client, settings.agent_id)
    callback = Callback(
        token=settings.token.get_secret_value(),
        cipher=Cipher(settings.aes_key.get_secret_value(), settings.corp_id),
        form="xml",
        clock=clock,
        timing=timing,
        max_body_bytes=surroundings.max_body_bytes,
    )
    reading = Reading(corp_id=settings.corp_id, agent_id=settings.agent_id, collections=settings.collections)
    return AppChannel(
        account=settings.account,
        agent_id=settings.agent_id,
        client=client,
        standing=standing,
        doorway=Doorway(callback=callback, reading=reading, timing=timing, on_press=presses.put),
        sender=Sender(
            client=client,
            agent_id=settings.agent_id,
            pacer=Pacer(clock, sleep, patience=timing.patience),
            twins=Twins(surroundings.database, clock),
            timing=timing,
        ),
        presses=presses,
        sleep=sleep,
        timing=timing,
    )
