"""The chat page's files, read from the package once and served with the headers that keep the page safe."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from aiohttp import web

from adapters.web.settings import ChannelSettings

_TYPES: Final[Mapping[str, str]] = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_PAGE: Final = "chat.html"
_HEADERS: Final[Mapping[str, str]] = {
    # Revalidated on every use: a page of the old version must not talk to a new server.
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Vary": "Accept-Encoding",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFile:
    """A file of the page, ready to be sent."""

    content_type: str
    plain: bytes
    zipped: bytes
    tag: str


def security_policy(allowed_origins: Sequence[str]) -> str:
    """The page's Content-Security-Policy: its own files and its own server, nothing inline, no HTML from strings."""
    framers = " ".join(["'self'", *allowed_origins])
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            f"frame-ancestors {framers}",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def load_files() -> Mapping[str, PageFile]:
    """Every file of the page by name. Reads the disk: call it in a thread."""
    folder = files("adapters.web").joinpath("page")
    return {
        entry.name: _ready(entry.name, entry.read_bytes())
        for entry in folder.iterdir()
        if entry.name.rpartition(".")[2] in _TYPES
    }


class PageRoutes:
    """GET /chat, its files, and what it has to know of the settings."""

    def __init__(self, settings: ChannelSettings, *, max_message_chars: int) -> None:
        self._policy = security_policy(settings.allowed_origins)
        self._config = json.dumps(
            {
                "title": settings.title,
                "questions": list(settings.questions),
                "max_message_chars": max_message_chars,
            },
            ensure_ascii=False,
        )
        self._files: Mapping[str, PageFile] = {}

    def routes(self) -> Sequence[web.RouteDef]:
        return (
            web.get("/chat", self._page),
            # The page's addresses are relative to /chat, so that it also works below a proxy's path.
            web.get("/chat/", self._without_slash),
            web.get("/chat/config.json", self._settings),
            web.get("/chat/{name}", self._file),
        )

    async def _page(self, request: web.Request) -> web.StreamResponse:
        response = await self._serve(request, _PAGE)
        response.headers["Content-Security-Policy"] = self._policy
        response.headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
        return response

    async def _without_slash(self, request: web.Request) -> web.StreamResponse:
        del request
        raise web.HTTPPermanentRedirect("../chat")

    async def _settings(self, request: web.Request) -> web.StreamResponse:
        del request
        return web.Response(text=self._config, content_type="application/json", headers=_HEADERS)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name == _PAGE:
            raise web.HTTPNotFound
        return await self._serve(request, name)

    async def _serve(self, request: web.Request, name: str) -> web.StreamResponse:
        if not self._files:
            self._files = await asyncio.to_thread(load_files)
        file = self._files.get(name)
        if file is None:
            raise web.HTTPNotFound
        headers = {**_HEADERS, "ETag": file.tag}
        if file.tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = file.content_type
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=file.zipped, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=file.plain, headers=headers)


def _ready(name: str, content: bytes) -> PageFile:
    return PageFile(
        content_type=_TYPES[name.rpartition(".")[2]],
        plain=content,
        zipped=gzip.compress(content, mtime=0),
        # Weak: the same tag stands for both encodings.
        tag=f'W/"{hashlib.sha256(content).hexdigest()[:20]}"',
    )
