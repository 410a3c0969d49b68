"""Speaks the control side of a fake that runs as its own process."""

from __future__ import annotations

import dataclasses
from typing import Any

import aiohttp

from tests.fakes.botapi.faults import Fault
from tests.fakes.botapi.state import Call, Json


class RemoteTelegram:
    """The same deeds as `FakeTelegram`'s attributes, over HTTP. The session is the caller's."""

    def __init__(self, url: str, token: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.token = token
        self._session = session

    async def do(self, name: str, **args: Any) -> Any:
        """One deed of `People`."""
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

    async def calls(self, *methods: str, after: int = 0, chat: int | None = None) -> list[Call]:
        asked: Json = {"methods": list(methods), "after": after, "chat": chat}
        return [Call(**item) for item in await self._ask("calls", asked)]

    async def messages(self, chat: int | None = None, *, bot: bool = True) -> list[Json]:
        """What stands in the chats now: chat, message_id, text; the bot's own, or all."""
        return [item for item in await self._ask("messages", {"chat": chat}) if item["bot"] or not bot]

    async def updates(self, after: int = 0) -> list[Json]:
        found: list[Json] = await self._ask("updates", {"after": after})
        return found

    async def unconfirmed(self) -> int:
        return int((await self._ask("settings", {}))["pending"])

    async def settings(self, **asked: Any) -> Json:
        found: Json = await self._ask("settings", asked)
        return found

    async def post(self, update_id: int, copies: int = 1) -> list[int]:
        found: list[int] = await self._ask("post", {"update_id": update_id, "copies": copies})
        return found

    async def _ask(self, what: str, body: Any) -> Any:
        async with self._session.post(f"{self.url}/control/{what}", json=body) as response:
            response.raise_for_status()
            return await response.json()
