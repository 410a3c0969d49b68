"""The fake's second face, for tests in another process: `/control/…`, plain JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from tests.fakes.platform import MovableClock
from tests.fakes.wecomapi.answers import Exchange
from tests.fakes.wecomapi.chats import Chats
from tests.fakes.wecomapi.colleagues import Colleagues
from tests.fakes.wecomapi.customers import Customers
from tests.fakes.wecomapi.faults import Fault, Faults
from tests.fakes.wecomapi.feed import Delivery, Feed
from tests.fakes.wecomapi.kf import Kf
from tests.fakes.wecomapi.looking import Looking
from tests.fakes.wecomapi.rates import Rates
from tests.fakes.wecomapi.server import Server
from tests.fakes.wecomapi.state import Json, State
from tests.fakes.wecomapi.tokens import Tokens


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a test holds in its hands, in the same process or in another."""

    clock: MovableClock
    state: State
    colleagues: Colleagues
    customers: Customers
    chats: Chats
    faults: Faults
    rates: Rates
    tokens: Tokens
    feed: Feed
    server: Server
    kf: Kf
    looking: Looking


class Control:
    """Lets a test play people, program faults and look at what happened."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> list[web.RouteDef]:
        table: dict[str, Callable[[Any], Awaitable[Any]]] = {
            "people": self._deeds,
            "faults": self._program,
            "look": self._look,
            "deliveries": self._deliveries,
            "exchanges": self._exchanges,
            "settings": self._settings,
            "again": self._again,
        }
        return [web.post(f"/control/{name}", _handler(work)) for name, work in table.items()]

    async def _deeds(self, asked: list[Json]) -> list[Any]:
        """[{"do": "customers.says", "args": {…}}, …] → one result each: ids.

        The names are methods of colleagues, customers, chats and tokens.
        """
        return [_name_of(self._deed(one["do"])(**one.get("args", {}))) for one in asked]

    def _deed(self, name: str) -> Callable[..., Any]:
        whose, _, deed = name.partition(".")
        found: Callable[..., Any] = getattr(getattr(self._parts, whose), deed)
        return found

    async def _program(self, asked: Json) -> list[Json]:
        """{"clear": bool, "add": [Fault, …]} → the whole program with its counts, as it was before a clear."""
        for fault in asked.get("add", []):
            self._parts.faults.add(Fault(**fault))
        program = [dataclasses.asdict(fault) for fault in self._parts.faults.program]
        if asked.get("clear"):
            self._parts.faults.clear()
        return program

    async def _look(self, asked: Json) -> list[Any]:
        """{"at": "messages", "args": […]} → that method of Looking."""
        found = getattr(self._parts.looking, asked["at"])(*asked.get("args", []))
        return [dataclasses.asdict(one) if dataclasses.is_dataclass(one) else one for one in found]

    async def _deliveries(self, asked: Json) -> list[Json]:
        """{"open": bool} → every delivery with its fate and its attempts, without its content."""
        found = self._parts.feed.unacknowledged() if asked.get("open") else self._parts.feed.deliveries.values()
        return [
            {
                "id": one.id, "endpoint": one.endpoint, "at": one.at, "fate": one.fate,
                "attempts": [dataclasses.asdict(attempt) for attempt in one.attempts],
            }
            for one in found
        ]  # fmt: skip

    async def _exchanges(self, asked: Json) -> list[Json]:
        """Every message to the AI bot and whether it is answered."""
        names = ("msgid", "user", "chat", "kind", "stream", "finished", "expired", "refreshes", "slowest", "feedback")
        return [{name: getattr(one, name) for name in names} for one in self._parts.chats.exchanges.values()]

    async def _settings(self, asked: Json) -> Json:
        """Any of urls ({"app": address, …}), attempts, ack_seconds, page, empty_pages, repeat_errcode, poll_seconds,
        stream_life, trusted, together, rates, advance (seconds), forget_calls."""
        parts = self._parts
        for name, url in asked.get("urls", {}).items():
            parts.feed.endpoints[name].url = url
        owners = {
            parts.feed: ("attempts", "ack_seconds"),
            parts.kf: ("page", "empty_pages", "repeat_errcode"),
            parts.chats: ("poll_seconds", "stream_life"),
            parts.server: ("trusted", "together"),
        }
        for owner, names in owners.items():
            for name in names:
                setattr(owner, name, asked.get(name, getattr(owner, name)))
        parts.rates.on = bool(asked.get("rates", parts.rates.on))
        parts.clock.advance(asked.get("advance", 0.0))
        if asked.get("forget_calls"):
            parts.state.calls.clear()
        return {
            "open": len(parts.feed.unacknowledged()),
            "tokens": [name for _, name in parts.tokens.asked],
            "most_at_once": parts.server.most_at_once,
        }

    async def _again(self, asked: Json) -> list[bool]:
        """{"id", "copies"} → whether each copy was acknowledged."""
        return await self._parts.feed.again(asked["id"], asked.get("copies", 1))


def _name_of(result: Any) -> Any:
    match result:
        case Delivery():
            return result.id
        case Exchange():
            return result.msgid
    return result


def _handler(work: Callable[[Any], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        return web.json_response(await work(await request.json()))

    return handle
