"""The tickets API, for the company's own people and programs."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field, model_validator

from bot.messages import TicketState
from bot.server.admin import AdminToken
from bot.server.bodies import Body, Refusal, dumps, read_body
from bot.server.ports import Desk
from bot.server.wire import ticket_json, whole_ticket_json

PAGE = 50
LARGEST_PAGE = 200

_NUMBER = re.compile(r"[A-Z][A-Z0-9]{0,15}-[0-9A-Z]{1,32}", re.ASCII)
_Line = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Change(Body):
    """PATCH /api/v1/tickets/{id}"""

    state: TicketState | None = None
    assignee: _Line | None = None
    urgency: Literal["low", "normal", "high"] | None = None
    subject: Annotated[_Line, Field(min_length=1)] | None = None
    by: _Line = ""
    """Who changes it, for the ticket's record."""

    @model_validator(mode="after")
    def _something(self) -> Change:
        if all(value is None for value in (self.state, self.assignee, self.urgency, self.subject)):
            raise ValueError("one of state, assignee, urgency and subject is needed")
        return self


class AgentReply(Body):
    """POST /api/v1/tickets/{id}/replies"""

    text: str = Field(min_length=1, max_length=20_000)
    agent: _Line = ""


class TicketRoutes:
    """Serves the desk to whoever has the token."""

    def __init__(self, desk: Desk, admin: AdminToken) -> None:
        self._desk = desk
        self._admin = admin

    def routes(self) -> list[web.AbstractRouteDef]:
        one = "/api/v1/tickets/{number}"
        return [
            web.get("/api/v1/tickets", self._guarded(self._list)),
            web.get(one, self._guarded(self._get)),
            web.patch(one, self._guarded(self._update)),
            web.post(one + "/replies", self._guarded(self._reply)),
        ]

    def _guarded(self, handler: _Handler) -> _Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            # Before anything else of the request is looked at: a stranger costs us no work.
            if not self._admin.opens(request.headers.get("Authorization")):
                raise Refusal(
                    401,
                    "unauthorized",
                    "the header Authorization: Bearer <admin.token> is needed",
                    headers={"WWW-Authenticate": 'Bearer realm="kefu"', "Connection": "close"},
                )
            return await handler(request)

        return guarded

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query
        if unknown := set(query) - {"state", "requester", "limit", "before"}:
            raise Refusal(400, "bad_parameter", f"{len(unknown)} parameter(s) that are not known")
        limit = _limit(query.get("limit"))
        tickets = await self._desk.list(
            state=_state(query.get("state")), requester=_requester(query.get("requester")), limit=limit,
            before=_before(query.get("before")),
        )  # fmt: skip
        return web.json_response(
            {
                "tickets": [ticket_json(ticket) for ticket in tickets],
                "next": tickets[-1].number if len(tickets) == limit else None,
            },
            dumps=dumps,
        )

    async def _get(self, request: web.Request) -> web.Response:
        ticket, events = await self._desk.get(_number(request))
        return web.json_response(whole_ticket_json(ticket, events), dumps=dumps)

    async def _update(self, request: web.Request) -> web.Response:
        number = _number(request)
        change = await read_body(request, Change)
        ticket = await self._desk.update(
            number,
            state=change.state,
            assignee=change.assignee,
            urgency=change.urgency,
            subject=change.subject,
            by=change.by or "api",
        )
        return web.json_response(ticket_json(ticket), dumps=dumps)

    async def _reply(self, request: web.Request) -> web.Response:
        number = _number(request)
        reply = await read_body(request, AgentReply)
        delivery = await self._desk.reply(number, reply.text, agent=reply.agent)
        return web.json_response({"ticket": number, "delivery": delivery}, status=201)


def _number(request: web.Request) -> str:
    number = request.match_info["number"].upper()
    if not _NUMBER.fullmatch(number):
        raise Refusal(404, "not_found", "there is no such ticket")
    return number


def _state(value: str | None) -> TicketState | None:
    if value is None:
        return None
    try:
        return TicketState(value)
    except ValueError:
        raise Refusal(400, "bad_parameter", f"state must be one of {', '.join(TicketState)}") from None


def _limit(value: str | None) -> int:
    if value is None:
        return PAGE
    if not re.fullmatch(r"[0-9]{1,4}", value, re.ASCII) or not 1 <= int(value) <= LARGEST_PAGE:
        raise Refusal(400, "bad_parameter", f"limit must be a number from 1 to {LARGEST_PAGE}")
    return int(value)


def _requester(value: str | None) -> str | None:
    if value is not None and (not re.fullmatch(r"[a-z_]+:[^\x00-\x1f\x7f]{1,256}", value) or not _is_text(value)):
        raise Refusal(400, "bad_parameter", 'requester must be a sender\'s id such as "telegram:123"')
    return value


def _is_text(value: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in value)


def _before(value: str | None) -> str | None:
    if value is not None and not _NUMBER.fullmatch(value):
        raise Refusal(400, "bad_parameter", "before must be a ticket's number")
    return value
