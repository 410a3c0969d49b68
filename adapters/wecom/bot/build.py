"""Puts the AI bot's channel together."""

from __future__ import annotations

import asyncio

from adapters.wecom.bot.answering import Answerer
from adapters.wecom.bot.callback import Doorway
from adapters.wecom.bot.channel import BotChannel, CalledChannel, ConnectedChannel
from adapters.wecom.bot.hearing import Hearing
from adapters.wecom.bot.keeper import Keeper
from adapters.wecom.bot.lease import Lease
from adapters.wecom.bot.posting import Poster
from adapters.wecom.bot.receiving import Receiver
from adapters.wecom.bot.rows import Rows
from adapters.wecom.bot.sending import Speaker
from adapters.wecom.bot.settings import SECTION, ChannelSettings
from adapters.wecom.bot.sockets import Sockets
from adapters.wecom.bot.streams import Streams
from adapters.wecom.bot.timing import BotTiming
from adapters.wecom.callbacks import Callback
from adapters.wecom.crypto import Cipher
from adapters.wecom.pacing import Pacer
from adapters.wecom.wire import Transport
from bot.ports import Sleep, Surroundings


def build(
    settings: ChannelSettings,
    surroundings: Surroundings,
    *,
    timing: BotTiming | None = None,
    sleep: Sleep = asyncio.sleep,
) -> BotChannel:
    """The channel, without a connection yet. `timing` and `sleep` are for tests."""
    timing, clock = timing or BotTiming(), surroundings.clock
    rows = Rows(surroundings.database, settings.bot_id, clock)
    receiver = Receiver(
        bot_id=settings.bot_id,
        name=settings.name,
        collections=settings.collections,
        rows=rows,
        clock=clock,
        timing=timing,
    )
    pacer = Pacer(clock, sleep, patience=timing.patience)
    if settings.transport == "callback":
        return _called(settings, surroundings, receiver, rows, pacer, timing, sleep)
    return _connected(settings, surroundings, receiver, rows, pacer, timing, sleep)


def _connected(
    settings: ChannelSettings,
    surroundings: Surroundings,
    receiver: Receiver,
    rows: Rows,
    pacer: Pacer,
    timing: BotTiming,
    sleep: Sleep,
) -> ConnectedChannel:
    clock = surroundings.clock
    lease = Lease(f"{SECTION}:{settings.bot_id}", surroundings.database, clock=clock, sleep=sleep, timing=timing)
    sockets = Sockets(
        url=settings.ws_url,
        bot_id=settings.bot_id,
        secret=settings.secret.get_secret_value(),
        read=receiver.read,
        lease=lease,
        clock=clock,
        sleep=sleep,
        timing=timing,
    )
    streams = Streams(sockets, rows, clock=clock, sleep=sleep, timing=timing)
    receiver.turn_of = streams.turn_of
    speaker = Speaker(sockets=sockets, streams=streams, rows=rows, pacer=pacer, clock=clock, sleep=sleep, timing=timing)
    return ConnectedChannel(
        account=settings.bot_id,
        sockets=sockets,
        hearing=Hearing(receiver, speaker, sleep=sleep, timing=timing),
        keeper=Keeper(streams, rows, pacer, lease=lease, clock=clock, sleep=sleep, timing=timing),
        sender=speaker,
        rows=rows,
        sleep=sleep,
        timing=timing,
    )


def _called(
    settings: ChannelSettings,
    surroundings: Surroundings,
    receiver: Receiver,
    rows: Rows,
    pacer: Pacer,
    timing: BotTiming,
    sleep: Sleep,
) -> CalledChannel:
    clock = surroundings.clock
    callback = Callback(
        token=settings.token.get_secret_value(),
        cipher=Cipher(settings.aes_key.get_secret_value(), ""),
        form="json",
        clock=clock,
        timing=timing,
        max_body_bytes=surroundings.max_body_bytes,
    )
    poster = Poster(Transport(url=settings.api_url, timing=timing), rows, timing)
    answerer = Answerer(rows=rows, poster=poster, pacer=pacer, clock=clock, timing=timing)
    doorway = Doorway(
        callback=callback,
        receiver=receiver,
        answerer=answerer,
        rows=rows,
        api_url=settings.api_url,
        timing=timing,
    )
    return CalledChannel(
        account=settings.bot_id,
        doorway=doorway,
        poster=poster,
        answering=answerer,
        sender=answerer,
        rows=rows,
        sleep=sleep,
        timing=timing,
    )
