"""Receiving by webhook: Telegram posts each update, and repeats it until we say that we have stored it."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web
from telegram.error import TelegramError

from adapters.bodies import BodyRefused, read_bounded
from adapters.telegram.api import Api
from adapters.telegram.parsing import Press
from adapters.telegram.reading import Reader
from adapters.telegram.settings import WEBHOOK_PATH
from adapters.telegram.standing import Standing
from adapters.telegram.timing import Backoff, Timing
from adapters.telegram.wire import Refused
from bot.errors import StoreUnavailable
from bot.ports import Intake, Sleep
from bot.telemetry import get_logger

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
_BODY_LIMIT = 30.0
"""Seconds for a body to arrive."""
_IN_THREAD = 64 * 1024
"""Bytes. Decoding more than this would hold up the event loop for over a millisecond."""

log = get_logger(__name__)


class Webhook:
    """The receiver of a bot that Telegram calls."""

    def __init__(
        self,
        *,
        api: Api,
        reader: Reader,
        standing: Standing,
        url: str,
        secret: str,
        max_body_bytes: int,
        on_presses: Callable[[tuple[Press, ...]], None],
        sleep: Sleep,
        timing: Timing,
    ) -> None:
        self._api = api
        self._reader = reader
        self._standing = standing
        self._url = url
        self._secret = secret
        self._max_body_bytes = max_body_bytes
        self._on_presses = on_presses
        self._sleep = sleep
        self._timing = timing

    # -- Upkeep --

    async def run(self) -> None:
        """Registers the webhook and looks after it until cancelled."""
        backoff = Backoff(self._timing)
        registered = False
        while True:
            pause = self._timing.upkeep
            try:
                registered = await self._look_after(registered)
                backoff.reset()
            except Refused as refused:
                pause = max(backoff.pause(), refused.retry_after or 0.0)
                if refused.code in (401, 404):
                    self._standing.refuse()
                    pause = self._timing.refused_pause
                else:
                    self._standing.failed("unreachable", f"Telegram refuses the webhook: {refused.message}")
            except TelegramError as error:
                self._standing.failed("unreachable", f"Telegram can not be reached: {error.message}")
                pause = backoff.pause()
            except Exception as error:  # a defect must not end the upkeep
                log.exception("telegram.upkeep_failed", error=type(error).__name__)
                self._standing.failed("defect", "looking after the webhook failed; see the log")
                pause = backoff.pause()
            await self._sleep(pause)

    async def _look_after(self, registered: bool) -> bool:
        if self._reader.me is None:
            self._reader.me = await self._api.me()
        # Set once in every process, for the secret may be another one than the last time.
        if not registered or await self._api.webhook_url() != self._url:
            if registered:
                log.warning("telegram.webhook_lost")
            await self._api.set_webhook(self._url, self._secret)
        self._standing.heard()
        return True

    # -- Calls --

    def routes(self, intake: Intake) -> list[web.RouteDef]:
        async def handle(request: web.Request) -> web.Response:
            return await self._handle(request, intake)

        return [web.post(WEBHOOK_PATH, handle)]

    async def _handle(self, request: web.Request, intake: Intake) -> web.Response:
        if not self._is_telegram(request):
            return _answer(HTTPStatus.UNAUTHORIZED)
        try:
            body = await read_bounded(request, limit=self._max_body_bytes, seconds=_BODY_LIMIT)
        except BodyRefused as refused:
            return _answer(refused.status)
        update = await _decoded(body)
        if not isinstance(update, dict) or type(update.get("update_id")) is not int:
            return _answer(HTTPStatus.BAD_REQUEST)
        if self._reader.me is None:
            return _answer(HTTPStatus.SERVICE_UNAVAILABLE)  # not started yet: Telegram comes again
        batch = self._reader.read([update])
        if batch.messages:
            try:
                async with asyncio.timeout(self._timing.store_limit):
                    await intake.accept(batch.messages)
            except (StoreUnavailable, TimeoutError):
                log.warning("telegram.store_unavailable")
                return _answer(HTTPStatus.SERVICE_UNAVAILABLE)
        self._reader.remember(batch)
        self._on_presses(batch.presses)
        return _answer(HTTPStatus.OK)

    def _is_telegram(self, request: web.Request) -> bool:
        """Exactly one header with our secret. Compared as bytes: any text at all may stand there."""
        shown = request.headers.getall(SECRET_HEADER, [])
        said = shown[0].encode("utf-8", "surrogateescape") if shown else b""
        right = hmac.compare_digest(said, self._secret.encode())
        return right and len(shown) == 1


async def _decoded(body: bytes) -> Any:
    """The JSON value, or None where there is none."""
    try:
        return await asyncio.to_thread(json.loads, body) if len(body) > _IN_THREAD else json.loads(body)
    except (ValueError, RecursionError):
        return None


def _answer(status: HTTPStatus) -> web.Response:
    return web.Response(status=status)
