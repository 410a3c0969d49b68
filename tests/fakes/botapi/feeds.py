"""How updates leave the fake: the long poll and the webhook, never both."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from urllib.parse import urlsplit

import aiohttp

from tests.fakes.botapi.errors import ApiError, BadRequest
from tests.fakes.botapi.params import Params
from tests.fakes.botapi.state import DEFAULT_UPDATES, Json, State, StoredUpdate, Webhook

LONGEST_POLL = 50
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"


def _conflict(words: str) -> ApiError:
    return ApiError(409, f"Conflict: {words}")


class LongPoll:
    """getUpdates: one poller at a time, the newest wins; a higher offset confirms."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._newest = 0

    async def get_updates(self, params: Params) -> list[Json]:
        """:raises ApiError: 409 when a webhook is set or another poll takes over."""
        state = self._state
        if state.webhook is not None:
            raise _conflict(
                "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            )
        limit = min(max(params.integer("limit", 100), 1), 100)
        deadline = time.monotonic() + min(max(params.integer("timeout"), 0), LONGEST_POLL)
        take_allowed(state, params)
        self._newest += 1
        mine = self._newest
        state.touch()  # an older poll that still waits ends now
        self._move(params.integer("offset"))
        while True:
            if mine != self._newest:
                raise _conflict(
                    "terminated by other getUpdates request; make sure that only one bot instance is running"
                )
            if state.webhook is not None:
                raise _conflict("terminated by setWebhook request")
            batch = [state.updates[update_id] for update_id in list(state.pending)[:limit]]
            left = deadline - time.monotonic()
            if batch or left <= 0:
                return [_handed_out(stored) for stored in batch]
            await state.wait(state.changed, left)

    def release(self) -> None:
        """Ends the poll that waits, as if another had come."""
        self._newest += 1
        self._state.touch()

    def _move(self, offset: int) -> None:
        pending = self._state.pending
        if offset < 0:
            offset = pending[offset] if len(pending) >= -offset else 0
        if offset:
            self._state.confirm_below(offset)


def take_allowed(state: State, params: Params) -> None:
    """`allowed_updates` of getUpdates and setWebhook: kept until named again, and only for updates to come."""
    asked = params.json("allowed_updates", list)
    if asked is not None:
        state.allowed = frozenset(map(str, asked)) or DEFAULT_UPDATES


def set_webhook(state: State, params: Params) -> bool:
    """:raises BadRequest: no https address, or a secret the server refuses."""
    url = params.text("url")
    secret = params.text("secret_token")
    if not url:
        return delete_webhook(state, params)
    if not url.startswith("https://"):
        raise BadRequest("bad webhook: An HTTPS URL must be provided for webhook")
    if urlsplit(url).port not in {None, 80, 88, 443, 8443}:
        raise BadRequest("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")
    if secret and not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", secret):
        raise BadRequest("secret token contains unallowed characters")
    take_allowed(state, params)
    state.webhook = Webhook(
        url=url, secret=secret, max_connections=min(max(params.integer("max_connections", 40), 1), 100)
    )
    _drop_pending(state, params)
    state.touch()
    return True


def delete_webhook(state: State, params: Params) -> bool:
    state.webhook = None
    _drop_pending(state, params)
    state.touch()
    return True


def webhook_info(state: State) -> Json:
    hook = state.webhook
    info: Json = {
        "url": hook.url if hook else "",
        "has_custom_certificate": False,
        "pending_update_count": len(state.pending),
    }
    if hook:
        info |= {"max_connections": hook.max_connections}
        if hook.last_error:
            info |= {"last_error_date": int(hook.last_error_at), "last_error_message": hook.last_error}
    if state.allowed != DEFAULT_UPDATES:
        info["allowed_updates"] = sorted(state.allowed)
    return info


def _drop_pending(state: State, params: Params) -> None:
    if params.flag("drop_pending_updates"):
        for update_id in state.pending:
            state.confirm(update_id)
        state.pending.clear()


def _handed_out(stored: StoredUpdate) -> Json:
    stored.handed_out += 1
    return stored.update


class WebhookSender:
    """Posts updates to the webhook: in order within a chat, chats side by side, again and again until 2xx."""

    def __init__(self, state: State, *, first_pause: float = 0.05, longest_pause: float = 1.0) -> None:
        self._state = state
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._pauses: dict[str, float] = {}
        self._not_before: dict[str, float] = {}
        self.proxies: dict[str, str] = {}
        """What ends TLS in front of the bot: "https://host" → "http://127.0.0.1:port"."""
        self.answers: list[tuple[int, int]] = []
        """(update id, status) of every request; 0 where the connection failed."""

    async def run(self) -> None:
        """Until cancelled."""
        timeout = aiohttp.ClientTimeout(total=15)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            try:
                while True:
                    changed = self._state.changed
                    wait = self._start_what_is_due(session)
                    await self._state.wait(changed, wait)
            finally:
                for task in list(self._busy.values()):
                    task.cancel()
                await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def post(self, update_id: int, copies: int = 1) -> list[int]:
        """Posts one update at once, in parallel with itself and whatever else runs; the statuses (0: no answer)."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
            return list(await asyncio.gather(*(self._request(session, update_id) for _ in range(copies))))

    def _start_what_is_due(self, session: aiohttp.ClientSession) -> float:
        """Starts a delivery for every chat that has one due; returns the seconds until the next is."""
        hook = self._state.webhook
        if hook is None:
            return 60.0
        now = time.monotonic()
        soonest = 60.0
        seen: set[str] = set()
        for update_id in list(self._state.pending):
            key = _chat_key(self._state.updates[update_id].update)
            if key in seen:
                continue
            seen.add(key)
            if key in self._busy:
                continue
            due = self._not_before.get(key, 0.0) - now
            if due > 0:
                soonest = min(soonest, due)
            elif len(self._busy) < hook.max_connections:
                self._busy[key] = asyncio.create_task(self._deliver(session, key, update_id))
        return soonest

    async def _deliver(self, session: aiohttp.ClientSession, key: str, update_id: int) -> None:
        try:
            status = await self._request(session, update_id)
            if 200 <= status < 300:
                self._pauses.pop(key, None)
                self._not_before.pop(key, None)
                self._state.pending = deque(other for other in self._state.pending if other != update_id)
                self._state.confirm(update_id)
            else:
                pause = self._pauses.get(key, self._first_pause)
                self._pauses[key] = min(pause * 2, self._longest_pause)
                self._not_before[key] = time.monotonic() + pause
        finally:
            self._busy.pop(key, None)
            self._state.touch()

    async def _request(self, session: aiohttp.ClientSession, update_id: int) -> int:
        stored = self._state.updates[update_id]
        hook = self._state.webhook
        if hook is None:
            return 0
        url = hook.url
        for public_origin, inside in self.proxies.items():
            if url.startswith(public_origin):
                url = inside + url.removeprefix(public_origin)
        headers = {SECRET_HEADER: hook.secret} if hook.secret else {}
        stored.handed_out += 1
        try:
            async with session.post(url, json=stored.update, headers=headers) as response:
                status = response.status
                await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            status = 0
            hook.last_error, hook.last_error_at = type(failure).__name__, time.time()
        else:
            if not 200 <= status < 300:
                hook.last_error = f"Wrong response from the webhook: {status}"
                hook.last_error_at = time.time()
        self.answers.append((update_id, status))
        return status


def _chat_key(update: Json) -> str:
    payload: Json = next((value for key, value in update.items() if key != "update_id"), {})
    chat = payload.get("chat") or payload.get("message", {}).get("chat") or {}
    return str(chat.get("id", update["update_id"]))
