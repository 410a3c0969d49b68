"""A bot with nothing in it, for the fake's own tests: it calls qyapi as it is told, and answers callbacks."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import aiohttp
import xmltodict
from aiohttp import web
from wechatpy.enterprise.crypto import WeChatCrypto

from tests.fakes.platform import Port
from tests.fakes.wecomapi.sealing import Endpoint
from tests.fakes.wecomapi.state import Json


class Asking:
    """Calls qyapi with the token of one secret."""

    def __init__(self, api_url: str, corp_id: str, secret: str, http: aiohttp.ClientSession) -> None:
        self.url = f"{api_url}/cgi-bin"
        self.corp_id, self.secret = corp_id, secret
        self.http = http
        self.token = ""

    async def gettoken(self) -> Json:
        """A token, kept for the calls after this."""
        asked = {"corpid": self.corp_id, "corpsecret": self.secret}
        async with self.http.get(f"{self.url}/gettoken", params=asked) as response:
            answer: Json = await response.json()
        self.token = answer.get("access_token", "")
        return answer

    async def __call__(self, method: str, **arguments: object) -> Json:
        """The answer, whatever it is."""
        if not self.token:
            await self.gettoken()
        query = {"access_token": self.token}
        async with self.http.post(f"{self.url}/{method}", json=arguments, params=query) as response:
            assert response.status == 200, f"{method}: {response.status}"
            answer: Json = await response.json()
            return answer

    async def ok(self, method: str, **arguments: object) -> Json:
        """The answer of a call that must work."""
        answer = await self(method, **arguments)
        assert answer["errcode"] == 0, answer
        return answer

    async def refused(self, method: str, **arguments: object) -> int:
        """WeCom's code for a call that must not work."""
        answer = await self(method, **arguments)
        assert answer["errcode"] != 0, answer
        return int(answer["errcode"])

    async def look(self, method: str, **query: str) -> Json:
        """A GET."""
        if not self.token:
            await self.gettoken()
        async with self.http.get(f"{self.url}/{method}", params={"access_token": self.token, **query}) as response:
            answer: Json = await response.json()
            return answer


class Listening:
    """The bot's callback addresses. Everything is read and answered by wechatpy."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        """What the callbacks said, in order: XML and JSON as dicts."""
        self.raw: list[bytes] = []
        self.status = 200
        self.seconds = 0.0
        self.answer: Callable[[Any], str | Json | None] = lambda heard: None
        """What is answered to it: XML as text for the app, an object for the AI bot, None for nothing."""
        self._port = Port(0)
        self._endpoints: dict[str, Endpoint] = {}

    async def listen(self, *endpoints: Endpoint) -> Self:
        await self._port.open([web.route("*", "/{name}", self._handle)])
        for endpoint in endpoints:
            endpoint.url = f"{self._port.url}/{endpoint.name}"
            self._endpoints[endpoint.name] = endpoint
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._port.close()

    async def _handle(self, request: web.Request) -> web.Response:
        endpoint, query = self._endpoints[request.match_info["name"]], request.query
        crypto = WeChatCrypto(endpoint.token, endpoint.aes_key, endpoint.receive_id)
        signed = (query["msg_signature"], query["timestamp"], query["nonce"])
        if request.method == "GET":
            return web.Response(text=crypto.check_signature(*signed, query["echostr"]))
        body = await request.read()
        self.raw.append(body)
        in_json = endpoint.form == "json"
        sealed: Any = {"Encrypt": json.loads(body)["encrypt"]} if in_json else body
        plain = crypto.decrypt_message(sealed, *signed)
        heard = json.loads(plain) if in_json else xmltodict.parse(plain)["xml"]
        self.heard.append(heard)
        answer = self.answer(heard)
        await asyncio.sleep(self.seconds)
        if answer is None or self.status != 200:
            return web.Response(status=self.status)
        words = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        return self._sealed(crypto, words, query["nonce"], in_json=in_json)

    def _sealed(self, crypto: WeChatCrypto, words: str, nonce: str, *, in_json: bool) -> web.Response:
        now = int(time.time())
        made = crypto.encrypt_message(words, nonce, str(now))
        if not in_json:
            return web.Response(text=made, content_type="text/xml")
        parts = xmltodict.parse(made)["xml"]
        reply = {"encrypt": parts["Encrypt"], "msgsignature": parts["MsgSignature"], "timestamp": now, "nonce": nonce}
        return web.json_response(reply)
