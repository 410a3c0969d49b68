"""Receiving over HTTP: Slack posts events, clicks and commands, and comes again until we say that we have them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from adapters.bodies import BodyRefused, read_bounded
from adapters.slack.dispatch import Answer, Dispatcher
from adapters.slack.settings import EVENTS_PATH
from adapters.slack.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, verified
from bot.ports import Clock, Intake
from bot.telemetry import get_logger

ANSWER_LIMIT = 2.9
"""Seconds. After three Slack takes it for lost and comes again anyway."""
_BODY_LIMIT = 10.0
"""Seconds for a body to arrive."""
_IN_THREAD = 64 * 1024
"""Bytes. Decoding more than this would hold up the event loop for over a millisecond."""
_FIELDS = 100
_FORM = "application/x-www-form-urlencoded"

log = get_logger(__name__)


class Doorway:
    """The route that Slack calls."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        secret: str,
        max_body_bytes: int,
        clock: Clock,
        heard: Callable[[], None] = lambda: None,
        limit: float = ANSWER_LIMIT,
    ) -> None:
        """
        :param heard: told of every call that was surely Slack's.
        """
        self._dispatcher = dispatcher
        self._secret = secret.encode()
        self._max_body_bytes = max_body_bytes
        self._clock = clock
        self._heard = heard
        self._limit = limit

    def routes(self, intake: Intake) -> list[web.RouteDef]:
        async def handle(request: web.Request) -> web.Response:
            return await self._handle(request, intake)

        return [web.post(EVENTS_PATH, handle)]

    async def _handle(self, request: web.Request, intake: Intake) -> web.Response:
        timestamps = request.headers.getall(TIMESTAMP_HEADER, [])
        signatures = request.headers.getall(SIGNATURE_HEADER, [])
        if not timestamps or not signatures:
            return _status(HTTPStatus.UNAUTHORIZED)
        try:
            body = await read_bounded(request, limit=self._max_body_bytes, seconds=_BODY_LIMIT)
        except BodyRefused as refused:
            return _status(refused.status)
        now = self._clock.now().timestamp()
        if not verified(self._secret, timestamps, signatures, body, now=now):
            return _status(HTTPStatus.UNAUTHORIZED)
        self._heard()
        payload = await _decoded(body, form=request.content_type == _FORM)
        if payload is None:
            return _status(HTTPStatus.BAD_REQUEST)
        if payload.get("type") == "url_verification":
            challenge = payload.get("challenge")
            if not isinstance(challenge, str):
                return _status(HTTPStatus.BAD_REQUEST)
            return web.json_response({"challenge": challenge})
        if payload.get("ssl_check") == "1":
            return _status(HTTPStatus.OK)
        return _response(await self._answer(payload, intake))

    async def _answer(self, payload: Mapping[str, Any], intake: Intake) -> Answer:
        try:
            async with asyncio.timeout(self._limit):
                return await self._dispatcher.dispatch(payload, intake)
        except TimeoutError:
            log.warning("slack.too_slow")
            return Answer(status=HTTPStatus.SERVICE_UNAVAILABLE)


async def _decoded(body: bytes, *, form: bool) -> dict[str, Any] | None:
    """The payload: JSON, the JSON in a form's `payload` (a click), or the form itself (a command). None for anything
    else."""
    work = _form if form else _json
    found = await asyncio.to_thread(work, body) if len(body) > _IN_THREAD else work(body)
    return found if isinstance(found, dict) else None


def _json(body: bytes | str) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _form(body: bytes) -> object:
    try:
        fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
    except ValueError:
        return None
    if any(len(values) != 1 for values in fields.values()) or not fields:
        return None
    if "payload" in fields:
        return _json(fields["payload"][0])
    return {name: values[0] for name, values in fields.items()}


def _status(status: HTTPStatus) -> web.Response:
    return web.Response(status=status)


def _response(answer: Answer) -> web.Response:
    if answer.status != HTTPStatus.OK or answer.payload is None:
        return web.Response(status=answer.status)
    return web.json_response(answer.payload)
