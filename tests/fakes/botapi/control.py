"""The fake's second face, for tests in another process: `/control/…`, plain JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.fakes.botapi.faults import Fault, Faults, FloodLimits
from tests.fakes.botapi.feeds import WebhookSender
from tests.fakes.botapi.methods import Methods
from tests.fakes.botapi.people import People
from tests.fakes.botapi.server import Server
from tests.fakes.botapi.state import Json, State, visible


class Control:
    """Lets a test play people, program faults and look at what happened."""

    def __init__(
        self,
        *,
        state: State,
        people: People,
        faults: Faults,
        methods: Methods,
        server: Server,
        sender: WebhookSender,
        path: Path | None,
    ) -> None:
        self._state = state
        self._people = people
        self._faults = faults
        self._methods = methods
        self._server = server
        self._sender = sender
        self._path = path

    def routes(self) -> list[web.RouteDef]:
        table: dict[str, Callable[[Any], Awaitable[Any]]] = {
            "people": self._deeds,
            "faults": self._program,
            "calls": self._calls,
            "messages": self._messages,
            "updates": self._updates,
            "settings": self._settings,
            "post": self._post,
            "save": self._save,
        }
        return [web.post(f"/control/{name}", _handler(work)) for name, work in table.items()]

    async def _deeds(self, asked: list[Json]) -> list[Any]:
        """[{"do": "says", "args": {…}}, …] → one result each; the names are People's methods."""
        return [getattr(self._people, deed["do"])(**deed.get("args", {})) for deed in asked]

    async def _program(self, asked: Json) -> list[Json]:
        """{"clear": bool, "add": [Fault, …]} → the whole program with its counts, as it was before a clear."""
        for fault in asked.get("add", []):
            self._faults.add(Fault(**fault))
        program = [dataclasses.asdict(fault) for fault in self._faults.program]
        if asked.get("clear"):
            self._faults.clear()
        return program

    async def _calls(self, asked: Json) -> list[Json]:
        """{"after": n, "methods": […], "chat": id} → calls in order."""
        methods = {str(name).lower() for name in asked.get("methods", [])}
        chat = asked.get("chat")
        return [
            dataclasses.asdict(call)
            for call in self._state.calls[asked.get("after", 0) :]
            if (not methods or call.method.lower() in methods) and (chat is None or call.chat == chat)
        ]

    async def _messages(self, asked: Json) -> list[Json]:
        """{"chat": id} → what stands in the chat (in all chats without it): author, text, number."""
        chats = self._state.chats.values()
        return [
            {
                "chat": chat.id,
                "message_id": number,
                "bot": message.get("from", {}).get("id") == self._state.me["id"],
                "text": visible(message),
                "reply_markup": message.get("reply_markup"),
            }
            for chat in chats
            if asked.get("chat") in {None, chat.id}
            for number, message in sorted(chat.messages.items())
        ]

    async def _updates(self, asked: Json) -> list[Json]:
        """{"after": id} → updates with their fate, without their content."""
        return [
            {"id": stored.id, "handed_out": stored.handed_out, "confirmed_at": stored.confirmed_at, "at": stored.at}
            for stored in self._state.updates.values()
            if stored.id > asked.get("after", 0)
        ]

    async def _settings(self, asked: Json) -> Json:
        """Any of version, flood_limits, token, me, proxies, forget_calls."""
        if "version" in asked:
            self._methods.version = tuple(asked["version"])
        if "flood_limits" in asked:
            self._server.limits = FloodLimits() if asked["flood_limits"] else None
        if "token" in asked:
            self._state.token = asked["token"]
        self._state.me |= asked.get("me", {})
        self._sender.proxies |= asked.get("proxies", {})
        if asked.get("forget_calls"):
            self._state.calls.clear()
        return {"pending": len(self._state.pending), "webhook": self._state.webhook is not None}

    async def _post(self, asked: Json) -> list[int]:
        """{"update_id", "copies"} → statuses of posting it to the webhook now, in parallel."""
        return await self._sender.post(asked["update_id"], asked.get("copies", 1))

    async def _save(self, asked: Json) -> bool:
        if self._path is not None:
            self._state.save(self._path)
        return self._path is not None


def _handler(work: Callable[[Any], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        return web.json_response(await work(await request.json()))

    return handle
