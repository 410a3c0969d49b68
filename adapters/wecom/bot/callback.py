"""The receiver where WeCom calls us: verified, stored, and answered with how far the answer is."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from adapters.wecom.bot.answering import Answerer, as_bytes
from adapters.wecom.bot.parsing import Entered, Ignored, Judged, Kicked, Pressed, Refreshed, Said, response_code
from adapters.wecom.bot.phrases import language_of
from adapters.wecom.bot.receiving import Receiver
from adapters.wecom.bot.rows import Rows
from adapters.wecom.bot.settings import CALLBACK_PATH
from adapters.wecom.bot.timing import BotTiming
from adapters.wecom.callbacks import Callback, CallbackRefused, Opened, read_json
from bot import failpoints
from bot.errors import StoreUnavailable
from bot.messages import Receipt, ReceiptStatus
from bot.ports import Intake
from bot.telemetry import get_logger

_ANSWERED = frozenset({ReceiptStatus.ACCEPTED, ReceiptStatus.DUPLICATE, ReceiptStatus.SHED})

log = get_logger(__name__)


class Doorway:
    """/wecom/bot/callback."""

    def __init__(
        self,
        *,
        callback: Callback,
        receiver: Receiver,
        answerer: Answerer,
        rows: Rows,
        api_url: str,
        timing: BotTiming,
    ) -> None:
        self._callback = callback
        self._receiver = receiver
        self._answerer = answerer
        self._rows = rows
        self._api_url = api_url
        self._timing = timing

    def routes(self, intake: Intake) -> list[web.RouteDef]:
        async def verify(request: web.Request) -> web.Response:
            return self._callback.answer_verification(request)

        async def handle(request: web.Request) -> web.Response:
            return await self._handle(request, intake)

        return [web.get(CALLBACK_PATH, verify, allow_head=False), web.post(CALLBACK_PATH, handle)]

    async def _handle(self, request: web.Request, intake: Intake) -> web.Response:
        try:
            opened = await self._callback.open(request)
            body = read_json(opened.plain)
        except CallbackRefused as refused:
            return web.Response(status=refused.status)
        try:
            reply = await self._reply(body, opened, intake)
        except StoreUnavailable as error:
            log.warning("wecom.store_unavailable", reason=str(error))
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
        self._callback.settled(request)
        failpoints.reached("inbox.after_ack")
        return self._callback.sealed(as_bytes(reply), opened.nonce) if reply is not None else web.Response()

    async def _reply(self, body: Mapping[str, Any], opened: Opened, intake: Intake) -> Mapping[str, Any] | None:
        """None for an empty 200.

        :raises StoreUnavailable: WeCom comes again.
        """
        parsed = self._receiver.read(body)
        match parsed:
            case Refreshed(stream=stream):
                return await self._answerer.refreshed(stream)
            case Said():
                (receipt,) = await self._receiver.store([parsed], intake)
                return await self._opened(parsed, receipt) if receipt is not None else None
            case Entered():
                return self._answerer.welcome() if not opened.again else None
            case Pressed():
                (receipt,) = await self._receiver.store([parsed], intake)
                await self._remembered(parsed, receipt)
                return self._answerer.pressed(parsed)
            case Judged():
                await self._receiver.store([parsed], intake)
            case Ignored(reason=reason):
                log.debug("wecom.ignored", reason=reason)
            case Kicked():
                log.debug("wecom.ignored", reason="an event of long connections")
        return None

    async def _opened(self, said: Said, receipt: Receipt) -> Mapping[str, Any] | None:
        """The answer to a message begins with the answer to its callback."""
        if receipt.inbound_id is None or receipt.status not in _ANSWERED:
            return None
        shed = receipt.status is ReceiptStatus.SHED
        answer = await self._rows.begin(
            said.message.conversation,
            receipt.inbound_id,
            language=language_of(said.message.text),
            code=response_code(said.response_url, self._api_url),
            seconds=self._timing.shed_ends if shed else self._timing.stream_ends,
            shed=shed,
        )
        return self._answerer.begun(answer)

    async def _remembered(self, pressed: Pressed, receipt: Receipt | None) -> None:
        """There is no answer that grows: the reply is a message of its own, there or where else there is a way."""
        if receipt is None or receipt.inbound_id is None:
            return
        await self._rows.begin(
            pressed.message.conversation,
            receipt.inbound_id,
            language="zh",
            code=response_code(pressed.response_url, self._api_url),
            seconds=0.0,
            state="ended",
        )
