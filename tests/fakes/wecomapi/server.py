"""The fake's HTTP face: `/cgi-bin/<method>` with tokens and faults."""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import Any

from aiohttp import web

from tests.fakes.faults import go_wrong
from tests.fakes.wecomapi.errors import Refused
from tests.fakes.wecomapi.faults import Fault, Faults
from tests.fakes.wecomapi.params import Asked, Method
from tests.fakes.wecomapi.state import Call, Json, State
from tests.fakes.wecomapi.tokens import Tokens

_SECRETS = frozenset(["access_token", "corpsecret", "key", "response_code"])


class Server:
    """Answers the bot."""

    def __init__(self, state: State, tokens: Tokens, faults: Faults, methods: dict[str, Method]) -> None:
        self._state = state
        self._tokens = tokens
        self._faults = faults
        self._methods = methods
        self.closing = asyncio.Event()
        self.at_once = 0
        """Calls that are running now."""
        self.most_at_once = 0
        """The most that ever ran together."""
        self.together = 0
        """More calls than this at once are refused with 45033; 0: however many."""
        self.trusted = True
        """Whether our IP is in 企业可信IP; every call with a token is refused with 60020 otherwise."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One call of qyapi."""
        raw = await request.read()
        body = _json(raw)
        query = {name: value for name, value in request.query.items() if name not in _SECRETS}
        call = self._state.begin(request.match_info["method"], query | (body or {}))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._answer(request, call, body if raw else {})
        finally:
            self.at_once -= 1
            self._state.touch()

    async def _answer(self, request: web.Request, call: Call, body: Json | None) -> web.StreamResponse:
        token = request.query.get("access_token", "")
        call.token = token[-6:]
        call.secret = next((one.name for one in self._state.secrets.values() if token and one.token == token), "")
        fault = self._faults.pick(call)
        if fault is not None:
            call.fault = fault.kind
        if fault is None or fault.kind == "slow":
            if fault is not None:
                await self.pause(fault.seconds)
            return _sent(call, await self._apply(request, call, body))
        answer = b'{"errcode":0,"errmsg":"ok"}'
        if fault.apply:
            answer = json.dumps(await self._apply(request, call, body), ensure_ascii=False).encode()
        return await self._go_wrong(request, call, fault, answer)

    async def _go_wrong(self, request: web.Request, call: Call, fault: Fault, answer: bytes) -> web.StreamResponse:
        if fault.kind == "error":
            refusal = fault.refusal()
            call.errcode = refusal.errcode
            return _sent(call, _refusal(refusal))
        return await go_wrong(request, call, fault, answer, self.pause)

    async def _apply(self, request: web.Request, call: Call, body: Json | None) -> Json:
        """The true answer."""
        try:
            result = await self._result(request, call, body)
        except Refused as refusal:
            call.errcode = refusal.errcode
            return _refusal(refusal)
        call.applied = True
        return {"errcode": 0, "errmsg": "ok", **result}

    async def _result(self, request: web.Request, call: Call, body: Json | None) -> Json:
        method = self._methods.get(call.method)
        if method is None:
            self._state.breaks("unknown_method", call.method, call)
            call.status = 404
            raise web.HTTPNotFound
        if 0 < self.together < self.at_once:
            raise Refused(45033)
        if request.method != method.verb:
            raise Refused(43001 if method.verb == "GET" else 43002)
        secret = None
        if method.scope:
            secret = self._tokens.judge(request.query.get("access_token"))
            if not self.trusted:
                raise Refused(60020)
            if method.scope not in secret.scopes:
                raise Refused(48002)
        if body is None:
            self._state.breaks("json", f"{call.method}: the body is no JSON object", call)
            raise Refused(40035, "Warning: wrong json format")
        asked = Asked(state=self._state, call=call, query=dict(request.query), body=body, secret=secret)
        result = method.work(asked)
        answer: Json = await result if inspect.isawaitable(result) else result
        return answer

    async def pause(self, seconds: float) -> None:
        """Sleeps, but not beyond the fake's own end."""
        await self._state.wait(self.closing, seconds)


def _json(raw: bytes) -> Json | None:
    try:
        loaded: Any = json.loads(raw)
    except ValueError:
        return None
    return loaded if isinstance(loaded, dict) else None


def _refusal(refusal: Refused) -> Json:
    return {"errcode": refusal.errcode, "errmsg": refusal.errmsg, **refusal.fields}


def _sent(call: Call, answer: Json) -> web.Response:
    call.status = 200
    body = json.dumps(answer, ensure_ascii=False).encode()
    return web.Response(body=body, content_type="application/json", charset="utf-8")
