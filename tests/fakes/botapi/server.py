"""The fake's HTTP face: `/bot<token>/<method>` in all its transports, with faults."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from tests.fakes.botapi import feeds
from tests.fakes.botapi.errors import ApiError
from tests.fakes.botapi.faults import Fault, Faults, FloodLimits
from tests.fakes.botapi.methods import Methods
from tests.fakes.botapi.params import Params
from tests.fakes.botapi.state import Call, Json, State, visible
from tests.fakes.faults import go_wrong


class Server:
    """Answers the bot."""

    def __init__(self, state: State, methods: Methods, faults: Faults) -> None:
        self._state = state
        self._methods = methods
        self._faults = faults
        self.poll = feeds.LongPoll(state)
        self.limits: FloodLimits | None = None
        self.closing = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One call of the Bot API."""
        token, _, method = request.match_info["call"].partition("/")
        if token != self._state.token:
            known_form = ":" in token
            return _refusal(ApiError(401, "Unauthorized") if known_form else ApiError(404, "Not Found"))
        try:
            params = await _parameters(request)
        except ValueError:
            return _refusal(ApiError(400, "Bad Request: can't parse request parameters JSON object"))
        call = self._state.begin(method, params)
        try:
            return await self._answer(request, call)
        finally:
            self._state.touch()

    async def _answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        fault = self._faults.pick(call)
        if fault is not None:
            call.fault = fault.kind
        if fault is None or fault.kind == "slow":
            if fault is not None:
                await self._pause(fault.seconds)
            return _sent(call, *await self._apply(call))
        body = b'{"ok":true,"result":true}'
        if fault.apply:
            _, body = await self._apply(call)
        return await self._go_wrong(request, call, fault, body)

    async def _apply(self, call: Call) -> tuple[int, bytes]:
        """Status and body of the true answer."""
        try:
            result = await self._result(call)
        except ApiError as refusal:
            call.description = refusal.description
            return refusal.code, _refusal_body(refusal)
        call.applied = True
        call.text = _words(call, result)
        return 200, json.dumps({"ok": True, "result": result}, ensure_ascii=False).encode()

    async def _result(self, call: Call) -> Any:
        params = Params(call.params)
        match call.method.lower():
            case "getupdates":
                return await self.poll.get_updates(params)
            case "setwebhook":
                return feeds.set_webhook(self._state, params)
            case "deletewebhook":
                return feeds.delete_webhook(self._state, params)
            case "getwebhookinfo":
                return feeds.webhook_info(self._state)
        if self.limits is not None:
            self.limits.check(call)
        return self._methods.apply(call.method, params, call)

    async def _go_wrong(self, request: web.Request, call: Call, fault: Fault, body: bytes) -> web.StreamResponse:
        if fault.kind in {"flood", "error"}:
            refusal = fault.error()
            call.description = refusal.description
            return _sent(call, refusal.code, _refusal_body(refusal), refusal)
        return await go_wrong(request, call, fault, body, self._pause)

    async def _pause(self, seconds: float) -> None:
        """Sleeps, but not beyond the fake's own end."""
        await self._state.wait(self.closing, seconds)


async def _parameters(request: web.Request) -> Json:
    params: Json = dict(request.query)
    if request.method != "POST":
        return params
    if request.content_type == "application/json":
        body = await request.read()
        loaded = json.loads(body) if body else {}
        if not isinstance(loaded, dict):
            raise ValueError("not an object")
        return params | {key: value for key, value in loaded.items() if value is not None}
    form = await request.post()
    return params | {key: value if isinstance(value, str) else "(file)" for key, value in form.items()}


def _words(call: Call, result: Any) -> str:
    if isinstance(result, dict) and "message_id" in result:
        if "rich_message" in result:
            return str(result["rich_message"]["blocks"][0]["text"])
        return visible(result)
    return str(call.params.get("text", ""))


def _refusal_body(refusal: ApiError) -> bytes:
    answer: Json = {"ok": False, "error_code": refusal.code, "description": refusal.description}
    if refusal.parameters:
        answer["parameters"] = refusal.parameters
    return json.dumps(answer).encode()


def _refusal(refusal: ApiError) -> web.Response:
    return web.Response(status=refusal.code, body=_refusal_body(refusal), content_type="application/json")


def _sent(call: Call, status: int, body: bytes, refusal: ApiError | None = None) -> web.Response:
    call.status = status
    headers = {}
    if refusal is not None and refusal.parameters and "retry_after" in refusal.parameters:
        headers["Retry-After"] = str(refusal.parameters["retry_after"])
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
