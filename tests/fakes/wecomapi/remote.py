"""Speaks the control side of a fake that lives in another process than the test."""

from __future__ import annotations

import dataclasses
from typing import Any

import aiohttp

from tests.fakes.wecomapi.faults import Fault
from tests.fakes.wecomapi.state import Call, Json, Message, Violation


class RemoteWeCom:
    """The same deeds as `FakeWeCom`'s attributes, over HTTP. The session is the caller's."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.api_url = url
        self._session = session

    async def do(self, name: str, /, **args: Any) -> Any:
        """One deed of `colleagues`, `customers`, `chats` or `tokens`: "customers.says"; the id of what it made."""
        return (await self.do_all([(name, args)]))[0]

    async def do_all(self, deeds: list[tuple[str, Json]]) -> list[Any]:
        """Many deeds in one request."""
        found: list[Any] = await self._ask("people", [{"do": name, "args": args} for name, args in deeds])
        return found

    async def fault(self, fault: Fault) -> None:
        await self._ask("faults", {"add": [dataclasses.asdict(fault)]})

    async def faults(self, *, clear: bool = False) -> list[Fault]:
        """The program with its counts, as it was before a clear."""
        return [Fault(**item) for item in await self._ask("faults", {"clear": clear})]

    async def calls(self, *methods: str) -> list[Call]:
        return [Call(**item) for item in await self._look("calls", *methods)]

    async def messages(self, channel: str, place: str = "") -> list[Message]:
        """What stands there now."""
        return [Message(**item) for item in await self._look("messages", channel, place)]

    async def texts(self, channel: str, place: str = "") -> list[str]:
        return await self._look("texts", channel, place)

    async def violations(self) -> list[Violation]:
        return [Violation(**item) for item in await self._look("violations")]

    async def deliveries(self, *, only_open: bool = False) -> list[Json]:
        """What the bot had to hear, with its fate."""
        found: list[Json] = await self._ask("deliveries", {"open": only_open})
        return found

    async def exchanges(self) -> list[Json]:
        """Every message to the AI bot, and whether its stream finished or expired."""
        found: list[Json] = await self._ask("exchanges", {})
        return found

    async def settings(self, **asked: Any) -> Json:
        """See `Control._settings`; its answer tells `open`, `tokens` and `most_at_once`."""
        found: Json = await self._ask("settings", asked)
        return found

    async def again(self, delivery_id: str, copies: int = 1) -> list[bool]:
        found: list[bool] = await self._ask("again", {"id": delivery_id, "copies": copies})
        return found

    async def _look(self, at: str, *args: str) -> list[Any]:
        found: list[Any] = await self._ask("look", {"at": at, "args": args})
        return found

    async def _ask(self, what: str, body: Any) -> Any:
        async with self._session.post(f"{self.api_url}/control/{what}", json=body) as response:
            response.raise_for_status()
            return await response.json()
