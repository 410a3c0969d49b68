"""WeCom's calls: they only say that there is something to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from adapters.wecom.callbacks import Callback, CallbackRefused, read_xml
from adapters.wecom.kf.settings import CALLBACK_PATH, SECTION
from bot.telemetry import get_logger

_EVENT = "kf_msg_or_event"
_LONGEST_TOKEN = 512

log = get_logger(__name__)


class Receiver:
    """Serves the callback. Nothing is stored here and nothing has to be: what a call is about stays with WeCom until
    it is read, so the call is acknowledged at once, whatever the database does."""

    def __init__(self, callback: Callback, *, on_call: Callable[[str, str], None]) -> None:
        """:param on_call: is told the account and the token to read with."""
        self._callback = callback
        self._on_call = on_call

    def routes(self) -> list[web.RouteDef]:
        return [web.get(CALLBACK_PATH, self._verify), web.post(CALLBACK_PATH, self._handle)]

    async def _verify(self, request: web.Request) -> web.Response:
        return self._callback.answer_verification(request)

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            opened = await self._callback.open(request)
            fields = read_xml(opened.plain)
        except CallbackRefused as refused:
            return web.Response(status=refused.status)
        if not opened.again:
            self._take(fields)
            self._callback.settled(request)
        return web.Response()

    def _take(self, fields: Mapping[str, Any]) -> None:
        event, account, token = (fields.get(name) for name in ("Event", "OpenKfId", "Token"))
        if event != _EVENT or not isinstance(account, str) or not isinstance(token, str):
            log.debug("wecom.call_ignored", channel=SECTION)
            return
        self._on_call(account.strip(), token.strip()[:_LONGEST_TOKEN])
