"""The fake's second face, for tests in another process: `/control/…`, plain JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from tests.fakes.platform import MovableClock
from tests.fakes.slackapi.faults import Fault, Faults
from tests.fakes.slackapi.feed import Feed
from tests.fakes.slackapi.looking import Looking
from tests.fakes.slackapi.oauth import OAuth
from tests.fakes.slackapi.people import People
from tests.fakes.slackapi.presses import Presses
from tests.fakes.slackapi.rates import Rates
from tests.fakes.slackapi.sockets import Sockets
from tests.fakes.slackapi.state import Json, State
from tests.fakes.slackapi.streams import Streams
from tests.fakes.slackapi.tokens import Tokens


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a test holds in its hands, in the same process or in another."""

    clock: MovableClock
    state: State
    people: People
    hands: Presses
    faults: Faults
    rates: Rates
    tokens: Tokens
    oauth: OAuth
    feed: Feed
    sockets: Sockets
    streams: Streams
    looking: Looking


class Control:
    """Lets a test play people, program faults and look at what happened."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> list[web.RouteDef]:
        table: dict[str, Callable[[Any], Awaitable[Any]]] = {
            "people": self._deeds,
            "faults": self._program,
            "calls": self._calls,
            "messages": self._messages,
            "look": self._look,
            "deliveries": self._deliveries,
            "settings": self._settings,
            "again": self._again,
            "sockets": self._sockets,
            "tokens": self._tokens,
        }
        return [web.post(f"/control/{name}", _handler(work)) for name, work in table.items()]

    async def _deeds(self, asked: list[Json]) -> list[Any]:
        """[{"do": "says", "args": {…}}, …] → one result each; the names are methods of People and Presses."""
        return [self._deed(one["do"])(**one.get("args", {})) for one in asked]

    def _deed(self, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(self._parts.people, name, None) or getattr(self._parts.hands, name)
        return found

    async def _program(self, asked: Json) -> list[Json]:
        """{"clear": bool, "add": [Fault, …]} → the whole program with its counts, as it was before a clear."""
        for fault in asked.get("add", []):
            self._parts.faults.add(Fault(**fault))
        program = [dataclasses.asdict(fault) for fault in self._parts.faults.program]
        if asked.get("clear"):
            self._parts.faults.clear()
        return program

    async def _calls(self, asked: Json) -> list[Json]:
        """{"after": n, "methods": […], "channel": id} → calls in order."""
        found = self._parts.looking.calls(*asked.get("methods", []), channel=asked.get("channel", ""))
        return [dataclasses.asdict(call) for call in found if call.number >= asked.get("after", 0)]

    async def _messages(self, asked: Json) -> list[Json]:
        """{"channel": id, "thread": ts, "bot": bool | null} → `Looking.messages`."""
        return [dataclasses.asdict(one) for one in self._parts.looking.messages(**asked)]

    async def _look(self, asked: Json) -> Any:
        """{"at": "status", "args": {…}} → that method of Looking, where it returns plain values."""
        return getattr(self._parts.looking, asked["at"])(**asked.get("args", {}))

    async def _deliveries(self, asked: Json) -> list[Json]:
        """{"open": bool} → every delivery with its fate and its attempts, without its content."""
        found = self._parts.feed.unacknowledged() if asked.get("open") else self._parts.feed.deliveries.values()
        return [
            {
                "id": one.id, "kind": one.kind, "at": one.at, "fate": one.fate, "answer": one.answer,
                "type": one.payload.get("event", one.payload).get("type", ""),
                "attempts": [dataclasses.asdict(attempt) for attempt in one.attempts],
            }
            for one in found
        ]  # fmt: skip

    async def _settings(self, asked: Json) -> Json:
        """Any of transport, request_url, ack_seconds, schedule, retried, rates, limits, life, subscribed, rotation,
        advance (seconds), forget_calls, stream_dies ({channel, ts})."""
        parts = self._parts
        for name in ("transport", "request_url", "ack_seconds", "skew"):
            if name in asked:
                setattr(parts.feed, name, asked[name])
        if "schedule" in asked:
            parts.feed.schedule = tuple(asked["schedule"])
        if "retried" in asked:
            parts.feed.retried = set(asked["retried"])
        if "subscribed" in asked:
            parts.state.subscribed = None if asked["subscribed"] is None else set(asked["subscribed"])
        parts.rates.on = bool(asked.get("rates", parts.rates.on))
        parts.rates.limits |= asked.get("limits", {})
        parts.streams.life = asked.get("life", parts.streams.life)
        parts.oauth.rotation = asked.get("rotation", parts.oauth.rotation)
        parts.clock.advance(asked.get("advance", 0.0))
        if "stream_dies" in asked:
            parts.streams.dies(**asked["stream_dies"])
        if asked.get("forget_calls"):
            parts.state.calls.clear()
        return {
            "open": len(parts.feed.unacknowledged()),
            "sockets": len(parts.sockets.links),
            "opened": parts.sockets.opened,
            "garbage": parts.sockets.garbage,
        }

    async def _again(self, asked: Json) -> list[bool]:
        """{"id", "copies"} → whether each copy was acknowledged."""
        return await self._parts.feed.again(asked["id"], asked.get("copies", 1))

    async def _sockets(self, asked: Json) -> int:
        """{"do": "kill" | "silence" | "disconnect", "args": {…}} → how many sockets are open."""
        work = getattr(self._parts.sockets, asked["do"])(**asked.get("args", {}))
        if work is not None:
            await work
        return len(self._parts.sockets.links)

    async def _tokens(self, asked: Json) -> str:
        """{"do": "ends" | "works_again" | "loses" | "bot", "args": {…}} → a new token's value."""
        made = getattr(self._parts.tokens, asked["do"])(**asked.get("args", {}))
        return str(made.value) if made is not None else ""


def _handler(work: Callable[[Any], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        return web.json_response(await work(await request.json()))

    return handle
