"""For `kefu doctor`: whether our callback answers as WeCom wants it, as far as that can be seen from in here.

We call it as WeCom does when the address is entered. That shows the way through our own proxy, and the token and key
that kefu runs with; what stands between WeCom and that proxy only WeCom sees.
"""

from __future__ import annotations

import asyncio
import secrets
import time

import aiohttp

from adapters.wecom.crypto import Cipher, sign
from bot.errors import KefuError

_LIMIT = 3.0
_WECOMS_PATIENCE = 1.0


async def callback_finding(public_url: str, path: str, *, section: str, token: str, cipher: Cipher) -> str:
    """What is to be said of the callback, for the end of the doctor's line.

    :param public_url: where the product's HTTP server is reached from outside; "" when nobody said.
    :raises KefuError: something answers there, and not as it should; the text says what to look at.
    """
    if not public_url:
        return "its callback was not tried: http.public_url is not set"
    address = public_url.rstrip("/") + path
    words, begun = str(secrets.randbelow(10**18)), time.monotonic()
    try:
        async with asyncio.timeout(_LIMIT):
            status, body = await _asked(address, _challenge(words, token, cipher))
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        return f"its callback {address} does not answer from here ({type(error).__name__}): is kefu running?"
    if status in (401, 403):
        raise KefuError(f"{address} answers {status}: kefu runs there with another {section}.token or aes_key")
    if status != 200 or body != words.encode():
        raise KefuError(f"{address} is answered by something else (HTTP {status}): look at the proxy in front of kefu")
    if time.monotonic() - begun > _WECOMS_PATIENCE:
        raise KefuError(f"{address} takes longer than a second: WeCom will not wait for it")
    return f"its callback {address} answers"


def _challenge(words: str, token: str, cipher: Cipher) -> dict[str, str]:
    encrypted = cipher.encrypt(words.encode())
    timestamp, nonce = str(int(time.time())), secrets.token_hex(5)
    signature = sign(token, timestamp, nonce, encrypted)
    return {"msg_signature": signature, "timestamp": timestamp, "nonce": nonce, "echostr": encrypted}


async def _asked(address: str, query: dict[str, str]) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(address, params=query, allow_redirects=False) as answer,
    ):
        return answer.status, await answer.content.read(200)
