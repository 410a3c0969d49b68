"""How events leave the fake: signed HTTP or Socket Mode, three seconds each, again and again if nobody takes them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

import aiohttp

from tests.fakes.slackapi import signing
from tests.fakes.slackapi.sockets import Outcome, Sockets
from tests.fakes.slackapi.state import Json, State

Kind = Literal["events_api", "interactive", "slash_commands"]
REASONS = {"timeout": "http_timeout", "failed": "connection_failed", "status": "http_error"}


@dataclass(slots=True, kw_only=True)
class Delivery:
    """Something the bot must hear of, and what became of it."""

    id: str
    """`event_id` for events; the trigger_id for what people press."""
    kind: Kind
    payload: Json
    at: float
    attempts: list[Outcome] = field(default_factory=list)
    fate: str = ""
    """"" while it is on its way; then acknowledged or gave_up."""
    answer: Any = None
    """What the bot said with its acknowledgement."""


class Feed:
    """Every delivery is its own task. `transport` is "socket" or "http" (to `request_url`).

    Over Socket Mode an event waits for a socket as long as there is none; that is no attempt.
    """

    def __init__(self, state: State, sockets: Sockets, *, signing_secret: str) -> None:
        self._state = state
        self._sockets = sockets
        self.signing_secret = signing_secret
        self.transport: Literal["socket", "http"] = "socket"
        self.request_url = ""
        self.ack_seconds = 3.0
        self.schedule: tuple[float, ...] = (0.0, 60.0, 300.0)
        """Pauses before the retries: at once, a minute, five."""
        self.retried: set[str] = {"events_api"}
        """Kinds that Slack repeats; of what people press it only tells them that it failed."""
        self.skew = 0
        """Seconds that Slack's signing clock is off by, for stale requests."""
        self.deliveries: dict[str, Delivery] = {}
        self.answered: Callable[[Delivery], None] = lambda delivery: None
        """Told of every acknowledgement."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None

    # -- Sending --

    def push(self, kind: Kind, payload: Json, delivery_id: str) -> Delivery:
        """Sends it off. Needs a running loop, as every deed of people does."""
        delivery = Delivery(id=delivery_id, kind=kind, payload=payload, at=self._state.clock.now())
        self.deliveries[delivery_id] = delivery
        task = asyncio.get_running_loop().create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return delivery

    async def again(self, delivery_id: str, copies: int = 1) -> list[bool]:
        """Redelivers it so often, all at once, whatever became of it before; whether each was acknowledged."""
        delivery = self.deliveries[delivery_id]
        first = max((attempt.number for attempt in delivery.attempts), default=0) + 1
        outcomes = await asyncio.gather(
            *(self._attempt(delivery, first + number, "timeout") for number in range(copies))
        )
        return [outcome.acknowledged for outcome in outcomes]

    def unacknowledged(self) -> list[Delivery]:
        """Those the bot has not taken; the ones Slack gave up among them."""
        return [delivery for delivery in self.deliveries.values() if delivery.fate != "acknowledged"]

    def signed(self, delivery_id: str) -> tuple[bytes, dict[str, str]]:
        """Body and headers of the request that Slack sends for it, for a test that mutates or repeats them."""
        body, content_type = _body(self.deliveries[delivery_id])
        return body, self._headers(body, content_type)

    async def verify(self, url: str) -> bool:
        """What Slack does when a request URL is entered: a signed challenge that must come back."""
        body = json.dumps({"token": "fake", "type": "url_verification", "challenge": "3eZbrw1aBm2rZgRNFdxV"}).encode()
        status, answer, _ = await self._post(url, body, self._headers(body, "application/json"))
        return status == 200 and "3eZbrw1aBm2rZgRNFdxV" in answer.decode(errors="replace")

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    # -- One delivery --

    async def _deliver(self, delivery: Delivery) -> None:
        reason = ""
        for number, pause in enumerate((0.0, *self.schedule)):
            if pause:
                await self._state.clock.sleep(pause)
            if delivery.fate:
                return  # a repetition on order was taken meanwhile
            outcome = await self._attempt(delivery, number, reason)
            if outcome.acknowledged:
                return
            if delivery.kind not in self.retried or outcome.no_retry:
                break
            reason = outcome.reason
        if not delivery.fate:
            delivery.fate = "gave_up"
        self._state.touch()

    async def _attempt(self, delivery: Delivery, number: int, reason: str) -> Outcome:
        if self.transport == "socket":
            outcome = await self._sockets.send(_envelope(delivery, number), number, self.ack_seconds)
        else:
            outcome = await self._over_http(delivery, number, reason)
        delivery.attempts.append(outcome)
        if outcome.acknowledged and delivery.fate != "acknowledged":
            delivery.fate = "acknowledged"
            delivery.answer = outcome.answer
            self.answered(delivery)
        self._state.touch()
        return outcome

    async def _over_http(self, delivery: Delivery, number: int, reason: str) -> Outcome:
        body, content_type = _body(delivery)
        headers = self._headers(body, content_type)
        if number and delivery.kind == "events_api":
            headers |= {"X-Slack-Retry-Num": str(number), "X-Slack-Retry-Reason": REASONS.get(reason, reason)}
        outcome = Outcome(number=number, at=self._state.clock.now())
        posting = asyncio.ensure_future(self._post(self.request_url, body, headers))
        waiting = asyncio.ensure_future(self._state.clock.sleep_until(outcome.at + self.ack_seconds))
        try:
            await asyncio.wait({posting, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not posting.done():
                outcome.reason = "timeout"
            else:
                outcome.status, content, outcome.no_retry = posting.result()
                outcome.acknowledged = 200 <= outcome.status < 300
                outcome.reason = "" if outcome.acknowledged else "status" if outcome.status else "failed"
                outcome.answer = _readable(content)
        finally:
            for task in (posting, waiting):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        outcome.seconds = self._state.clock.now() - outcome.at
        return outcome

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, bool]:
        """Status (0: no answer), body, and whether the bot wants no retry."""
        if self._http is None:
            self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), trust_env=False)
        try:
            async with self._http.post(url, data=body, headers=headers, allow_redirects=False) as response:
                unwanted = response.headers.get("X-Slack-No-Retry") == "1"
                return response.status, await response.read(), unwanted
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 0, b"", False

    def _headers(self, body: bytes, content_type: str) -> dict[str, str]:
        # The bot compares with its own clock, which no test of ours moves: never the fake's.
        signed = signing.headers(self.signing_secret, int(time.time()) + self.skew, body)
        agent = "Slackbot 1.0 (+https://api.slack.com/robots)"
        return {"Content-Type": content_type, "User-Agent": agent, **signed}


def _envelope(delivery: Delivery, number: int) -> Json:
    accepts = delivery.kind != "events_api"
    envelope: Json = {"type": delivery.kind, "payload": delivery.payload, "accepts_response_payload": accepts}
    if delivery.kind == "events_api":
        envelope |= {"retry_attempt": number, "retry_reason": "timeout" if number else ""}
    return envelope


def _body(delivery: Delivery) -> tuple[bytes, str]:
    """What Slack posts: JSON for events, a form for what people press."""
    if delivery.kind == "events_api":
        return json.dumps(delivery.payload, ensure_ascii=False).encode(), "application/json"
    fields = delivery.payload if delivery.kind == "slash_commands" else {"payload": json.dumps(delivery.payload)}
    return urlencode(fields).encode(), "application/x-www-form-urlencoded"


def _readable(content: bytes) -> Any:
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError:
        return {"text": content.decode(errors="replace")}
