"""Thumbs up and down, from the web page and from whoever shows our answers."""

from __future__ import annotations

from typing import Literal

from aiohttp import hdrs, web
from pydantic import Field

from bot.server.bodies import Body, read_body
from bot.server.ports import FeedbackBook

PATH = "/api/v1/feedback"


class Judgement(Body):
    """POST /api/v1/feedback. The turn's id can not be guessed: who knows it has seen the answer."""

    turn: str = Field(min_length=1, max_length=100)
    rating: Literal["up", "down"]
    comment: str = Field(default="", max_length=2000)


class FeedbackRoutes:
    """Also for pages on other sites, if they are among `allowed_origins`."""

    def __init__(self, book: FeedbackBook, allowed_origins: frozenset[str]) -> None:
        self._book = book
        self._allowed_origins = allowed_origins

    def routes(self) -> list[web.AbstractRouteDef]:
        return [web.post(PATH, self._record), web.options(PATH, self._preflight)]

    async def _record(self, request: web.Request) -> web.Response:
        judgement = await read_body(request, Judgement)
        await self._book.record_feedback(judgement.turn, judgement.rating, judgement.comment, None)
        return web.json_response({"turn": judgement.turn, "rating": judgement.rating}, headers=self._cors(request))

    async def _preflight(self, request: web.Request) -> web.Response:
        headers = self._cors(request)
        if hdrs.ACCESS_CONTROL_ALLOW_ORIGIN in headers:
            headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = "POST"
            headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = "Content-Type"
            headers[hdrs.ACCESS_CONTROL_MAX_AGE] = "600"
        return web.Response(status=204, headers=headers)

    def _cors(self, request: web.Request) -> dict[str, str]:
        headers = {"Vary": "Origin"}
        origin = request.headers.get(hdrs.ORIGIN, "").lower()
        if origin in self._allowed_origins:
            headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        return headers
