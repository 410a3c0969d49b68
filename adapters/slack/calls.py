"""Calls at the pace that Slack allows: those that have to be made wait, those that nobody needs are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.slack.api import Api
from adapters.slack.pacing import Pacer
from adapters.slack.wire import Refused
from bot.messages import ConversationRef


class Calls:
    """The Web API as one conversation uses it. Raises what `Api.call` does, and NotSent where a call has to wait."""

    def __init__(self, api: Api, pacer: Pacer) -> None:
        self._api = api
        self._pacer = pacer
        self._held: dict[ConversationRef, str] = {}

    def hold(self, conversation: ConversationRef, method: str) -> bool:
        """Takes a place for the next call of this method there, if there is one now."""
        if not self._pacer.take(conversation.account, method, conversation.channel):
            return False
        self._held[conversation] = method
        return True

    async def wait_and_hold(self, conversation: ConversationRef, method: str) -> None:
        """:raises NotSent: it would take too long."""
        await self._pacer.wait(conversation.account, method, conversation.channel)
        self._held[conversation] = method

    def release(self, conversation: ConversationRef) -> None:
        """A place that was held and not used is gone: less than was allowed has been sent."""
        self._held.pop(conversation, None)

    async def spare(self, conversation: ConversationRef, method: str, **arguments: Any) -> Mapping[str, Any] | None:
        """Calls where there is room for what nobody needs; None where there is none."""
        if not self._pacer.take_spare(conversation.account, method, conversation.channel):
            return None
        return await self._call(conversation, method, arguments)

    async def paced(self, conversation: ConversationRef, method: str, **arguments: Any) -> Mapping[str, Any]:
        """Calls as soon as there is room."""
        if self._held.get(conversation) == method:
            del self._held[conversation]
        else:
            await self._pacer.wait(conversation.account, method, conversation.channel)
        return await self._call(conversation, method, arguments)

    async def bot(self, conversation: ConversationRef) -> str:
        """Under which `bot_id` our own messages stand there."""
        return await self._api.bot(conversation.account)

    async def _call(
        self, conversation: ConversationRef, method: str, arguments: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        try:
            return await self._api.call(conversation.account, method, **arguments)
        except Refused as refused:
            if refused.retry_after is not None:
                self._pacer.park(conversation.account, method, refused.retry_after)
            raise
