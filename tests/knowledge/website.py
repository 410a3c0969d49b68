"""A website on loopback, whose pages tests change and break."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Page:
    body: str | bytes = ""
    kind: str = "text/html"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


class FakeSite:
    """`async with FakeSite({"/": "<p>words"}) as site`; what it was asked is in `asked`, the answers in `answered`."""

    def __init__(self, pages: dict[str, Page | str]) -> None:
        self.pages = pages
        self.asked: list[str] = []
        self.answered: list[int] = []
        self.url = ""
        self._runner: Any = None

    async def __aenter__(self) -> FakeSite:
        application = web.Application()
        application.router.add_route("GET", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        page = self.pages.get(request.path)
        if page is None:
            page = Page(status=404)
        if isinstance(page, str):
            page = Page(page)
        if page.seconds:
            await asyncio.sleep(page.seconds)
        body = page.body.encode() if isinstance(page.body, str) else page.body
        etag = f'"{hash(body)}"'
        status = 304 if page.status == 200 and request.headers.get("If-None-Match") == etag else page.status
        self.answered.append(status)
        return web.Response(
            status=status,
            body=b"" if status == 304 else body,
            content_type=page.kind,
            headers={"ETag": etag, **page.headers},
        )


def zipped(data: str) -> bytes:
    return gzip.compress(data.encode())
