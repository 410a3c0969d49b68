"""Puts the 微信客服 channel together."""

from __future__ import annotations

import asyncio

from adapters.wecom.callbacks import Callback
from adapters.wecom.client import make_client
from adapters.wecom.crypto import Cipher
from adapters.wecom.kf.accounts import Accounts
from adapters.wecom.kf.channel import KfChannel
from adapters.wecom.kf.errands import Errands
from adapters.wecom.kf.holding import Holding
from adapters.wecom.kf.parsing import Reading
from adapters.wecom.kf.people import People
from adapters.wecom.kf.receiving import Receiver
from adapters.wecom.kf.sending import Sender
from adapters.wecom.kf.settings import SECTION, ChannelSettings
from adapters.wecom.kf.sorting import Sorter
from adapters.wecom.kf.syncing import Puller, Unhurried
from adapters.wecom.kf.timing import Timing
from adapters.wecom.kf.windows import Windows
from bot.ports import Sleep, Surroundings


def build(
    settings: ChannelSettings,
    surroundings: Surroundings,
    *,
    timing: Timing | None = None,
    sleep: Sleep = asyncio.sleep,
) -> KfChannel:
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
    windows = Windows(surroundings.database, clock, limit=timing.store_limit)
    holding = Holding(client, hand_over_to=settings.hand_over_to)
    errands = Errands(
        client=client,
        database=surroundings.database,
        metrics=surroundings.metrics,
        clock=clock,
        sleep=sleep,
        timing=timing,
    )
    unhurried = Unhurried(clock, sleep, timing.looks)

    def make_puller(open_kfid: str) -> Puller:
        return Puller(
            reading=Reading(corp_id=settings.corp_id, open_kfid=open_kfid, collections=settings.collections),
            client=client,
            sorter=Sorter(windows, holding, People(client)),
            unhurried=unhurried,
            errands=errands,
            clock=clock,
            sleep=sleep,
            timing=timing,
        )

    accounts = Accounts(client=client, make_puller=make_puller, clock=clock, sleep=sleep, timing=timing)
    callback = Callback(
        token=settings.token.get_secret_value(),
        cipher=Cipher(settings.aes_key.get_secret_value(), settings.corp_id),
        form="xml",
        clock=clock,
        timing=timing,
        max_body_bytes=surroundings.max_body_bytes,
    )
    return KfChannel(
        account=settings.corp_id,
        client=client,
        standing=standing,
        receiver=Receiver(callback, on_call=accounts.call),
        accounts=accounts,
        errands=errands,
        sender=Sender(client=client, windows=windows, holding=holding, clock=clock, timing=timing),
        timing=timing,
    )
