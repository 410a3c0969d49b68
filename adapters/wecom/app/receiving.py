"""What WeCom tells the app: stored, then acknowledged with an empty 200. Everything slow happens elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web

from adapters.wecom.app.parsing import Malformed, Press, Reading, parse
from adapters.wecom.app.settings import CALLBACK_PATH
from adapters.wecom.callbacks import Callback, CallbackRefused, read_xml
from adapters.wecom.timing import Timing
from bot.errors import StoreUnavailable
from bot.ports import Intake
from bot.telemetry import get_logger

log = get_logger(__name__)


class Doorway:
    """The address that WeCom calls."""

    def __init__(
        self, *, callback: Callback, reading: Reading, timing: Timing, on_press: Callable[[Press], None]
    ) -> None:
        self._callback = callback
        self._reading = reading
        self._timing = timing
        self._on_press = on_press

    def routes(self, intake: Intake) -> list[web.RouteDef]:
        async def verify(request: web.Request) -> web.Response:
            return self._callback.answer_verification(request)

        async def handle(request: web.Request) -> web.Response:
            try:
                return await self._handle(request, intake)
            except CallbackRefused as refused:
                return web.Response(status=refused.status)

        return [web.get(CALLBACK_PATH, verify, allow_head=False), web.post(CALLBACK_PATH, handle)]

    async def _handle(self, request: web.Request, intake: Intake) -> web.Response:
        opened = await self._callback.open(request)
        if opened.again:
            return web.Response()
        try:
            parsed = parse(read_xml(opened.plain), self._reading)
        except Malformed as where:
            log.warning("wecom_app.callback_malformed", where=str(where))
            raise CallbackRefused(HTTPStatus.BAD_REQUEST) from None
        if parsed.message is None:
            log.debug("wecom_app.callback_ignored", reason=parsed.ignored)
        else:
            try:
                async with asyncio.timeout(self._timing.store_limit):
                    await intake.accept((parsed.message,))
            except (StoreUnavailable, TimeoutError):
                log.warning("wecom_app.store_unavailable")
                return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)  # WeCom comes again
        self._callback.settled(request)
        if parsed.press is not None:
            self._on_press(parsed.press)
        return web.Response()
