"""Whether the house stands, for load balancers, supervisors and Prometheus."""

from __future__ import annotations

import asyncio

from aiohttp import web

from bot.server.bodies import dumps
from bot.server.ports import Exposition, Health

READY_SECONDS = 3.0
"""A part that does not say how it is within this time is down: probes do not wait longer either."""


class HealthRoutes:
    """/healthz, /readyz and /metrics."""

    def __init__(self, health: Health, metrics: Exposition) -> None:
        self._health = health
        self._metrics = metrics

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get("/healthz", self._alive),
            web.get("/readyz", self._ready),
            web.get("/metrics", self._exposition),
        ]

    async def _alive(self, _: web.Request) -> web.Response:
        # Being answered at all says that the loop turns; the probe's own limit says how fast.
        return web.json_response({"alive": True})

    async def _ready(self, _: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(READY_SECONDS):
                parts = await self._health()
        except TimeoutError:
            late = {"ready": False, "parts": {}, "detail": f"no answer within {READY_SECONDS:g} s"}
            return web.json_response(late, status=503, dumps=dumps)
        ready = all(part.up for part in parts if part.needed)
        body = {
            "ready": ready,
            "parts": {
                part.name: {"state": "up" if part.up else "down", "needed": part.needed, "detail": part.detail}
                for part in parts
            },
        }
        return web.json_response(body, status=200 if ready else 503, dumps=dumps)

    async def _exposition(self, _: web.Request) -> web.Response:
        # Off the loop: a few thousand samples take some milliseconds to write down.
        body = await asyncio.to_thread(self._metrics.exposition)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
