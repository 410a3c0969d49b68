"""Work in order inside a conversation, side by side across, and never more than so much at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any


class InOrder:
    """Starts work in a task group of its caller's."""

    def __init__(self, at_once: int) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._last: dict[Hashable, asyncio.Event] = {}

    async def put(self, tasks: asyncio.TaskGroup, key: Hashable, work: Callable[[], Awaitable[None]]) -> None:
        """Waits for a place; then the work runs after all work of the same key that was put before. `work` handles its
        own errors."""
        await self._places.acquire()
        before, done = self._last.get(key), asyncio.Event()
        self._last[key] = done
        tasks.create_task(self._run(key, before, done, work))

    async def _run(
        self, key: Hashable, before: asyncio.Event | None, done: asyncio.Event, work: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            if before is not None:
                await before.wait()
            await work()
        finally:
            done.set()
            if self._last.get(key) is done:
                del self._last[key]
            self._places.release()


def conversation_of(payload: Mapping[str, Any]) -> Hashable:
    """What has to stay in order: the channel a payload is about, else the person who did something. Nothing that
    stands there makes this fail."""
    event = payload.get("event")
    about = event if isinstance(event, dict) else payload
    team = payload.get("team_id")
    where = _id(about.get("channel")) or _id(about.get("channel_id")) or _id(about.get("user"))
    return (team if isinstance(team, str) else "", where)


def _id(value: object) -> str:
    found = value.get("id") if isinstance(value, dict) else value
    return found if isinstance(found, str) else ""
