"""Small things that are done for somebody after their click was acknowledged: a dialogue, a page.

Bolt would run them in futures that nobody owns. Here they have a bound, a limit and an owner; one that fails is logged
and forgotten, for the person sees that nothing came and clicks again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from adapters.slack.wire import SlackError
from bot.errors import KefuError
from bot.telemetry import get_logger

Errand: TypeAlias = Callable[[], Awaitable[None]]

_WAITING = 1000
_AT_ONCE = 8
_LIMIT = 15.0

log = get_logger(__name__)


class Errands:
    """Takes errands at any time and runs them while `run` does. Past the bound they are let go."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Errand] = asyncio.Queue(_WAITING)

    def put(self, errand: Errand) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._waiting.put_nowait(errand)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(_AT_ONCE):
                workers.create_task(self._work())

    async def _work(self) -> None:
        while True:
            errand = await self._waiting.get()
            try:
                async with asyncio.timeout(_LIMIT):
                    await errand()
            except (SlackError, KefuError, TimeoutError) as error:
                log.warning("slack.not_shown", reason=str(error) or type(error).__name__)
            except Exception as error:  # a defect in one must not end the others
                log.exception("slack.not_shown", error=type(error).__name__)
