"""Putting a final message into Slack: the form that shows most, and a lesser one where Slack refuses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from adapters.slack import failures
from adapters.slack.calls import Calls
from adapters.slack.replies import POST_LIMIT, TEXT_LIMIT, Forms, blocks_of, sections_of, words_of
from adapters.slack.traces import Mark
from adapters.slack.wire import NoAnswer, Refused
from bot.messages import ConversationRef
from bot.telemetry import get_logger

log = get_logger(__name__)


class Poster:
    """Raises what `Calls` does."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def post(self, conversation: ConversationRef, forms: Forms, mark: Mark) -> str:
        """A new message; its ts."""
        answer = await self._down_the_ladder(
            conversation,
            "chat.postMessage",
            _ladder(forms, POST_LIMIT),
            thread_ts=conversation.thread or None,
            metadata=mark.metadata,
            unfurl_links=False,
            unfurl_media=False,
        )
        ts = answer.get("ts")
        if not isinstance(ts, str) or not ts:
            raise NoAnswer("chat.postMessage: a message without a name")
        return ts

    async def rewrite(self, conversation: ConversationRef, ts: str, forms: Forms, mark: Mark) -> bool:
        """Whether the words now stand in that message; False where it is gone. Harmless to repeat."""
        # An edit's mere text has to be short, and its blocks go only where that is said.
        ladder = ({"blocks": [], **rung} for rung in _ladder(forms, TEXT_LIMIT))
        try:
            answer = await self._down_the_ladder(conversation, "chat.update", ladder, ts=ts, metadata=mark.metadata)
        except Refused as refused:
            if failures.is_message_gone(refused):
                return False
            raise
        if answer.get("ts") != ts:
            raise NoAnswer("chat.update: an ok without a message")
        return True

    async def _down_the_ladder(
        self, conversation: ConversationRef, method: str, rungs: Iterator[Mapping[str, Any]], **arguments: Any
    ) -> Mapping[str, Any]:
        last: Refused | None = None
        for rung in rungs:
            try:
                return await self._calls.paced(conversation, method, channel=conversation.channel, **rung, **arguments)
            except Refused as refused:
                if not failures.is_about_content(refused):
                    raise
                log.warning("slack.form_refused", method=method, reason=refused.error)
                last = refused
        assert last is not None, "the first rung is always tried"
        raise last


def _ladder(forms: Forms, text_limit: int) -> Iterator[Mapping[str, Any]]:
    """Standard Markdown, mrkdwn with what hangs on it, and mere text: each only where it holds all the words."""
    yield {"blocks": blocks_of(forms), "text": forms.plain}
    if sections := sections_of(forms):
        yield {"blocks": sections, "text": forms.plain}
    if len(words := words_of(forms)) <= text_limit:
        yield {"text": words}
