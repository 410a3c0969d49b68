"""Which other sites may call the API from a browser: those the operator names, exactly, and no one else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from aiohttp import web

_REMEMBER_SECONDS = "600"
MESSAGE_HEADER = "Kefu-Message"
"""The stored message's id, so that a client can match a later reply's `answers`."""


class Cors:
    """The headers for an allowed origin, and the preflight routes."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = frozenset(allowed)

    def headers(self, request: web.Request) -> Mapping[str, str]:
        """What every answer to this request carries."""
        origin = request.headers.get("Origin", "")
        # Vary also where nothing is allowed: a shared cache must not serve one origin's answer to another.
        if origin not in self._allowed:
            return {"Vary": "Origin"} if self._allowed else {}
        return {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": f"{MESSAGE_HEADER}, Retry-After",
        }

    def preflights(self, routes: Iterable[web.RouteDef]) -> Sequence[web.RouteDef]:
        """One OPTIONS route for each of these."""
        return [web.options(route.path, self._preflight) for route in routes]

    async def _preflight(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Origin", "") not in self._allowed:
            return web.Response(status=403, text="This origin is not allowed.\n")
        return web.Response(
            status=204,
            headers={
                **self.headers(request),
                "Access-Control-Allow-Methods": "POST",
                "Access-Control-Allow-Headers": "Content-Type",
                "Access-Control-Max-Age": _REMEMBER_SECONDS,
            },
        )
