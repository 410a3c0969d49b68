"""For `kefu doctor`: what of an AI bot can be checked from here, without ending the connection of the one that runs."""

from __future__ import annotations

import asyncio

import aiohttp

from adapters.wecom.bot.settings import CALLBACK_PATH, SECTION, ChannelSettings
from adapters.wecom.bot.timing import BotTiming
from adapters.wecom.crypto import Cipher
from adapters.wecom.reachability import callback_finding
from adapters.wecom.wire import Refused, Transport, WeComError
from bot.errors import KefuError

_TOKEN_MISSING = frozenset({40014, 41001})


async def check(settings: ChannelSettings, *, public_url: str = "") -> str:
    """What was found, e.g. "bot aib…, websocket: WeCom answers; …".

    A subscription would prove the secret, and put the bot that runs out of its place: it is never tried here.

    :param public_url: `http.public_url`; without it the callback is not tried.
    :raises KefuError: WeCom can not be reached, or the callback is answered by something else; the text says why.
    """
    if settings.transport == "websocket":
        await _knock(settings.ws_url)
        return (
            f"bot {settings.bot_id}, websocket: WeCom answers; whether it takes the secret, the running bot's log says"
        )
    await _ask(settings.api_url)
    finding = await callback_finding(
        public_url,
        CALLBACK_PATH,
        section=SECTION,
        token=settings.token.get_secret_value(),
        cipher=Cipher(settings.aes_key.get_secret_value(), ""),
    )
    return f"bot {settings.bot_id}, callback: WeCom's API answers; {finding}"


async def _knock(url: str) -> None:
    """Opens a connection, says nothing, and closes it: only a subscription takes anybody's place."""
    timing = BotTiming()
    try:
        async with (
            asyncio.timeout(timing.connect + timing.ack),
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.ws_connect(url, timeout=aiohttp.ClientWSTimeout(ws_close=1.0)),
        ):
            return
    except aiohttp.WSServerHandshakeError as error:
        raise KefuError(f"WeCom's long connection can not be opened: HTTP {error.status}") from None
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise KefuError(f"WeCom's long connection can not be opened: {type(error).__name__}") from None


async def _ask(url: str) -> None:
    """A call without a token, which WeCom refuses: it is there."""
    transport = Transport(url=url, timing=BotTiming(answer=10.0))
    try:
        await transport.get("cgi-bin/getcallbackip", {"access_token": ""})
    except Refused as refused:
        if refused.errcode not in _TOKEN_MISSING:
            raise KefuError(f"WeCom's API answers with an error ({refused})") from None
    except WeComError as error:
        raise KefuError(f"WeCom's API can not be reached ({error})") from None
    finally:
        await transport.close()
