"""How callbacks leave the fake: five seconds each, sealed anew for every attempt, three attempts in all."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.fakes.wecomapi.sealing import Endpoint, Sealed, Unreadable
from tests.fakes.wecomapi.state import State


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One request to the bot and what came back."""

    number: int
    at: float
    status: int = 0
    """0: no answer."""
    seconds: float = 0.0
    reply: str = ""
    """What the bot said with its answer, decrypted."""
    acknowledged: bool = False


@dataclass(slots=True, kw_only=True)
class Delivery:
    """Something the bot must hear of, and what became of it."""

    id: str
    endpoint: str
    plain: str
    """What is sealed: XML or JSON."""
    at: float
    answered: Callable[[Delivery], None] | None = None
    """Told once, when the bot has taken it."""
    attempts: list[Attempt] = field(default_factory=list)
    fate: str = ""
    """"" while it is on its way; then acknowledged or gave_up."""
    reply: str = ""
    """What the bot said with the first answer that WeCom took."""


class Feed:
    """Every delivery is its own task."""

    def __init__(self, state: State, endpoints: dict[str, Endpoint]) -> None:
        self._state = state
        self.endpoints = endpoints
        self.attempts = 3
        self.ack_seconds = 5.0
        self.pause = 0.0
        """Seconds from the beginning of an attempt to the next one at least: what is refused is refused at once."""
        self.verify_seconds = 1.0
        self.deliveries: dict[str, Delivery] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._http: aiohttp.ClientSession | None = None

    # -- Sending --

    def push(
        self, endpoint: str, plain: str, delivery_id: str, answered: Callable[[Delivery], None] | None = None
    ) -> Delivery:
        """Sends it off. Needs a running loop, as every deed of people does."""
        delivery = Delivery(
            id=delivery_id, endpoint=endpoint, plain=plain, at=self._state.clock.now(), answered=answered
        )
        self.deliveries[delivery_id] = delivery
        self.start(self._deliver(delivery))
        return delivery

    def start(self, work: Any) -> None:
        """A task that ends with the fake."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def again(self, delivery_id: str, copies: int = 1) -> list[bool]:
        """Redelivers it so often, all at once, each sealed anew; whether each was acknowledged."""
        delivery = self.deliveries[delivery_id]
        first = len(delivery.attempts)
        found = await asyncio.gather(*(self.attempt(delivery, first + number) for number in range(copies)))
        return [one.acknowledged for one in found]

    def unacknowledged(self) -> list[Delivery]:
        """Those the bot has not taken; the ones WeCom gave up among them."""
        return [delivery for delivery in self.deliveries.values() if delivery.fate != "acknowledged"]

    def sealed(self, delivery_id: str) -> Sealed:
        """A request that WeCom could make for it, for a test that mutates or repeats it."""
        delivery = self.deliveries[delivery_id]
        return self.endpoints[delivery.endpoint].seal(delivery.plain)

    async def verify(self, endpoint: str, words: str = "1288432023552776189") -> bool:
        """What WeCom does when the address is entered: GET with `echostr`, the plain words back within a second."""
        target = self.endpoints[endpoint]
        query = target.challenge(words)
        try:
            async with asyncio.timeout(self.verify_seconds), self._session().get(target.url, params=query) as response:
                return response.status == 200 and await response.read() == words.encode()
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def post(self, endpoint: str, sealed: Sealed) -> tuple[int, bytes]:
        """Status (0: no answer) and body of the bot's answer to this request."""
        headers = {"Content-Type": sealed.content_type, "User-Agent": "Mozilla/4.0"}
        address = self.endpoints[endpoint].url
        try:
            async with self._session().post(
                address, params=sealed.query, data=sealed.body, headers=headers, allow_redirects=False
            ) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 0, b""

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    # -- One delivery --

    async def _deliver(self, delivery: Delivery) -> None:
        for number in range(self.attempts):
            if delivery.fate:
                return  # a repetition on order was taken meanwhile
            attempt = await self.attempt(delivery, number)
            if attempt.acknowledged:
                return
            await self._state.clock.sleep(self.pause - attempt.seconds)
        if not delivery.fate:
            delivery.fate = "gave_up"
        self._state.touch()

    async def attempt(self, delivery: Delivery, number: int) -> Attempt:
        """One request; WeCom drops the connection when five seconds are over."""
        endpoint = self.endpoints[delivery.endpoint]
        sealed = endpoint.seal(delivery.plain)
        attempt = Attempt(number=number, at=self._state.clock.now())
        delivery.attempts.append(attempt)
        begun = time.monotonic()
        posting = asyncio.ensure_future(self.post(delivery.endpoint, sealed))
        waiting = asyncio.ensure_future(self._state.clock.sleep(self.ack_seconds))
        try:
            await asyncio.wait({posting, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if posting.done():
                attempt.status, body = posting.result()
                attempt.acknowledged = attempt.status == 200
                self._read(endpoint, attempt, body, sealed.query["nonce"])
        finally:
            for task in (posting, waiting):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        attempt.seconds = time.monotonic() - begun
        if attempt.acknowledged and delivery.fate != "acknowledged":
            delivery.fate, delivery.reply = "acknowledged", attempt.reply
            if delivery.answered is not None:
                delivery.answered(delivery)
        self._state.touch()
        return attempt

    def _read(self, endpoint: Endpoint, attempt: Attempt, body: bytes, nonce: str) -> None:
        if not attempt.acknowledged:
            return
        try:
            attempt.reply = endpoint.read(body, nonce)
        except Unreadable as error:
            self._state.breaks("reply", f"{endpoint.name}: {error}")

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), trust_env=False)
        return self._http
