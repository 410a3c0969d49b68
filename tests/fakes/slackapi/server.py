"""The fake's HTTP face: `/api/<method>` with faults, response URLs, files."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

from aiohttp import web

from tests.fakes.faults import go_wrong
from tests.fakes.slackapi.chat import Handler
from tests.fakes.slackapi.errors import RateLimited, Refused
from tests.fakes.slackapi.faults import Fault, Faults
from tests.fakes.slackapi.oauth import OAuth
from tests.fakes.slackapi.params import Params, arguments
from tests.fakes.slackapi.places import Caller
from tests.fakes.slackapi.rates import Rates
from tests.fakes.slackapi.state import TEAM, Call, Json, State, Token
from tests.fakes.slackapi.streams import Streams
from tests.fakes.slackapi.tokens import SCOPES, Tokens


class Server:
    """Answers the bot."""

    def __init__(
        self, state: State, tokens: Tokens, faults: Faults, rates: Rates, oauth: OAuth, streams: Streams,
        methods: dict[str, Handler],
    ) -> None:  # fmt: skip
        self._state = state
        self._tokens = tokens
        self._faults = faults
        self._rates = rates
        self._oauth = oauth
        self._streams = streams
        self._methods = methods | {"api.test": lambda params, caller: {"args": params.raw}, "oauth.v2.access": _no}
        self.closing = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One call of the Web API."""
        method = request.match_info["method"]
        try:
            params = await arguments(request, method)
        except Refused as refusal:
            return _sent(None, 200, _refusal_body(refusal), refusal)
        call = self._state.begin(method, {key: value for key, value in params.items() if key != "token"})
        bearer = _bearer(request, params)
        token = self._state.tokens.get(bearer)
        call.team = token.team if token else ""
        try:
            return await self._answer(request, call, Params(call.params), bearer)
        finally:
            self._state.touch()

    async def _answer(self, request: web.Request, call: Call, params: Params, bearer: str) -> web.StreamResponse:
        fault = self._faults.pick(call)
        if fault is not None:
            call.fault = fault.kind
            if fault.kind == "stream_dies":
                self._streams.dies(call.channel, call.ts)
        if fault is None or fault.kind in {"slow", "stream_dies"}:
            if fault is not None and fault.kind == "slow":
                await self.pause(fault.seconds)
            return self._apply(request, call, params, bearer)
        body = b'{"ok":true}'
        if fault.apply:
            body = self._apply(request, call, params, bearer).body  # type: ignore[assignment]  # it is bytes here
            call.status = 0
        return await self._go_wrong(request, call, fault, body)

    def _apply(self, request: web.Request, call: Call, params: Params, bearer: str) -> web.Response:
        """The true answer."""
        token: Token | None = None
        try:
            handler = self._methods.get(call.method)
            if handler is None:
                raise Refused("unknown_method", req_method=call.method)
            token = self._tokens.judge(call.method, bearer)
            self._rates.check(call.method, call.team, call.channel)
            if call.method == "oauth.v2.access":
                result = self._oauth.access(params, request.headers.get("Authorization", ""))
            else:
                result = handler(params, self._caller(token, call))
        except Refused as refusal:
            call.error = refusal.error
            return _sent(call, 200, _refusal_body(refusal), refusal, token)
        call.applied = True
        return _sent(call, 200, json.dumps({"ok": True, **result}, ensure_ascii=False).encode(), None, token)

    def _caller(self, token: Token | None, call: Call) -> Caller:
        token = token or Token(value="", kind="none", team="")
        return Caller(token=token, team=self._state.team(token.team or TEAM), call=call)

    async def _go_wrong(self, request: web.Request, call: Call, fault: Fault, body: bytes) -> web.StreamResponse:
        if fault.kind in {"ratelimited", "error"}:
            refusal = fault.refusal()
            call.error = refusal.error
            return _sent(call, 200, _refusal_body(refusal), refusal)
        return await go_wrong(request, call, fault, body, self.pause)

    async def pause(self, seconds: float) -> None:
        """Sleeps, but not beyond the fake's own end."""
        await self._state.wait(self.closing, seconds)

    async def file(self, request: web.Request) -> web.Response:
        """GET /files/<id>: a file's bytes, for a token with `files:read`; a page to sign in for everybody else."""
        token = self._state.tokens.get(_bearer(request, {}))
        content = self._state.contents.get(request.match_info["file"])
        if token is None or token.error or "files:read" not in token.scopes:
            return web.Response(text="<html>Sign in to Slack</html>", content_type="text/html")
        if content is None:
            return web.Response(status=404)
        return web.Response(body=content, content_type="application/octet-stream")


def _no(params: Params, caller: Caller) -> Json:
    """oauth.v2.access is answered from the headers too, beside the table."""
    return {}


def _bearer(request: web.Request, params: Json) -> str:
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    # Slack reads a token from a form, never from a JSON body.
    return str(params.get("token") or "") if request.content_type != "application/json" else ""


def _refusal_body(refusal: Refused) -> bytes:
    return json.dumps({"ok": False, "error": refusal.error, **refusal.fields}).encode()


def _sent(
    call: Call | None, status: int, body: bytes, refusal: Refused | None = None, token: Token | None = None
) -> web.Response:
    headers = {"x-slack-req-id": "fake"}
    if token is not None:
        headers["x-oauth-scopes"] = ",".join(sorted(token.scopes))
        headers["x-accepted-oauth-scopes"] = ",".join(SCOPES.get(call.method if call else "", ()))
    if isinstance(refusal, RateLimited):
        status = 429
        if refusal.retry_after is not None:
            after: Any = refusal.retry_after
            headers["Retry-After"] = str(int(after) if _whole(after) else after)
    if call is not None:
        call.status = status
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8", headers=headers)


def _whole(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value == int(value)
