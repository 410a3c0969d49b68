"""Bolt, with what it may not decide taken out of its hands.

Left alone it acknowledges an event before anybody has looked at it, answers 404 to kinds of events that nobody listens
to, drops what comes from a workspace it has no token for, and logs whole bodies. So the message is stored in a
middleware that runs before everything else: only what it lets through reaches Bolt's listeners, which show pages and
dialogues; a payload that has no listener is acknowledged there and then.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.middleware.async_middleware import AsyncMiddleware
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

from adapters.slack.errands import Errands
from adapters.slack.interactions import TICKET_DETAILS, TICKET_SHORTCUT
from adapters.slack.pages import Pages
from adapters.slack.receiving import Received, Receiver
from bot.errors import StoreUnavailable
from bot.ports import Intake
from bot.telemetry import get_logger

_INTAKE = "kefu_intake"
_RECEIVED = "kefu_received"

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What Slack is told: 200 with what goes into the acknowledgement, or that it has to come again."""

    status: int = HTTPStatus.OK
    payload: Mapping[str, Any] | None = None


class Dispatcher:
    """Takes payloads that are surely Slack's, from the HTTP door and from the sockets."""

    def __init__(self, *, receiver: Receiver, pages: Pages, errands: Errands) -> None:
        self._pages = pages
        self._errands = errands
        quiet = logging.getLogger("adapters.slack.bolt")
        quiet.setLevel(logging.CRITICAL)  # what it would say holds bodies; we log what went wrong ourselves
        self._app = AsyncApp(
            name="kefu",
            logger=quiet,
            before_authorize=_Store(receiver),
            authorize=_authorize,
            request_verification_enabled=False,  # done before, over bytes: adapters.slack.signature
            ssl_check_enabled=False,
            url_verification_enabled=False,
            ignoring_self_events_enabled=False,  # adapters.slack.parsing knows them, and other bots
            attaching_function_token_enabled=False,
            attaching_conversation_kwargs_enabled=False,
        )
        self._app.event("app_home_opened")(self._home_opened)
        self._app.action(TICKET_DETAILS)(self._details_wanted)
        self._app.message_shortcut(TICKET_SHORTCUT)(self._ticket_wanted)

    async def dispatch(self, body: Mapping[str, Any], intake: Intake) -> Answer:
        """Never raises anything but CancelledError. 200: whatever had to be kept is kept."""
        try:
            # "socket_mode" means to Bolt that the body is decoded and trusted, which it is either way.
            request = AsyncBoltRequest(mode="socket_mode", body=dict(body), context={_INTAKE: intake})
        except Exception as error:  # noqa: BLE001 - a shape that Bolt can not look at; it would not come right the next time
            log.warning("slack.payload_malformed", where=type(error).__name__)
            return Answer()
        response = await self._app.async_dispatch(request)
        if response.status != HTTPStatus.OK:
            return Answer(status=response.status)
        received: Received | None = request.context.get(_RECEIVED)
        if received is not None and (whisper := received.whisper) is not None:
            self._errands.put(lambda: self._pages.whisper(whisper.conversation, whisper.user, whisper.text))
        return Answer(payload=received.answer if received is not None else None)

    # -- What Bolt's listeners do: hand on --

    async def _home_opened(self, context: AsyncBoltContext) -> None:
        received: Received = context[_RECEIVED]
        event = received.event
        assert event is not None  # the middleware lets nothing else through
        account, user = event.place.account, event.user
        if event.home_opened == "messages":
            self._errands.put(lambda: self._pages.suggestions(account, user, event.channel))
        else:
            self._errands.put(lambda: self._pages.home(account, user, received.reading))

    async def _details_wanted(self, ack: AsyncAck, context: AsyncBoltContext) -> None:
        await ack()
        received: Received = context[_RECEIVED]
        wanted = received.interaction
        assert wanted is not None
        self._errands.put(
            lambda: self._pages.details(
                wanted.place.account, wanted.user, wanted.details, wanted.trigger, received.reading
            )
        )

    async def _ticket_wanted(self, ack: AsyncAck, context: AsyncBoltContext) -> None:
        await ack()
        wanted = context[_RECEIVED].interaction
        about = wanted.about
        self._errands.put(lambda: self._pages.form(wanted.place.account, wanted.user, about, wanted.trigger))


class _Store(AsyncMiddleware):
    """Stores, and lets through only what is to be shown."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def async_process(
        self,
        *,
        req: AsyncBoltRequest,
        resp: BoltResponse,
        next: Callable[[], Awaitable[BoltResponse]],  # noqa: A002
    ) -> BoltResponse | None:
        try:
            received = await self._receiver.receive(req.body, req.context[_INTAKE])
        except (StoreUnavailable, TimeoutError):
            log.warning("slack.store_unavailable")
            return BoltResponse(status=HTTPStatus.SERVICE_UNAVAILABLE)
        except Exception as error:  # a defect: nothing is acknowledged, so that a mended version is told again
            log.exception("slack.receiving_failed", error=type(error).__name__)
            return BoltResponse(status=HTTPStatus.INTERNAL_SERVER_ERROR)
        req.context[_RECEIVED] = received
        if _is_shown(received):
            return await next()
        return BoltResponse(status=HTTPStatus.OK)


def _is_shown(received: Received) -> bool:
    if received.event is not None:
        return bool(received.event.home_opened)
    done = received.interaction
    return done is not None and bool(done.trigger) and bool(done.details or (done.about and not done.message))


async def _authorize(context: AsyncBoltContext) -> AuthorizeResult:
    """Bolt needs no token: our own `Api` calls Slack."""
    return AuthorizeResult(enterprise_id=context.enterprise_id, team_id=context.team_id)
