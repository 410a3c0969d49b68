"""A strict fake of OpenAI's embeddings over real HTTP.

    async with FakeEmbeddings() as server:
        embedder = await asyncio.to_thread(create_embedder, "openai:tiny", url=server.url, key=server.key)

A vector follows from its text alone, so that a test sees which text it belongs to. `spoil` exchanges the next answers,
one after the other. Strict means: what the API's reference does not describe is a 400, a wrong key a 401, another model
a 404, the empty text a 400, and so is one of more than `longest` characters.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeAlias

from aiohttp import web

Json: TypeAlias = dict[str, Any]
Spoiled: TypeAlias = Callable[[Json], "web.StreamResponse | Awaitable[web.StreamResponse]"]
"""Makes an answer of the right one."""


def vector_of(text: str, dimension: int = 8) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [byte / 128 - 0.99 for byte in digest[:dimension]]


class FakeEmbeddings:
    def __init__(self, *, model: str = "tiny", key: str = "", longest: int = 8000) -> None:
        self.model, self.key, self.longest = model, key, longest
        self.dimension = 8
        self.asked: list[list[str]] = []
        self.spoil: list[Spoiled] = []
        self.url = ""
        self._runner: web.AppRunner | None = None
        self._hung = asyncio.Event()

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=2**24)
        application.router.add_post("/v1/embeddings", self._embed)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._hung.set()
        assert self._runner is not None
        await self._runner.cleanup()

    async def hang(self, _answer: Json) -> web.StreamResponse:
        """For `spoil`: takes the request and says nothing."""
        await self._hung.wait()
        return web.Response(status=503)

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return _error(401, "Incorrect API key provided")
        body = await request.json()
        if body.keys() != {"model", "input", "encoding_format"} or body["encoding_format"] != "float":
            return _error(400, "unknown fields")
        if body["model"] != self.model:
            return _error(404, f"The model `{body['model']}` does not exist")
        texts = body["input"]
        self.asked.append(texts)
        if not texts or not all(isinstance(text, str) and 0 < len(text) <= self.longest for text in texts):
            return _error(400, f"This model's maximum context length is {self.longest}: {texts}")
        data = [
            {"object": "embedding", "index": index, "embedding": vector_of(text, self.dimension)}
            for index, text in enumerate(texts)
        ]
        answer = {"object": "list", "data": data, "model": self.model, "usage": {"prompt_tokens": 1, "total_tokens": 1}}
        if not self.spoil:
            return web.json_response(answer)
        spoiled = self.spoil.pop(0)(answer)
        return spoiled if isinstance(spoiled, web.StreamResponse) else await spoiled


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "invalid_request_error"}}, status=status)


def failing(status: int, **headers: str) -> Spoiled:
    return lambda _answer: web.Response(
        status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def saying(change: Callable[[Json], object]) -> Spoiled:
    """Answers what `change` makes of the right answer."""
    return lambda answer: web.json_response(change(answer))
