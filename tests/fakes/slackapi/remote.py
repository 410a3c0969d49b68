"""Speaks the control side of a fake that lives in another process than the test."""

from __future__ import annotations

import dataclasses
from typing import Any

import aiohttp

from tests.fakes.slackapi.faults import Fault
from tests.fakes.slackapi.looking import Seen
from tests.fakes.slackapi.state import Call, Json


class RemoteSlack:
    """The same deeds as `FakeSlack`'s attributes, over HTTP. The session is the caller's."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    @property
    def api_url(self) -> str:
        """For `slack.api_url`."""
        return f"{self.url}/api/"

    async def do(self, name: str, **args: Any) -> Any:
        """One deed of `People` or `Presses`."""
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

    async def calls(self, *methods: str, after: int = 0, channel: str = "") -> list[Call]:
        asked: Json = {"methods": list(methods), "after": after, "channel": channel}
        return [Call(**item) for item in await self._ask("calls", asked)]

    async def messages(self, channel: str = "", thread: str = "", *, bot: bool | None = True) -> list[Seen]:
        """What stands there now; the bot's own, or all with `bot=None`."""
        found = await self._ask("messages", {"channel": channel, "thread": thread, "bot": bot})
        return [Seen(**{**item, "pings": tuple(item["pings"])}) for item in found]

    async def look(self, at: str, **args: Any) -> Any:
        """`Looking.status`, `session`, `home`, `views`, `pings`, `texts`."""
        return await self._ask("look", {"at": at, "args": args})

    async def deliveries(self, *, only_open: bool = False) -> list[Json]:
        """What the bot had to hear, with its fate."""
        found: list[Json] = await self._ask("deliveries", {"open": only_open})
        return found

    async def unacknowledged(self) -> int:
        return int((await self._ask("settings", {}))["open"])

    async def settings(self, **asked: Any) -> Json:
        found: Json = await self._ask("settings", asked)
        return found

    async def again(self, delivery_id: str, copies: int = 1) -> list[bool]:
        found: list[bool] = await self._ask("again", {"id": delivery_id, "copies": copies})
        return found

    async def sockets(self, do: str, **args: Any) -> int:
        """kill, silence or disconnect; how many are open then."""
        return int(await self._ask("sockets", {"do": do, "args": args}))

    async def tokens(self, do: str, **args: Any) -> str:
        """ends, works_again, loses or bot; a new token's value."""
        return str(await self._ask("tokens", {"do": do, "args": args}))

    async def _ask(self, what: str, body: Any) -> Any:
        async with self._session.post(f"{self.url}/control/{what}", json=body) as response:
            response.raise_for_status()
            return await response.json()
