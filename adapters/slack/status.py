"""Saying that somebody is at work: an agent session that is "processing" (with Slack's Stop button), or a status."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any

from adapters.slack import failures, phrases
from adapters.slack.calls import Calls
from adapters.slack.timing import Timing
from adapters.slack.wire import Refused, SlackError
from bot.errors import SendError
from bot.messages import ConversationRef, Language
from bot.ports import Clock
from bot.telemetry import get_logger

SESSION = "agents.sessions.setStatus"
LINE = "assistant.threads.setStatus"
_REMEMBERED = 20_000

log = get_logger(__name__)


class Status:
    """Best effort: no answer waits or fails for the sake of it. A workspace that knows neither form is remembered."""

    def __init__(self, calls: Calls, clock: Clock, timing: Timing) -> None:
        self._calls = calls
        self._clock = clock
        self._timing = timing
        self._unknown_until: dict[tuple[str, str], float] = {}
        self._shown: OrderedDict[ConversationRef, tuple[str, float]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    async def work(self, conversation: ConversationRef, language: Language | None) -> None:
        """Shows it, unless it is shown. Threads only have it."""
        _, shown_at = self._shown.get(conversation, ("", float("-inf")))
        if not conversation.thread or self._clock.monotonic() - shown_at < self._timing.status:
            return
        for method, arguments in (
            (SESSION, {"status": "processing"}),
            (LINE, {"status": phrases.THINKING[language]}),
        ):
            if await self._tried(conversation, method, arguments):
                self._remember(conversation, method)
                return

    def session_status(self, conversation: ConversationRef) -> str | None:
        """What `chat.stopStream` should set; None where no session is known to run."""
        return "active" if self._shown.get(conversation, ("",))[0] == SESSION else None

    def is_over(self, conversation: ConversationRef) -> None:
        """It went by itself, or with the end of a stream."""
        self._shown.pop(conversation, None)

    def rest(self, conversation: ConversationRef, *, said: bool) -> None:
        """The work has ended. A status line goes by itself with what was said; a session has to be told."""
        method, _ = self._shown.pop(conversation, ("", 0.0))
        if method == SESSION:
            self._begin(self._told(conversation, method, {"status": "active"}))
        elif method == LINE and not said:
            self._begin(self._told(conversation, method, {"status": ""}))

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _remember(self, conversation: ConversationRef, method: str) -> None:
        self._shown[conversation] = (method, self._clock.monotonic())
        self._shown.move_to_end(conversation)
        if len(self._shown) > _REMEMBERED:
            self._shown.popitem(last=False)

    async def _tried(self, conversation: ConversationRef, method: str, arguments: dict[str, str]) -> bool:
        key = (conversation.account, method)
        if self._unknown_until.get(key, 0.0) > self._clock.monotonic():
            return False
        try:
            answer = await self._calls.spare(
                conversation, method, channel_id=conversation.channel, thread_ts=conversation.thread, **arguments
            )
        except Refused as refused:
            if not failures.is_about_everything(refused) or failures.is_unknown_method(refused):
                self._unknown_until[key] = self._clock.monotonic() + self._timing.unknown
                log.info("slack.status_unknown_to_workspace", method=method, reason=refused.error)
            return False
        except SlackError:
            return False
        return answer is not None

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _told(self, conversation: ConversationRef, method: str, arguments: dict[str, str]) -> None:
        if conversation in self._shown:
            return  # the next answer is being worked on already
        try:
            await self._calls.paced(
                conversation, method, channel_id=conversation.channel, thread_ts=conversation.thread, **arguments
            )
        except (SlackError, SendError) as error:
            log.debug("slack.status_stays", reason=type(error).__name__)
