"""Puts the Slack channel together. Only from here on are slack_bolt and slack_sdk imported: they take half a second."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime

from adapters.slack.api import Api
from adapters.slack.channel import SlackChannel
from adapters.slack.dispatch import Dispatcher
from adapters.slack.errands import Errands
from adapters.slack.http import Doorway
from adapters.slack.installations import Installations
from adapters.slack.lines import Opener
from adapters.slack.oauth import OAuthDoor, rotator
from adapters.slack.pacing import Pacer
from adapters.slack.pages import Pages
from adapters.slack.people import People
from adapters.slack.places import Places
from adapters.slack.reading import Place
from adapters.slack.receiving import Receiver
from adapters.slack.sending import Sender
from adapters.slack.settings import ChannelSettings
from adapters.slack.sockets import Sockets
from adapters.slack.standing import FixedToken
from adapters.slack.stores import InstallationRows, Locker, StateRows
from adapters.slack.timing import Timing
from adapters.slack.wire import Transport
from bot.ports import Sleep, Surroundings


def build(
    settings: ChannelSettings,
    surroundings: Surroundings,
    *,
    timing: Timing | None = None,
    sleep: Sleep = asyncio.sleep,
) -> SlackChannel:
    """The channel, without a connection yet. `timing` and `sleep` are for tests."""
    _silence_libraries()
    timing, clock = timing or Timing(), surroundings.clock
    transport = Transport(url=settings.api_url, timing=timing)
    tokens: FixedToken | Installations
    installing: OAuthDoor | None = None
    if settings.many:
        tokens, installing = _workspaces(settings, surroundings, transport, timing)
    else:
        token = settings.bot_token.get_secret_value()
        tokens = FixedToken(token, transport=transport, clock=clock, timing=timing)
    api = Api(url=settings.api_url, tokens=tokens, timing=timing, transport=transport)
    sender = Sender(api, Pacer(clock, sleep), clock=clock, timing=timing)
    people, errands = People(api=api, clock=clock), Errands()

    async def uninstalled(place: Place, reason: str, at: datetime) -> None:
        if isinstance(tokens, Installations):
            await tokens.uninstalled(place, reason, at)
        else:
            tokens.revoked(place.account, reason)

    receiver = Receiver(
        many=settings.many,
        collections=settings.collections,
        guests=settings.guests,
        shared_channels=settings.shared_channels,
        me=tokens.bot_user if isinstance(tokens, Installations) else _not_known,
        people=people,
        places=Places(api=api, shared=settings.shared_channels),
        engaged=surroundings.records,
        uninstalled=uninstalled,
        stopped=sender.stopped,
        asked=sender.remember,
        clock=clock,
        store_limit=timing.store_limit,
        began=sender.began,
    )
    pages = Pages(api=api, tickets=surroundings.tickets, people=people)
    dispatcher = Dispatcher(receiver=receiver, pages=pages, errands=errands)
    return SlackChannel(
        api=api,
        receiver=_transport(settings, surroundings, dispatcher, transport, timing, sleep),
        sender=sender,
        errands=errands,
        tokens=tokens,
        installing=installing,
        sleep=sleep,
        timing=timing,
    )


def _workspaces(
    settings: ChannelSettings, surroundings: Surroundings, transport: Transport, timing: Timing
) -> tuple[Installations, OAuthDoor]:
    installations = Installations(
        rows=InstallationRows(settings.client_id, surroundings.database, Locker(settings.keys)),
        rotator=rotator(settings, timing),
        transport=transport,
        clock=surroundings.clock,
        timing=timing,
    )
    door = OAuthDoor(
        settings=settings,
        installations=installations,
        states=StateRows(surroundings.database),
        public_url=surroundings.public_url,
        timing=timing,
    )
    return installations, door


def _transport(
    settings: ChannelSettings,
    surroundings: Surroundings,
    dispatcher: Dispatcher,
    transport: Transport,
    timing: Timing,
    sleep: Sleep,
) -> Sockets | Doorway:
    clock = surroundings.clock
    if settings.transport == "http":
        return Doorway(
            dispatcher=dispatcher,
            secret=settings.signing_secret.get_secret_value(),
            max_body_bytes=surroundings.max_body_bytes,
            clock=clock,
        )
    token = settings.app_token.get_secret_value()
    opener = Opener(transport=transport, token=token, clock=clock, sleep=sleep, timing=timing)
    return Sockets(
        opener=opener, dispatcher=dispatcher, count=settings.sockets, clock=clock, sleep=sleep, timing=timing
    )


def _not_known(account: str) -> str:
    """In one workspace every event says who we are there."""
    return ""


def _silence_libraries() -> None:
    """Below WARNING they log bodies, which hold people's words and tokens."""
    for name in ("slack_sdk", "slack_bolt"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
