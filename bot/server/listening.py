"""The server's socket: opened late, closed in two steps."""

from __future__ import annotations

import errno
import ipaddress
import logging
from types import TracebackType
from typing import Self

from aiohttp import web

from bot.errors import OperatorError

SHUTDOWN_SECONDS = 2.0
"""How long requests may still run when the server closes. Turns have been drained by then: what is left are streams on
which nothing is said any more."""
KEEPALIVE_SECONDS = 75.0
"""Also how long a new connection may stay silent. Longer than the 60 s of common load balancers, which close first."""


class HttpServer:
    """`async with HttpServer(application, host, port) as server:` listens until the block ends."""

    def __init__(self, application: web.Application, host: str, port: int) -> None:
        # aiohttp's own access log has queries and addresses; `bot.server.app` writes ours.
        self._runner = web.AppRunner(
            application,
            access_log=None,
            shutdown_timeout=SHUTDOWN_SECONDS,
            keepalive_timeout=KEEPALIVE_SECONDS,
            logger=logging.getLogger("kefu.http"),
        )
        self._host = host
        self._port = port
        self._site: web.TCPSite | None = None

    async def __aenter__(self) -> Self:
        """:raises OperatorError: the address can not be listened on."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise OperatorError(self._why_not(error)) from error
        self._site = site
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def stop_accepting(self) -> None:
        """No new connections; requests that run are finished."""
        if self._site is not None:
            site, self._site = self._site, None
            await site.stop()

    @property
    def address(self) -> str:
        """Where a browser on this machine reaches the server, e.g. "http://127.0.0.1:8080"."""
        addresses = self._runner.addresses
        host, port = (addresses[0][0], addresses[0][1]) if addresses else (self._host, self._port)
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return f"http://{host}:{port}"
        if address.is_unspecified:
            address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
        return f"http://{address}:{port}" if address.version == 4 else f"http://[{address}]:{port}"

    def _why_not(self, error: OSError) -> str:
        if error.errno == errno.EADDRINUSE:
            return f"http.port: {self._port} on {self._host} is in use; is kefu running already?"
        if error.errno == errno.EACCES:
            return f"http.port: {self._port} may not be opened by this user; ports under 1024 belong to root"
        return f"http.host: {self._host} can not be listened on: {error.strerror or error}"
