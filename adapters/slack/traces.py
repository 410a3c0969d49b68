"""What of ours stands in a thread: whether a message of unknown fate has arrived, and what a killed process left.

Every final message carries its delivery's number as metadata. A message of ours without any metadata is an answer that
was still growing when its process ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapters.slack.calls import Calls
from bot.messages import ConversationRef
from bot.telemetry import get_logger

EVENT = "kefu_delivery"
GROWING = "kefu_answer"
"""The event type of an answer that is not finished, where it is a message and no stream."""
_LAST = frozenset({"actions", "context_actions"})
"""Blocks that hang on finished answers only."""
_PAGE = 200
_PAGES = 5
_ABANDONED = 3
"""More than one process was killed over a thread so quickly only in tests."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What tells one message of one delivery from every other."""

    delivery: int
    number: int
    """Which of its messages, from 0."""
    digest: str

    @property
    def metadata(self) -> dict[str, Any]:
        payload = {"delivery_id": self.delivery, "part": self.number, "digest": self.digest}
        return {"event_type": EVENT, "event_payload": payload}

    def is_on(self, message: Mapping[str, Any]) -> bool:
        found = message.get("metadata")
        return isinstance(found, dict) and found.get("event_payload") == self.metadata["event_payload"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a look has shown."""

    arrived: str = ""
    """The ts of the message that was looked for; "" where it is not there."""
    unfinished: str = ""
    """The ts of an answer of ours that is the last word of the thread and was never finished."""
    abandoned: tuple[str, ...] = ()
    """Those that were never finished and stand above what somebody else has written since, the newest last."""


class Traces:
    """Looks into threads."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def look(self, conversation: ConversationRef, mark: Mark | None) -> Found:
        """:raises Refused, NotReached, NoAnswer, SendError: nobody can tell."""
        bot = await self._calls.bot(conversation)
        unfinished = ""
        abandoned: deque[str] = deque(maxlen=_ABANDONED)
        async for message in self._messages(conversation):
            if mark is not None and mark.is_on(message):
                return Found(arrived=str(message["ts"]))
            if message.get("ts") == conversation.thread:
                continue
            if not bot or message.get("bot_id") != bot:
                if unfinished and not message.get("bot_id"):
                    abandoned.append(unfinished)  # somebody has answered to what stood there
                    unfinished = ""
            elif _is_unfinished(message):
                unfinished = str(message["ts"])
        if not conversation.thread:
            return Found()
        return Found(unfinished=unfinished, abandoned=tuple(abandoned))

    async def _messages(self, conversation: ConversationRef) -> AsyncIterator[Mapping[str, Any]]:
        cursor = ""
        for _ in range(_PAGES):
            answer = await self._page(conversation, cursor)
            messages = answer.get("messages")
            for message in messages if isinstance(messages, list) else ():
                if isinstance(message, dict) and isinstance(message.get("ts"), str):
                    yield message
            more = answer.get("response_metadata")
            cursor = str(more.get("next_cursor") or "") if isinstance(more, dict) else ""
            if not cursor or not conversation.thread:  # a channel's history begins with its newest page
                return
        log.warning("slack.thread_too_long_to_be_searched", pages=_PAGES)

    async def _page(self, conversation: ConversationRef, cursor: str) -> Mapping[str, Any]:
        method, thread = "conversations.history", None
        if conversation.thread:
            method, thread = "conversations.replies", conversation.thread
        return await self._calls.paced(
            conversation,
            method,
            channel=conversation.channel,
            ts=thread,
            limit=_PAGE,
            include_all_metadata=True,
            cursor=cursor or None,
        )


def _is_unfinished(message: Mapping[str, Any]) -> bool:
    blocks = message.get("blocks")
    if isinstance(blocks, list) and any(isinstance(block, dict) and block.get("type") in _LAST for block in blocks):
        return False  # should Slack ever keep the metadata from us, no finished answer is written over
    found = message.get("metadata")
    return not found or (isinstance(found, dict) and found.get("event_type") == GROWING)
