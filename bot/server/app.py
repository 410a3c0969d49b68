"""The aiohttp application: every route, and what holds for all of them."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from aiohttp.typedefs import Middleware

from bot.errors import NotFound, StoreUnavailable
from bot.ports import HttpChannel, Intake
from bot.server.admin import AdminToken
from bot.server.bodies import Refusal, error_response
from bot.server.feedback import FeedbackRoutes
from bot.server.health import HealthRoutes
from bot.server.ports import Desk, Exposition, FeedbackBook, Health
from bot.server.tickets import TicketRoutes
from bot.telemetry import get_logger

RETRY_SECONDS = 5
"""What a client is asked to wait while the database can not commit."""

_PREPARED = web.RequestKey("prepared", bool)
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_HEADERS = {
    "Server": "kefu",  # not which Python and aiohttp
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    # Pages bring a policy of their own; data is never a page, whatever a browser is told.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = get_logger(__name__)


def build_server(
    *,
    desk: Desk,
    feedback: FeedbackBook,
    health: Health,
    metrics: Exposition,
    admin: AdminToken,
    channels: Sequence[HttpChannel],
    intake: Intake,
    max_body_bytes: int,
    allowed_origins: Sequence[str] = (),
) -> web.Application:
    """The product's HTTP server, to be given to `bot.server.listening.listen`.

    `channels` are those that serve HTTP; `allowed_origins` are other sites whose pages may send feedback.
    """
    middlewares: tuple[Middleware, ...] = (_log_access, _answer_errors)
    application = web.Application(middlewares=middlewares, client_max_size=max_body_bytes)
    application.on_response_prepare.append(_add_headers)
    application.add_routes(HealthRoutes(health, metrics).routes())
    application.add_routes(FeedbackRoutes(feedback, frozenset(allowed_origins)).routes())
    application.add_routes(TicketRoutes(desk, admin).routes())
    for channel in channels:
        application.add_routes(channel.routes(intake))
    if any(resource.canonical == "/chat" for resource in application.router.resources()):
        application.router.add_get("/", _to_chat)
    return application


@web.middleware
async def _log_access(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Route, status and time of every request; no query, no body, no path a stranger made up, no address."""
    started = time.monotonic()
    status = 499  # as nginx writes down a client that left
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "unknown"
        write = log.debug if route in _QUIET else log.info
        milliseconds = round((time.monotonic() - started) * 1000, 1)
        write("request", method=request.method[:16], route=route, status=status, milliseconds=milliseconds)


@web.middleware
async def _answer_errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        return error_response(refusal.status, refusal.code, str(refusal), headers=refusal.headers)
    except NotFound:
        return error_response(404, "not_found", "there is no such thing")
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _as_json(error)
    except StoreUnavailable:
        if request.get(_PREPARED):
            raise  # the stream breaks off: its client comes back and asks again
        wait = {"Retry-After": str(RETRY_SECONDS)}
        return error_response(503, "unavailable", "nothing can be stored now; please try again", headers=wait)
    except ConnectionError:
        raise  # the client left
    except Exception:  # the HTTP edge: a defect becomes a plain 500 here, its trace goes to the log only
        log.exception("request failed", route=str(request.match_info.route.resource))
        if request.get(_PREPARED):
            raise
        return error_response(500, "internal", "something went wrong on our side")


def _as_json(error: web.HTTPException) -> web.Response:
    kept = {name: value for name, value in error.headers.items() if name in ("Allow", "Retry-After")}
    code = re.sub(r"[^a-z]+", "_", error.reason.lower()).strip("_")
    return error_response(error.status, code, error.reason, headers=kept)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    request[_PREPARED] = True
    for name, value in _HEADERS.items():
        if name == "Server":
            response.headers[name] = value
        else:
            response.headers.setdefault(name, value)


async def _to_chat(_: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/chat")
