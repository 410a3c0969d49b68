"""One lane a conversation: in order inside, side by side across.

A lane holds no messages, only the fact that there are some: they are in the database, and a turn reads them when it
begins. So ten thousand conversations that wait cost ten thousand small entries.
"""

from __future__ import annotations

import asyncio
import functools
from collections import Counter, deque
from collections.abc import Awaitable, Callable

from bot.telemetry import Metrics, get_logger

log = get_logger(__name__)

RunTurn = Callable[[int, Callable[[int], None]], Awaitable[bool]]
"""Runs one turn of a conversation, if something waits there, and says whether more may be waiting.

It tells the function it is given how many messages it has taken, and raises nothing but CancelledError."""


class Lanes:
    """Gives each conversation that has something to do to one worker at a time, first come, first served."""

    def __init__(self, run_turn: RunTurn, *, workers: int, metrics: Metrics) -> None:
        self._run_turn = run_turn
        self._workers = workers
        self._metrics = metrics
        self._ready: deque[int] = deque()
        self._known: set[int] = set()  # in _ready, or being worked on
        self._again: set[int] = set()  # woken while being worked on
        self._waiting: Counter[int] = Counter()  # messages that no turn has taken yet
        self._total_waiting = 0
        self._work = asyncio.Semaphore(0)
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()

    def waiting(self, conversation: int) -> int:
        """Messages of the conversation that no turn has taken yet."""
        return self._waiting[conversation]

    @property
    def total_waiting(self) -> int:
        return self._total_waiting

    def wake(self, conversation: int, *, messages: int = 0) -> None:
        """The conversation has (more) to do."""
        if messages:
            self._waiting[conversation] += messages
            self._total_waiting += messages
            self._metrics.queue_depth.set(self._total_waiting)
        if conversation in self._known:
            self._again.add(conversation)
            return
        self._known.add(conversation)
        self._enqueue(conversation)

    def _taken(self, conversation: int, messages: int) -> None:
        taken = min(messages, self._waiting[conversation])
        self._total_waiting -= taken
        self._waiting[conversation] -= taken
        if not self._waiting[conversation]:
            del self._waiting[conversation]
        self._metrics.queue_depth.set(self._total_waiting)

    async def run(self) -> None:
        """Works until cancelled, or until `drain` has ended it."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._work_on(), name=f"lane worker {number}")

    async def drain(self, seconds: float) -> bool:
        """Starts no more turns and waits for the running ones. False: some still ran when the time was over."""
        self._closing = True
        try:
            async with asyncio.timeout(seconds):
                while self._known.difference(self._ready):
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def _enqueue(self, conversation: int) -> None:
        self._ready.append(conversation)
        self._work.release()

    async def _work_on(self) -> None:
        while True:
            await self._work.acquire()
            if self._closing:
                continue
            conversation = self._ready.popleft()
            self._again.discard(conversation)
            more = False
            try:
                more = await self._run_turn(conversation, functools.partial(self._taken, conversation))
            finally:
                self._leave(conversation, more=more)

    def _leave(self, conversation: int, *, more: bool) -> None:
        if more or conversation in self._again:
            self._again.discard(conversation)
            self._enqueue(conversation)
        else:
            self._known.discard(conversation)
        self._idle.set()
